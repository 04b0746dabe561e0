"""Accuracy within the epochs, every so many steps: in training, and of validation images."""

from collections.abc import Callable
from typing import Any

import keras

from experiments.datasets import Split
from experiments.listener import Listener
from experiments.recipes import Learned
from experiments.runs import history, scores
from experiments.training.budget import Budget
from experiments.training.callbacks import Clock, Line, Saved
from experiments.training.predict import predict_probs


def measured(model: keras.Model, split: Split) -> dict[str, float]:
    """Return what a model with probabilities scores on a split."""
    return scores.accuracy(predict_probs(model, split.images), split.labels)


class Progress(Saved):
    """Writes a line every `row.progress_every` steps, and every `row.validate_every` ones.

    `train_top1` is the accuracy in training of the batches since the last line, as the network saw
    them: augmented, and before it learned from them. Keras' metric of the epoch so far is read for
    a line and in no other step.

    `measure` predicts the validation images with the weights of the moment and returns loss and
    top1: it draws nothing and changes nothing, so that the steps that follow are those of a run
    without it, bit for bit. Where an epoch ends in such a step, its own validation is the
    measurement; a line of `progress_every` has one there too, as it costs nothing.
    """

    name = "progress"

    def __init__(
        self,
        row: Learned,
        steps: int,
        measure: Callable[[], dict[str, float]],
        write: Callable[[list[Line]], None],
        clock: Clock,
        budget: Budget,
        listener: Listener,
    ):
        """Take the steps of an epoch, and what takes all lines there are."""
        super().__init__()
        self.every = row.progress_every or row.validate_every
        self.validate_every, self.steps = row.validate_every, steps
        self.measure, self.write = measure, write
        self.clock, self.budget, self.listener = clock, budget, listener
        self.lines: list[Line] = []
        self.right = self.seen = 0  # of images of earlier epochs that are in no line yet
        self._right = self._seen = 0  # of the epoch so far, what lines have of it

    def state(self) -> dict[str, Any]:
        """Return the lines, and what is to be in the next one."""
        return {"lines": self.lines, "right": self.right, "seen": self.seen}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state; lines that were written after it go as their steps do."""
        super().restore(state)
        # An earlier version wrote lines of validation alone.
        self.lines = [dict.fromkeys(history.WITHIN) | line for line in self.lines]
        self.write(self.lines)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Keras' metrics begin anew."""
        self._right = self._seen = 0

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Write a line where it is time; measure, where it is time and the epoch goes on."""
        step, images = self.clock.after(batch)
        if step % self.every:
            return
        # Reading it waits for the step as for training, not as for what comes now.
        self._take(batch + 1, logs["top1"])
        train_top1 = 100 * self.right / self.seen
        self.right = self.seen = 0
        line = {"epoch": self.clock.epoch + 1, "step": step, "images": images}
        line |= {"seconds": self.budget.seconds, "train_top1": train_top1}
        ends = batch + 1 == self.steps or self.model.stop_training
        if self.validate_every is None or step % self.validate_every or ends:
            self._add(line)
            return
        # Asked for the model, Keras on JAX gives its variables the values that they have by now.
        with self.clock.aside():
            found = self.measure()
        self._add(line, found["loss"], found["top1"])
        self.listener.say(f"after {images:,} images: top-1 {found['top1']:.1f} %")

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Count what is left of the epoch; a line of its end takes the epoch's own measurement."""
        self._take(self.clock.steps_of_epoch, logs["top1"])
        last = self.clock.line
        if self.lines and self.lines[-1]["step"] == self.clock.steps:
            self._add(self.lines.pop(), last["val_loss"], last["val_top1"])

    def _take(self, steps: int, top1: Any) -> None:
        """Count the images since the last time, by the accuracy of the epoch's first steps."""
        seen = self.clock.seen(steps)
        right = round(float(top1) * seen)  # exact: a share of them, in float32
        self.right, self.seen = self.right + right - self._right, self.seen + seen - self._seen
        self._right, self._seen = right, seen

    def _add(self, line: Line, loss: float | None = None, top1: float | None = None) -> None:
        self.lines.append(line | {"val_loss": loss, "val_top1": top1})
        self.write(self.lines)
