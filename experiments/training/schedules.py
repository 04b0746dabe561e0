"""How the learning rate changes: a table from what a row says to the callback that does it."""

from collections.abc import Callable

from experiments.recipes import fitting
from experiments.training.callbacks import Clock, Saved, Waiting


class Plateau(Waiting):
    """Multiplies the rate after epochs without a better value."""

    name = "plateau"

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Lower the rate where it was waited long enough, and wait anew."""
        if self.exhausted():
            self.wait = 0
            rate = max(self.clock.line["lr"] * self.spec.factor, self.spec.min_lr)
            self.model.optimizer.learning_rate.assign(rate)


# A constant rate needs nothing.
SCHEDULES: dict[type, Callable[[fitting.Schedule, Clock], Saved] | None] = {
    fitting.Constant: None,
    fitting.Plateau: Plateau,
}


def callbacks(spec: fitting.Schedule, clock: Clock) -> list[Saved]:
    """Return what carries a schedule out."""
    make = SCHEDULES[type(spec)]
    return [make(spec, clock)] if make else []
