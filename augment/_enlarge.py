"""Enlarges images on the device as Pillow does, to the same grey levels.

Pillow resizes along the width, then along the height (Pillow's docs, "Concepts: Filters"). A pixel
is a weighted sum of its neighbors; weights are whole multiples of 2**-22, and each of both results
is rounded to a grey level from 0 to 255. Here either pass is a product with a small matrix.

Whole numbers of 8 and 23 bits have no exact product in float32. So a weight is the sum of a coarse
part, a multiple of 2**-10, and a fine one, both of 11 bits and a sign: products and their sums stay
below 2**24, exact in float32 and also where a GPU multiplies in TF32, whatever the order of the
sum. The result is thus the same on every backend and device, bit for bit.
"""

import functools
import typing

import keras
import numpy as np
from keras import ops

from augment._compile import compiled

_BITS = 22  # of a weight behind the point
_FINE_BITS = 12  # of these in the fine part


def _hamming(x):
    return np.sinc(x) * (0.54 + 0.46 * np.cos(np.pi * x))


def _bicubic(x):
    near = (1.5 * x - 2.5) * x * x + 1
    return np.where(x < 1, near, -0.5 * (((x - 5) * x + 8) * x - 4))


class _Filter(typing.NamedTuple):
    """How far it reaches, in pixels of the small image, and the weight at a distance."""

    reach: float
    weight: typing.Callable[[np.ndarray], np.ndarray]


# "nearest" has no weights: see `_nearest`.
_FILTERS = {
    "box": _Filter(0.5, np.ones_like),
    "bilinear": _Filter(1.0, lambda x: 1 - x),
    "hamming": _Filter(1.0, _hamming),
    "bicubic": _Filter(2.0, _bicubic),
    "lanczos": _Filter(3.0, lambda x: np.sinc(x) * np.sinc(x / 3)),
}
FILTERS = ("nearest", *_FILTERS)


def enlarge(images, size: tuple[int, int], resample: str = "lanczos"):
    """Enlarge a batch to what Pillow's `Image.resize` makes of each image, in one compiled call.

    Args:
        images: (n, height, width, channels) uint8, an array or a tensor; channels are kept apart.
        size: (height, width) in pixels, neither smaller than that of the images.
        resample: name of Pillow's filter: nearest, box, bilinear, hamming, bicubic or lanczos.

    Returns:
        uint8 tensor of the backend, (n, *size, channels). On JAX the call may be a part of what
        the caller compiles.

    Raises:
        ValueError: images of another shape or type, a smaller size, no filter of Pillow's.

    """
    shape, size = tuple(images.shape), tuple(size)
    kind = keras.backend.standardize_dtype(images.dtype)
    if len(shape) != 4 or not all(shape) or kind != "uint8":
        raise ValueError(
            f"images are {kind} {shape}: uint8 (n, height, width, channels), none 0, are expected"
        )
    if len(size) != 2 or any(
        wanted < given for wanted, given in zip(size, shape[1:3], strict=True)
    ):
        raise ValueError(
            f"images of {shape[1]}x{shape[2]} pixels (height x width) cannot be enlarged to "
            f"{size}: give (height, width), neither smaller; Pillow reduces them"
        )
    if resample not in FILTERS:
        raise ValueError(f"resample {resample!r}: choose of {', '.join(FILTERS)}")
    return _program(shape[1:3], size, resample)(images)


@functools.cache
def _program(shape: tuple[int, int], size: tuple[int, int], resample: str) -> typing.Callable:
    height, width = (
        _parts(weights(given, wanted, resample)) for given, wanted in zip(shape, size, strict=True)
    )

    def program(images):
        images = _along("ow,nhwc->nhoc", width, images) if size[1] != shape[1] else images
        return _along("oh,nhwc->nowc", height, images) if size[0] != shape[0] else images

    return compiled(program)


def _along(axes: str, parts: tuple[np.ndarray, np.ndarray], images):
    """Resize uint8 images along one axis: one of Pillow's two passes."""
    images = ops.cast(images, "float32")
    coarse, fine = (ops.cast(ops.einsum(axes, part, images), "int32") for part in parts)
    total = coarse * (1 << _FINE_BITS) + fine + (1 << _BITS - 1)
    return ops.cast(ops.clip(ops.right_shift(total, _BITS), 0, 255), "uint8")


def _parts(whole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the coarse and the fine part of weights, float32 whole numbers."""
    coarse = (whole + (1 << _FINE_BITS - 1)) >> _FINE_BITS
    return coarse.astype("float32"), (whole - (coarse << _FINE_BITS)).astype("float32")


def weights(given: int, wanted: int, resample: str) -> np.ndarray:
    """Return what each of `wanted` pixels takes of `given` ones: (wanted, given), times 2**22."""
    if resample == "nearest":
        return np.eye(given, dtype=np.int64)[_nearest(given, wanted)] << _BITS
    reach, weight = _FILTERS[resample]
    center = (np.arange(wanted)[:, None] + 0.5) * (given / wanted)
    first, last = np.trunc(center - reach + 0.5), np.trunc(center + reach + 0.5)
    pixel = np.arange(given)
    distance = np.abs(pixel + 0.5 - center)
    found = np.where((pixel >= first) & (pixel < last), weight(distance), 0.0)
    found /= found.sum(axis=1, keepdims=True)
    return np.trunc(found * (1 << _BITS) + np.copysign(0.5, found)).astype(np.int64)


def _nearest(given: int, wanted: int) -> np.ndarray:
    """Return the pixel that each one is a copy of; Pillow's steps add up their rounding errors."""
    step = given / wanted
    places = np.cumsum([0.5 * step, *[step] * (wanted - 1)])
    return np.minimum(places.astype(int), given - 1)
