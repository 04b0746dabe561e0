"""What happens beside the steps of training. What has a `name` is saved and goes on by it."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import keras
import numpy as np

from experiments.listener import Listener
from experiments.recipes.fitting import Patience, Stop
from experiments.runs.history import better

Line = dict[str, float]


class Saved(keras.callbacks.Callback):
    """A callback with a state of its own: what `state` returns, `restore` takes back."""

    name: ClassVar[str]

    def state(self) -> dict[str, Any]:
        """Return all that a run needs to go on, ready for JSON."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        for key, value in state.items():
            setattr(self, key, value)


class Stopwatch(Saved):
    """The seconds since it was made, those of earlier parts of the run added.

    A part that was cut off counts up to its last saved epoch; what came after that is done again.
    A state that it wrote itself is not gone on from: that time is on it already.
    """

    name = "wall"

    def __init__(self):
        super().__init__()
        self.earlier, self._began, self._known = 0.0, time.perf_counter(), False

    @property
    def seconds(self) -> float:
        """What it shows now."""
        return self.earlier + time.perf_counter() - self._began

    def state(self) -> dict[str, Any]:
        """Return what the next part begins with."""
        self._known = True
        return {"earlier": self.seconds}

    def restore(self, state: dict[str, Any]) -> None:
        """Add the time of earlier parts, once."""
        if not self._known:
            super().restore(state)
        self._known = True


class Clock(Saved):
    """Keeps the history: scores in percent, the rate, images seen, seconds, images per second.

    It is the first callback: the others read its last line, and the rate is the epoch's own.
    `images` are those of a whole epoch, `seen(steps)` those of its first steps, `size` is their
    side, where that changes.
    """

    name = "clock"

    def __init__(
        self,
        images: int,
        seen: Callable[[int], int] | None = None,
        rate: Callable[[int], float] | None = None,
        size: int | None = None,
    ):
        """`rate` tells that of a step where it goes by the step; else it is the optimizer's own."""
        super().__init__()
        self.seen, self.rate, self.size = seen or (lambda steps: images), rate, size
        self.steps = 0  # begun since the start of training
        self.history: list[Line] = []
        self._steps_before = self._images_before = 0

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.history)

    @property
    def line(self) -> Line:
        """The last epoch's line."""
        return self.history[-1]

    def state(self) -> dict[str, Any]:
        """Return the history and how many steps it took."""
        return {"history": self.history, "steps": self.steps}

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Start the epoch's clock."""
        self._began, self._aside = time.perf_counter(), 0.0
        self._steps_before = self.steps
        self._images_before = self.line["images"] if self.history else 0

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Count a step."""
        self.steps = self._steps_before + batch + 1

    @property
    def steps_of_epoch(self) -> int:
        """Steps begun since the epoch's start."""
        return self.steps - self._steps_before

    @property
    def images(self) -> int:
        """Training images seen so far, repeated ones included."""
        return self._images_before + self.seen(self.steps_of_epoch)

    def after(self, batch: int) -> tuple[int, int]:
        """Return steps and images up to the end of a batch of the epoch, counted from 0.

        Of steps that go in blocks, later ones may have begun by then.
        """
        return self._steps_before + batch + 1, self._images_before + self.seen(batch + 1)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Take time within an epoch that is none of training: speed is told without it."""
        began = time.perf_counter()
        yield
        self._aside += time.perf_counter() - began

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Stop the training part of the clock: Keras has waited for the last step by now."""
        self._trained = time.perf_counter() - self._began - self._aside

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Add the epoch's line."""
        line = {"epoch": epoch + 1} | {
            key: float(value) * (100 if "top" in key else 1) for key, value in logs.items()
        }
        line["lr"] = self._last_rate(self.model.optimizer)
        line["images"] = self.images
        line["seconds"] = time.perf_counter() - self._began
        line["images_per_second"] = (self.images - self._images_before) / self._trained
        if self.size is not None:
            line["size"] = self.size
        self.history.append(line)

    def _last_rate(self, optimizer: keras.optimizers.Optimizer) -> float:
        if self.rate is None:
            return float(np.asarray(optimizer.learning_rate.numpy()))
        return self.rate(int(keras.ops.convert_to_numpy(optimizer.iterations)) - 1)


