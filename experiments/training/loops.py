"""Which loop trains a compiled model: Keras' own, or blocks of steps on JAX."""

import keras

from experiments.datasets import Split
from experiments.recipes import Learned
from experiments.training import blocks, feed, steps
from experiments.training._rows import Drawing
from experiments.training.predict import BATCH


def choose(
    row: Learned, trainer: keras.Model, drawing: Drawing, validation: Split, most: int
) -> "Keras | blocks.Blocks":
    """Return the loop for a row, which trains `most` steps in all; `told` says which and why."""
    within = {
        "accuracy is measured within epochs": row.validate_every,
        "rates of dropout change": row.dropout,
    }
    why = next((reason for reason, given in within.items() if given), None)
    why = why or blocks.hindrance(trainer, drawing.targets, [drawing.images, validation])
    if why is None:
        return blocks.Blocks(trainer, drawing, validation, most)
    return Keras(trainer, drawing, validation, why)


class Keras:
    """Keras' own loop, in the form of `Blocks`; a callback ends it with its last step."""

    def __init__(self, trainer: keras.Model, drawing: Drawing, validation: Split, why: str):
        self.trainer, self.drawing = trainer, drawing
        self.validation = feed.Validation(validation, BATCH)
        self.told = f"trains by Keras' loop: {why}"

    def fit(self, heard: list, *, initial_epoch: int, epochs: int) -> None:
        """Train from an epoch up to another one, or until a callback ends it."""
        self.trainer.fit(
            self.drawing.batches(initial_epoch),
            steps_per_epoch=self.drawing.plan.steps,
            initial_epoch=initial_epoch,
            epochs=epochs,
            validation_data=self.validation,
            callbacks=steps.Steps(heard, self.trainer),
            shuffle=False,
            verbose=0,
        )

    def evaluate(self) -> dict[str, float]:
        """Return the scores of the validation images."""
        return self.trainer.evaluate(self.validation, verbose=0, return_dict=True)
