"""Applies drawn parameters to a batch on the device: one affine warp, then color.

Semantics of Keras' deprecated ImageDataGenerator, which are SciPy's `ndimage.affine_transform`
for the warp. The code is `keras.ops`; what differs by backend, for speed, is here: compilation
(XLA on TensorFlow and JAX, eager on torch), the gather, and torch's `grid_sample`.
"""

import functools
import typing

import keras
import numpy as np
from keras import ops

from augment import _color, _finish
from augment._geometry import cut_out, inside, matrices
from augment.policy import Policy

GEOMETRY = {"theta", "tx", "ty", "shear", "zx", "zy", "flip_horizontal", "flip_vertical"}
WHOLE = {"tx", "ty", "flip_horizontal", "flip_vertical"}  # may take pixels as they are
COLOR = {"channel_shift_intensity", *_color.BY_NUMBER}
CUTOUT = {"cutout_row", "cutout_column"}
STEPS = set(_finish.STEPS)
KNOWN = GEOMETRY | COLOR | CUTOUT | {"channel_order"}
BY_CHANNEL = {"channel_order", *_finish.BY_CHANNEL}
# These need all of a warped image before any of its pixels is done.
OF_IMAGE = {"channel_shift_intensity", *_finish.OF_IMAGE}

Layout = tuple[tuple[str, int], ...]  # names of the parameters in a packed array, and their widths


class Sampling(typing.NamedTuple):
    """The part of a policy that selects compiled code instead of being its input."""

    fill_mode: str
    cval: float
    order: int
    center: tuple[float, float] | None = None
    cutout: tuple[int, float] = (0, 0.0)  # side, value


def sampling(policy: Policy, center=None) -> Sampling:
    """Select what of `policy` is compiled in."""
    cutout = (policy.cutout, policy.cutout_value) if policy.cutout else (0, 0.0)
    return Sampling(policy.fill_mode, policy.cval, policy.interpolation_order, center, cutout)


def exact(drawn: dict, how: Sampling) -> Sampling:
    """Return `how`, without interpolation where all that was drawn on the host moves whole pixels.

    The result is the same, in half the time: float32 has all coordinates exactly, save by
    "reflect" on sides that are no power of two, where rounding them to pixels mends their error.
    """
    shifts = (np.asarray(drawn[name]) for name in ("tx", "ty") if name in drawn)
    if GEOMETRY & drawn.keys() <= WHOLE and all((s == np.rint(s)).all() for s in shifts):
        return how._replace(order=0)
    return how


def transform(images, drawn: dict, how: Sampling):
    """Transform a batch by drawn parameters in `keras.ops`, traceable on every backend."""
    return color(warp(images, drawn, how), drawn, how.cutout)


def color(images, drawn: dict, cutout=None, compiled=lambda function: function, fold: bool = False):
    """Change the colors of a warped batch, with functions that may be `compiled` one by one.

    Cutout follows, and the generator's steps, where `drawn` has numbers for them.
    """
    after = COLOR | CUTOUT | STEPS
    numbers = {name: values for name, values in drawn.items() if name in after}
    if not numbers:
        return images
    extremes = ()
    if "channel_shift_intensity" in numbers:
        extremes = compiled(_color.extremes)(images, fold)
    return compiled(_change)(images, numbers, extremes, cutout, fold)


def _change(images, numbers: dict, extremes: tuple, cutout, fold: bool):
    if extremes:
        images = _color.shift_channels(images, numbers["channel_shift_intensity"], *extremes)
    for name, change in _color.BY_NUMBER.items():
        images = change(images, numbers[name]) if name in numbers else images
    return _finish.finish(cut_out(images, numbers, cutout), numbers, fold)


def warp(images, drawn: dict, how: Sampling):
    """Warp a batch and order its channels; flips are part of the affine map.

    Flips and the order of the channels come after the channel shift in ImageDataGenerator, and
    commute with it, as with brightness.
    """
    order = drawn.get("channel_order")
    order = None if order is None else ops.cast(order, "int32")
    if not GEOMETRY & drawn.keys():
        images = ops.cast(images, "float32")
        return images if order is None else _color.order_channels(images, order)
    height, width = images.shape[1:3]
    matrix = matrices(drawn, ops.shape(images)[0], images.shape[1:], how.center)
    y = ops.arange(height, dtype="float32")[None, :, None]
    x = ops.arange(width, dtype="float32")[None, None, :]
    m = [matrix[:, k, None, None] for k in range(6)]
    rows, columns = m[0] * y + m[1] * x + m[2], m[3] * y + m[4] * x + m[5]
    outside = None
    if how.fill_mode == "constant":
        outside = (rows < 0) | (rows > height - 1) | (columns < 0) | (columns > width - 1)
    rows, columns = inside(rows, height, how.fill_mode), inside(columns, width, how.fill_mode)
    if how.order == 0:
        rows, columns = ops.floor(rows + 0.5), ops.floor(columns + 0.5)
    if keras.backend.backend() == "torch":
        warped = _grid_sample(images, order, rows, columns, how)
    else:
        warped = _gather_sample(images, order, rows, columns, how)
    return warped if outside is None else ops.where(outside[..., None], how.cval, warped)