class Best(Saved):
    """Knows the best epoch by the accuracy of validation images, the first of equals.

    Where there are averaged weights, the better of an epoch's two sets counts. Of images whose side
    changes it is one of those with the side `size`; 0 before there is one.
    """

    name = "best"

    def __init__(self, clock: Clock, size: int | None = None):
        super().__init__()
        self.clock, self.size, self.epoch = clock, size, 0

    def state(self) -> dict[str, Any]:
        """Return the number of the epoch."""
        return {"epoch": self.epoch}

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Compare the last line with the best one."""
        history = self.clock.history
        if self.size not in (None, history[-1].get("size")):
            return
        if not self.epoch or better(history[-1]).top1 > better(history[self.epoch - 1]).top1:
            self.epoch = len(history)

    @property
    def weights(self) -> str:
        """Which of the best epoch's weights are better: `raw` or `ema`."""
        return better(self.clock.history[self.epoch - 1]).weights if self.epoch else "raw"


class Waiting(Saved):
    """Counts epochs without a better value of a monitor: stopping and plateaus wait alike.

    Where the size of images changes, waiting begins anew: values of two sizes do not compare.
    """

    def __init__(self, spec: Patience, clock: Clock):
        super().__init__()
        self.spec, self.clock = spec, clock
        self.best: float | None = None
        self.wait = 0

    def state(self) -> dict[str, Any]:
        """Return the best value and how long it has been waited for a better one."""
        return {"best": self.best, "wait": self.wait}

    def exhausted(self) -> bool:
        """Take the last epoch's value; True after `patience` epochs without a better one."""
        value = self.clock.line[self.spec.monitor]
        if len({line.get("size") for line in self.clock.history[-2:]}) > 1:
            self.best, self.wait = None, 0
        if self.best is None or self._gain(value) > self._least():
            self.best, self.wait = value, 0
            return False
        self.wait += 1
        return self.wait >= self.spec.patience

    def _gain(self, value: float) -> float:
        return self.best - value if self.spec.falls else value - self.best

    def _least(self) -> float:
        return self.spec.min_delta * (abs(self.best) if self.spec.relative else 1)


class Stopping(Waiting):
    """Ends training early, but no sooner than in its `last` phase."""

    name = "stop"

    def __init__(self, spec: Stop, clock: Clock, last: bool = True):
        super().__init__(spec, clock)
        self.last, self.stopped = last, False

    def state(self) -> dict[str, Any]:
        """Return also whether training has ended."""
        return super().state() | {"stopped": self.stopped}

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Stop where it was waited long enough."""
        self.stopped = self.exhausted() and self.last
        if self.stopped:  # another callback may have ended training already
            self.model.stop_training = True


class TorchSeed(Saved):
    """Seeds torch at each epoch's first step: its dropout draws from what is no variable.

    Not before: the data loader's start, once a process, draws from the same generator.
    """

    name = "torch"

    def __init__(self, seed: int, clock: Clock):
        super().__init__()
        self.seed, self.clock = seed, clock

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Seed by the run's seed and the epoch."""
        if batch == 0 and keras.backend.backend() == "torch":
            keras.utils.set_random_seed(hash((self.seed, self.clock.epoch)) % 2**32)


class Tell(keras.callbacks.Callback):
    """Tells a listener of steps and epochs."""

    def __init__(self, listener: Listener, clock: Clock, epochs: int, steps: int):
        super().__init__()
        self.listener, self.clock = listener, clock
        self.epochs, self.steps = epochs, steps

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Tell how far the epoch is."""
        done = min(batch + 1, self.steps - 1)  # its end is told with the line
        what = f"epoch {self.clock.epoch + 1} of {self.epochs}"
        self.listener.progress(what, done, self.steps)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Tell the epoch's line."""
        line = self.clock.line
        what = f"epoch {self.clock.epoch} of {self.epochs}"
        self.listener.progress(what, self.steps, self.steps)
        self.listener.say(
            f"{what}: loss {line['loss']:.4g}, top-1 {line['top1']:.2f} %; validation loss "
            f"{line['val_loss']:.4g}, top-1 {line['val_top1']:.2f} %; {line['seconds']:.1f} s"
        )


class Keep(keras.callbacks.Callback):
    """The last callback: writes the whole state after each epoch."""

    def __init__(self, write: Callable[[], None]):
        super().__init__()
        self.write = write

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write."""
        self.write()
