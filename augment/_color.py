"""Color operations on float images (n, h, w, c) in 0..255, one drawn number per image."""

from keras import ops


def extremes(images):
    """Find the darkest and the brightest value of each image, both (n, 1, 1, 1)."""
    axes = (1, 2, 3)
    return ops.min(images, axis=axes, keepdims=True), ops.max(images, axis=axes, keepdims=True)


def shift_channels(images, intensity, low, high):
    """Add `intensity` (n,) to all channels, clipped to the range [low, high] of each image."""
    return ops.minimum(ops.maximum(images + intensity[:, None, None, None], low), high)


def brighten(images, factor):
    """Multiply by `factor` (n,), clipped to 0..255."""
    return ops.clip(images * factor[:, None, None, None], 0.0, 255.0)


def order_channels(images, order):
    """Make channel order[i, k] of image i its channel k; `order` is (n, c)."""
    return ops.take_along_axis(images, order[:, None, None, :], axis=-1)
