"""Samples images at fractional pixels, the fastest way of each backend."""

import keras
import numpy as np
from keras import ops

from augment import _color


def sample(images, order, rows, columns, interpolation: int):
    """Read (n, h, w, c) at rows and columns (n, h, w) within the images, as float32.

    `order` (n, c) numbers the source of each channel, None for its own; `interpolation` is 0 for
    whole rows and columns, 1 for bilinear.
    """
    if keras.backend.backend() == "torch":
        return _grid_sample(images, order, rows, columns, interpolation)
    return _gather_sample(images, order, rows, columns, interpolation)


def _gather_sample(images, order, rows, columns, interpolation: int):
    """Sample by gathers from a flat table, which XLA fuses into one loop."""
    height, width = images.shape[1:3]
    first = ops.arange(ops.shape(images)[0], dtype="int32")[:, None, None] * (height * width)
    if interpolation == 0:
        return _reader(images, order, first + ops.cast(rows * width + columns, "int32"))(0)
    # Corners stop at the last but one row and column, so that each has neighbors.
    top = ops.floor(ops.minimum(rows, max(height - 2.0, 0.0)))
    left = ops.floor(ops.minimum(columns, max(width - 2.0, 0.0)))
    corner = first + ops.cast(top * width + left, "int32")  # exact: below 2**24 in an image
    down, right = (width if height > 1 else 0), (1 if width > 1 else 0)
    read = _reader(images, order, corner, down + right)
    below, across = (rows - top)[..., None], (columns - left)[..., None]
    upper_left, lower_left = read(0), read(down)
    upper = upper_left + (read(right) - upper_left) * across
    lower = lower_left + (read(down + right) - lower_left) * across
    return upper + (lower - upper) * below


def _reader(images, order, pixel, reach: int = 0):
    """Return a function from an offset up to `reach` to the float channels (n, h, w, c) there.

    `pixel` (n, h, w) numbers the pixels from which that is counted. Up to four uint8 channels
    travel as one 32-bit word: a third of the gathers. The index is broadcast over the channels
    before the gather, since XLA on CPU materializes a gather whose result is broadcast, but fuses
    this one.
    """
    channels = images.shape[-1]
    order = ops.arange(channels, dtype="int32") if order is None else order[:, None, None, :]
    packed = keras.backend.standardize_dtype(images.dtype) == "uint8" and channels <= 4
    if packed:
        # The fourth channel may set the sign bit: multiply wraps, and the mask below undoes it.
        places = np.array([1 << 8 * k for k in range(channels)], "uint32").view("int32")
        table = ops.reshape(ops.sum(ops.cast(images, "int32") * places, axis=-1), (-1,))
        index = ops.broadcast_to(pixel[..., None], (*ops.shape(images)[:3], channels))
    else:
        table = ops.reshape(ops.cast(images, "float32"), (-1,))
        index = pixel[..., None] * channels + order
    step = 1 if packed else channels
    if table.shape[0] is not None:
        # No index is cut off here, but the compiler learns their range: of the tests that XLA
        # makes of each gather's index only the first remains, and offsets become addresses.
        index = ops.clip(index, 0, table.shape[0] - 1 - reach * step)

    def read(offset: int):
        found = _gather(table, index + offset * step)
        if not packed:
            return found
        return ops.cast(ops.bitwise_and(ops.right_shift(found, 8 * order), 255), "float32")

    return read


def _gather(table, index):
    """Return table[index], without the tests of the index that `ops.take` makes."""
    if keras.backend.backend() == "jax":
        return table.at[index].get(mode="promise_in_bounds")
    import tensorflow as tf

    return tf.gather(table, index)


def _grid_sample(images, order, rows, columns, interpolation: int):
    import torch

    height, width = images.shape[1:3]
    images = ops.cast(images, "float32")
    images = images if order is None else _color.order_channels(images, order)
    # With align_corners, -1 and 1 are the middles of the first and the last pixel.
    grid = torch.stack(
        [columns * (2 / max(width - 1, 1)) - 1, rows * (2 / max(height - 1, 1)) - 1], dim=-1
    )
    mode = "bilinear" if interpolation else "nearest"
    warped = torch.nn.functional.grid_sample(
        images.permute(0, 3, 1, 2), grid, mode, "border", align_corners=True
    )
    return warped.permute(0, 2, 3, 1).contiguous()
