"""Statistics of batch normalization made anew for the weights that a run ends with.

During training they are moving averages over the last steps, of weights that were others then, and
after a change of size of other images. Here: their mean over some batches at the final weights.
"""

from collections.abc import Iterable

import keras
import numpy as np


def normalizations(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Return the layers whose statistics training changes; `ValueError` where there is none."""
    kind = keras.layers.BatchNormalization
    found = [layer for layer in model.layers if isinstance(layer, kind) and layer.trainable]
    if not found:
        raise ValueError(
            f"refresh: {model.name} has no batch normalization whose statistics could be made "
            "anew: leave refresh out"
        )
    return found


def refresh(model: keras.Model, batches: Iterable[tuple], seed: int) -> None:
    """Give each normalization the mean of its statistics in (images, targets), by image.

    The images pass as in training, dropout included, by `seed`. Nothing else of the model changes.
    """
    layers = normalizations(model)
    moving = [v for layer in layers for v in (layer.moving_mean, layer.moving_variance)]
    ours = {id(variable) for variable in moving}
    others = [v for v in model.non_trainable_variables if id(v) not in ours]
    before, momenta = [v.numpy() for v in others], [layer.momentum for layer in layers]
    sums, total = [np.zeros(v.shape) for v in moving], 0
    keras.utils.set_random_seed(seed)  # of torch's dropout, which has no variable
    try:
        for layer in layers:
            layer.momentum = 0.0  # one batch leaves its own statistics
        training = _Training(model)
        for images, _ in batches:
            training.predict_on_batch(images)
            total += len(images)
            for found, variable in zip(sums, moving, strict=True):
                found += len(images) * keras.ops.convert_to_numpy(variable)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
    for variable, found in zip(moving, sums, strict=True):
        variable.assign(found / total)
    for variable, value in zip(others, before, strict=True):  # states of dropout's generators
        variable.assign(value)


class _Training(keras.Model):
    """A model that always answers as in training; its compiled `predict` takes no step."""

    def __init__(self, model: keras.Model):
        super().__init__(name="refresh")
        self.inner = model
        self.compile(jit_compile=model.jit_compile)

    def call(self, images):
        return self.inner(images, training=True)
