"""How long a run may train: in steps, or in hours; and what ended it."""

import math
import time
from typing import Any

from experiments.recipes import Learned
from experiments.training.callbacks import Clock, Saved

HOUR = 3600


class Budget(Saved):
    """Ends training in the step in which the row's steps or hours are used up.

    Both are counted from the start of training, all parts of a run that was cut off added up;
    hours are those of training with what belongs to it: compiling, validation, keeping the state.
    The step that uses the budget up is told before it begins: Keras asks right after a step
    whether to go on, and waits for no callback that is called at its end.
    """

    name = "budget"

    def __init__(self, row: Learned, clock: Clock):
        super().__init__()
        self.clock, self.max_steps = clock, row.max_steps or math.inf
        self.max_seconds = math.inf if row.max_hours is None else row.max_hours * HOUR
        self.earlier, self._began = 0.0, None
        self.ended: str | None = None

    @property
    def seconds(self) -> float:
        """How long has been trained."""
        return self.earlier + (0 if self._began is None else time.perf_counter() - self._began)

    def state(self) -> dict[str, Any]:
        """Return the time used and whether training has ended by it."""
        return {"earlier": self.seconds, "ended": self.ended}

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Start the time."""
        self.earlier, self._began = self.seconds, time.perf_counter()

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Make this step the last one where it uses the steps up, or the time is over."""
        if self.clock.steps >= self.max_steps:  # the clock has counted this one
            self._end("max_steps")
        else:
            self._look()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Begin no other epoch where validation has used the time up."""
        self._look()

    def _look(self) -> None:
        if self.ended is None and self.seconds >= self.max_seconds:
            self._end("max_hours")

    def _end(self, reason: str) -> None:
        self.ended, self.model.stop_training = reason, True
