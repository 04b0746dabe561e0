"""Who hears how far a long computation is: a callable (what, done, total), a plain bar, nobody."""

from collections.abc import Callable

import keras

Progress = Callable[[str, int, int], None]


def listener(progress: Progress | bool | None) -> Progress:
    """Return the callable given; for True one that shows Keras' bar, for None or False a deaf one.

    What takes steps is told with `done` from 0 to `total`, what is over already in one call.
    """
    if progress is True:
        return _Bar()
    if progress is None or progress is False:
        return lambda what, done, total: None
    if not callable(progress):
        raise ValueError(f"progress={progress!r}: give True or a callable (what, done, total)")
    return progress


class _Bar:
    """Prints what it hears, and below what begins a bar."""

    def __init__(self):
        self.bar: keras.utils.Progbar | None = None

    def __call__(self, what: str, done: int, total: int) -> None:
        if not done:
            print(what, flush=True)
            self.bar = keras.utils.Progbar(total, unit_name="image")
        elif self.bar is None:
            print(what, flush=True)
        else:
            self.bar.update(done)
            self.bar = self.bar if done < total else None
