"""Color operations on float images (n, h, w, c) in 0..255, one drawn number per image."""

import math

from keras import ops


def extremes(images, fold: bool = False):
    """Find the darkest and the brightest value of each image, both (n, 1, 1, 1).

    `fold` first lays the halves of an image on each other again and again: elementwise work,
    which XLA spreads over the cores where it does not spread a reduction.
    """
    low = high = ops.reshape(images, (ops.shape(images)[0], math.prod(images.shape[1:])))
    while fold and low.shape[1] > 64 and low.shape[1] % 2 == 0:
        half = low.shape[1] // 2
        low = ops.minimum(low[:, :half], low[:, half:])
        high = ops.maximum(high[:, :half], high[:, half:])
    low, high = ops.min(low, axis=1), ops.max(high, axis=1)
    return low[:, None, None, None], high[:, None, None, None]


def shift_channels(images, intensity, low, high):
    """Add `intensity` (n,) to all channels, clipped to the range [low, high] of each image."""
    return ops.minimum(ops.maximum(images + intensity[:, None, None, None], low), high)


def brighten(images, factor):
    """Multiply by `factor` (n,), clipped to 0..255."""
    return ops.clip(images * factor[:, None, None, None], 0.0, 255.0)


def order_channels(images, order):
    """Make channel order[i, k] of image i its channel k; `order` is (n, c)."""
    return ops.take_along_axis(images, order[:, None, None, :], axis=-1)


# What is drawn -> what it does to images, given it (n,): one after the other in this order, behind
# the channel shift.
BY_NUMBER = {"brightness": brighten}
