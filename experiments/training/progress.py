"""The accuracy of validation images within the epochs, every so many steps."""

from collections.abc import Callable
from typing import Any

import keras

from experiments.datasets import Split
from experiments.listener import Listener
from experiments.runs import scores
from experiments.training.budget import Budget
from experiments.training.callbacks import Clock, Line, Saved
from experiments.training.predict import predict_probs


def measured(model: keras.Model, split: Split) -> dict[str, float]:
    """Return what a model with probabilities scores on a split."""
    return scores.accuracy(predict_probs(model, split.images), split.labels)


class Progress(Saved):
    """Measures validation images every `every` steps, of which an epoch has `steps`.

    `measure` predicts with the weights of the moment and returns loss and top1: it draws nothing
    and changes nothing, so that the steps that follow are those of a run without it, bit for bit.
    Where an epoch ends in such a step, its own validation is the measurement.
    """

    name = "progress"

    def __init__(
        self,
        every: int,
        steps: int,
        measure: Callable[[], dict[str, float]],
        write: Callable[[list[Line]], None],
        clock: Clock,
        budget: Budget,
        listener: Listener,
    ):
        super().__init__()
        self.every, self.steps, self.measure, self.write = every, steps, measure, write
        self.clock, self.budget, self.listener = clock, budget, listener
        self.lines: list[Line] = []

    def state(self) -> dict[str, Any]:
        """Return the lines."""
        return {"lines": self.lines}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state; lines that were written after it go as their steps do."""
        super().restore(state)
        self.write(self.lines)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Measure, where it is time and the epoch goes on."""
        # Asked for the model, Keras on JAX gives its variables the values that they have by now.
        if self.clock.steps % self.every or batch + 1 == self.steps or self.model.stop_training:
            return
        float(logs["loss"])  # the step is waited for as training, not as what comes now
        with self.clock.aside():
            found = self.measure()
        self._add(self.clock.epoch + 1, found["loss"], found["top1"])
        told = f"after {self.clock.images:,} images: top-1 {found['top1']:.1f} %"
        self.listener.say(told)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Take the epoch's own measurement, where it is time."""
        if self.clock.steps % self.every == 0:
            line = self.clock.line
            self._add(self.clock.epoch, line["val_loss"], line["val_top1"])

    def _add(self, epoch: int, loss: float, top1: float) -> None:
        line = {"epoch": epoch, "step": self.clock.steps, "images": self.clock.images}
        line |= {"seconds": self.budget.seconds, "val_loss": loss, "val_top1": top1}
        self.lines.append(line)
        self.write(self.lines)
