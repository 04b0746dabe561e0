"""What is called in every step of training: as little as can be."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras

# A loss is read so often: reading it waits for the step, and for all before it.
LOOK = 20


class Steps(keras.callbacks.CallbackList):
    """Callbacks that `fit` calls in order, in its own thread, with the logs as they are.

    Keras' own list reads every metric after every step, for callbacks that do not look at them:
    on an accelerator the next step then waits for the one before, or other threads do, which costs
    50 microseconds a step. Here logs of a step are what the backend returned; who needs a number
    reads it. Those of an epoch are numbers, as Keras has them.
    """

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback], model: keras.Model):
        super().__init__(list(callbacks), add_history=True, model=model)
        self._begin = _that_have("on_train_batch_begin", self.callbacks)
        self._end = _that_have("on_train_batch_end", self.callbacks)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Call those that have something to do before a step."""
        for call in self._begin:
            call(batch, logs)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Call those that have something to do after a step."""
        for call in self._end:
            call(batch, logs)

    def on_test_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Nobody looks at the steps of validation."""


def _that_have(name: str, callbacks: Sequence[keras.callbacks.Callback]) -> list[Callable]:
    plain = getattr(keras.callbacks.Callback, name)
    return [getattr(one, name) for one in callbacks if getattr(type(one), name) is not plain]


class Finite(keras.callbacks.Callback):
    """Ends a run whose loss is no number any more, at most `LOOK` steps after that happened.

    The losses since the last look are kept where they were computed; the loss that Keras tells is
    the mean of the epoch so far, which never comes back from what is no number.
    """

    def __init__(self):
        super().__init__()
        self._losses: list[Any] = []
        self._last = 0

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Keep the loss, and look now and then."""
        self._losses.append(logs["loss"])
        self._last = batch
        if len(self._losses) == LOOK:
            self._look()

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Look at what is left of the epoch before it is validated."""
        if self._losses:
            self._look()

    def _look(self) -> None:
        """Raise ValueError with the step and what to try."""
        losses, self._losses = self._losses, []
        if math.isfinite(float(losses[-1])):
            return
        step, loss = next(
            (self._last - len(losses) + 1 + place, value)
            for place, value in enumerate(map(float, losses))
            if not math.isfinite(value)
        )
        raise ValueError(
            f"the loss is {loss} in step {step + 1}: training has diverged and cannot recover;"
            " try a lower optimizer.learning_rate (a tenth), optimizer.clipnorm=1, or"
            " precision=float32, in a new --run-dir"
        )
