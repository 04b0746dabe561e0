"""What ImageDataGenerator does to a batch behind its colors: on the device, then on the host.

A step is a row of numbers, one or one for each channel, and travels as the drawn ones do.
"""

import math

import keras
import numpy as np
from keras import ops


def mean(images, fold: bool):
    """Average each image (n, 1, 1, 1); `fold` as in `_color.extremes`."""
    size = math.prod(images.shape[1:])
    flat = ops.reshape(images, (ops.shape(images)[0], size))
    while fold and flat.shape[1] > 64 and flat.shape[1] % 2 == 0:
        half = flat.shape[1] // 2
        flat = flat[:, :half] + flat[:, half:]
    return (ops.sum(flat, axis=1) / size)[:, None, None, None]


def _center(images, _flag, fold: bool):
    return images - mean(images, fold)


def _normalize(images, _flag, fold: bool):
    deviation = ops.sqrt(mean(ops.square(images - mean(images, fold)), fold))
    return images / (deviation + 1e-6)


# By the generator's names, in its order. "featurewise_std_normalization" is drawn as the divisor.
STEPS = {
    "rescale": lambda images, factor, fold: images * factor[:, None, None, None],
    "samplewise_center": _center,
    "samplewise_std_normalization": _normalize,
    "featurewise_center": lambda images, mean, fold: images - mean[:, None, None, :],
    "featurewise_std_normalization": lambda images, std, fold: images / std[:, None, None, :],
}
BY_CHANNEL = {"featurewise_center", "featurewise_std_normalization"}
OF_IMAGE = {"samplewise_center", "samplewise_std_normalization"}  # need all pixels of an image


def finish(images, numbers: dict, fold: bool = False):
    """Apply the steps that have numbers (n,) or (n, c) to float images (n, h, w, c)."""
    for name, step in STEPS.items():
        images = step(images, numbers[name], fold) if name in numbers else images
    return images


class _Lent:
    """Memory of a tensor, which it keeps, as an array that may be written to."""

    def __init__(self, array: np.ndarray):
        self._array = array  # keeps the tensor
        place, _ = array.__array_interface__["data"]
        self.__array_interface__ = {**array.__array_interface__, "data": (place, False)}


def owned(tensor) -> np.ndarray:
    """Turn a tensor that nobody else holds into an array of one's own, on a CPU without a copy.

    TensorFlow and JAX lend their memory for reading alone, since a tensor may have other users.
    """
    array = np.asarray(tensor.cpu() if keras.backend.backend() == "torch" else tensor)
    return array if array.flags.writeable else np.asarray(_Lent(array))