def _gather_sample(images, order, rows, columns, how: Sampling):
    """Sample by gathers from a flat table, which XLA fuses into one loop."""
    height, width = images.shape[1:3]
    first = ops.arange(ops.shape(images)[0], dtype="int32")[:, None, None] * (height * width)
    if how.order == 0:
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


def _grid_sample(images, order, rows, columns, how: Sampling):
    import torch

    height, width = images.shape[1:3]
    images = ops.cast(images, "float32")
    images = images if order is None else _color.order_channels(images, order)
    # With align_corners, -1 and 1 are the middles of the first and the last pixel.
    grid = torch.stack(
        [columns * (2 / max(width - 1, 1)) - 1, rows * (2 / max(height - 1, 1)) - 1], dim=-1
    )
    mode = "bilinear" if how.order else "nearest"
    warped = torch.nn.functional.grid_sample(
        images.permute(0, 3, 1, 2), grid, mode, "border", align_corners=True
    )
    return warped.permute(0, 2, 3, 1).contiguous()


# Warp and color are programs apart. In one, XLA on CPU either finds the extremes of the images on
# one core (TensorFlow 2.21), or makes the warp part of that reduction, ten times slower (JAX
# 0.10.2, which does so to the channel shift too: there each function is a program).


def run(images, packed, layout: Layout, how: Sampling):
    """Run `transform` on host arrays or tensors, compiled where the backend compiles.

    `packed` (n, columns) holds all parameters: one array is quicker to hand over than many.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        images, drawn = _jitted(_warp_packed)(images, packed, layout, how), unpack(packed, layout)
        return color(images, drawn, how.cutout, _jitted)
    if backend == "tensorflow":
        kind = (tuple(images.shape), keras.backend.standardize_dtype(images.dtype))
        return _programs(kind, layout, how)(images, packed)
    import torch

    with torch.no_grad():
        drawn = unpack(ops.convert_to_tensor(packed), layout)
        return transform(ops.convert_to_tensor(images), drawn, how)


def unpack(packed, layout: Layout) -> dict:
    """Split packed parameters into (n,) or (n, width) arrays by name."""
    drawn, start = {}, 0
    for name, width in layout:
        part = packed[:, start : start + width]
        drawn[name] = part if name in BY_CHANNEL else part[:, 0]
        start += width
    return drawn


def _warp_packed(images, packed, layout: Layout, how: Sampling):
    return warp(images, unpack(packed, layout), how)


@functools.cache
def _jitted(function: typing.Callable) -> typing.Callable:
    import jax

    static = {_warp_packed: ("layout", "how")}
    static |= {_color.extremes: ("fold",), _change: ("cutout", "fold")}
    return jax.jit(function, static_argnames=static.get(function))


@functools.cache
def _programs(kind: tuple, layout: Layout, how: Sampling) -> typing.Callable:
    # Concrete functions and explicit tensors: half the dispatch time of a tf.function.
    import tensorflow as tf

    shape, dtype = kind
    numbers = tf.TensorSpec((shape[0], sum(width for _, width in layout)), "float32")

    def compiled(function, dtype):
        program = tf.function(function, jit_compile=True, autograph=False)
        return program.get_concrete_function(tf.TensorSpec(shape, dtype), numbers)

    def warp_only(images, packed):
        return _warp_packed(images, packed, layout, how)

    def color_only(images, packed):
        return color(images, unpack(packed, layout), how.cutout, fold=True)

    if any(name in OF_IMAGE for name, _ in layout):
        warped, colored = compiled(warp_only, dtype), compiled(color_only, "float32")
    else:
        warped = compiled(
            lambda images, packed: color_only(warp_only(images, packed), packed), dtype
        )
        colored = None

    def call(images, packed):
        packed = tf.convert_to_tensor(packed)
        images = warped(tf.convert_to_tensor(images), packed)
        return images if colored is None else colored(images, packed)

    return call
