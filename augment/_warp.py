"""Applies drawn parameters to a batch on the device: one warp, then color, then what is erased.

Semantics of Keras' deprecated ImageDataGenerator, which are SciPy's `ndimage.affine_transform`
for the warp, and torchvision's for what that one has not. The code is `keras.ops`; how it is
compiled differs by backend: XLA on TensorFlow and JAX, eager on torch.
"""

import functools
import typing

import keras
import numpy as np
from keras import ops

from augment import _color, _finish, _jitter, _sample
from augment._geometry import cut_out, erase, inside, places
from augment.policy import Policy

AFFINE = {"theta", "tx", "ty", "shear", "zx", "zy", "flip_horizontal", "flip_vertical"}
AFFINE |= {"scale", "shear_x", "extra_rotation"}
CROP, ERASE = (
    {f"{what}_{side}" for side in ("top", "left", "height", "width")} for what in ("crop", "erase")
)
GEOMETRY = AFFINE | CROP | {"corners"}
WHOLE = {"tx", "ty", "flip_horizontal", "flip_vertical"}  # may take pixels as they are
MOVES = GEOMETRY | {"channel_order"}
# Behind the jitters: they come apart, between this and what goes before.
LAST = {"grayscale", "cutout_row", "cutout_column", *ERASE, *_finish.STEPS}
COLOR = {"channel_shift_intensity", *_color.BY_NUMBER, *_jitter.DRAWN, "grayscale"}
KNOWN = MOVES | COLOR | ERASE | {"cutout_row", "cutout_column"}
WIDE = {"channel_order", "corners", "jitter_order", *_finish.BY_CHANNEL}  # (n, columns)
# These need all channels of a warped pixel, or all of its pixels.
OF_IMAGE = {"channel_shift_intensity", "grayscale", *_jitter.DRAWN, *_finish.OF_IMAGE}

Layout = tuple[tuple[str, int], ...]  # names of the parameters in a packed array, and their widths


class Sampling(typing.NamedTuple):
    """The part of a policy that selects compiled code instead of being its input."""

    fill_mode: str
    cval: float
    order: int
    center: tuple[float, float] | None = None
    cutout: tuple[int, float] = (0, 0.0)  # side, value
    erasing: float = 0.0  # value


def sampling(policy: Policy, center=None) -> Sampling:
    """Select what of `policy` is compiled in."""
    cutout = (policy.cutout, policy.cutout_value) if policy.cutout else (0, 0.0)
    erasing = policy.erasing_value if policy.erasing else 0.0
    order = policy.interpolation_order
    return Sampling(policy.fill_mode, policy.cval, order, center, cutout, erasing)


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
    return color(warp(images, drawn, how), drawn, how)


def color(
    images, drawn: dict, how: Sampling, compiled=lambda function: function, fold: bool = False
):
    """Change the colors of a warped batch, erase and cut out, and take the generator's steps.

    Its functions may be `compiled` one by one.
    """
    for stage in stages(drawn.keys()):
        images = stage(images, drawn, how, compiled, fold)
    return images


def stages(names) -> list[typing.Callable]:
    """Return the functions that change colors by what has been drawn, one behind the other."""
    names = names - MOVES
    jitters = names & _jitter.DRAWN
    if not jitters:
        return [_colored] if names else []
    before, after = names - jitters - LAST, names & LAST
    jitters = [_of_jitter(stage) for stage in _jitter.stages(jitters)]
    return [_colored_before] * bool(before) + jitters + [_colored_after] * bool(after)


@functools.cache
def _of_jitter(stage: typing.Callable) -> typing.Callable:
    def change(images, drawn: dict, how: Sampling, compiled, fold: bool):
        drawn = {name: values for name, values in drawn.items() if name in _jitter.DRAWN}
        return compiled(stage)(images, drawn)

    return change


def _colored_before(images, drawn: dict, *rest):
    chosen = drawn.keys() - LAST - _jitter.DRAWN
    return _colored(images, {name: drawn[name] for name in drawn if name in chosen}, *rest)


def _colored_after(images, drawn: dict, *rest):
    return _colored(images, {name: drawn[name] for name in drawn if name in LAST}, *rest)


def _colored(images, drawn: dict, how: Sampling, compiled, fold: bool):
    drawn = {name: values for name, values in drawn.items() if name not in MOVES}
    extremes = ()
    if "channel_shift_intensity" in drawn:
        extremes = compiled(_color.extremes)(images, fold)
    return compiled(_change)(images, drawn, extremes, how, fold)


def _change(images, drawn: dict, extremes: tuple, how: Sampling, fold: bool):
    if extremes:
        images = _color.shift_channels(images, drawn["channel_shift_intensity"], *extremes)
    for name, change in _color.BY_NUMBER.items():
        images = change(images, drawn[name]) if name in drawn else images
    if "grayscale" in drawn:
        images = _jitter.without_color(images, drawn["grayscale"])
    images = cut_out(erase(images, drawn, how.erasing), drawn, how.cutout)
    return _finish.finish(images, drawn, fold)


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
    rows, columns = places(drawn, ops.shape(images)[0], images.shape[1:], how.center)
    outside = None
    if how.fill_mode == "constant":
        outside = (rows < 0) | (rows > height - 1) | (columns < 0) | (columns > width - 1)
    rows, columns = inside(rows, height, how.fill_mode), inside(columns, width, how.fill_mode)
    if how.order == 0:
        rows, columns = ops.floor(rows + 0.5), ops.floor(columns + 0.5)
    warped = _sample.sample(images, order, rows, columns, how.order)
    return warped if outside is None else ops.where(outside[..., None], how.cval, warped)


# Where colors need all of a warped image, they are programs apart. In one, XLA on CPU either finds
# the extremes of the images on one core (TensorFlow 2.21), or makes the warp part of that
# reduction, ten times slower (JAX 0.10.2, which does so to the channel shift too).


def run(images, packed, layout: Layout, how: Sampling):
    """Run `transform` on host arrays or tensors, compiled where the backend compiles.

    `packed` (n, columns) holds all parameters: one array is quicker to hand over than many.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        if not needs_image(layout):
            return _jitted(_whole_packed)(images, packed, layout, how)
        images = _jitted(_warp_packed)(images, packed, layout, how)
        return color(images, unpack(packed, layout), how, _jitted)
    if backend == "tensorflow":
        kind = (tuple(images.shape), keras.backend.standardize_dtype(images.dtype))
        return _programs(kind, layout, how)(images, packed)
    import torch

    images = ops.convert_to_tensor(images)
    # Followed where a gradient by the pixels is asked for, as by a network that makes them.
    with torch.set_grad_enabled(torch.is_grad_enabled() and images.requires_grad):
        return transform(images, unpack(ops.convert_to_tensor(packed), layout), how)


def unpack(packed, layout: Layout) -> dict:
    """Split packed parameters into (n,) or (n, width) arrays by name."""
    drawn, start = {}, 0
    for name, width in layout:
        part = packed[:, start : start + width]
        drawn[name] = part if name in WIDE else part[:, 0]
        start += width
    return drawn


def needs_image(layout: Layout) -> bool:
    """Tell whether some change needs all of a warped image before any of its pixels is done."""
    return any(name in OF_IMAGE for name, _ in layout)


def _warp_packed(images, packed, layout: Layout, how: Sampling):
    return warp(images, unpack(packed, layout), how)


def _whole_packed(images, packed, layout: Layout, how: Sampling):
    return transform(images, unpack(packed, layout), how)


@functools.cache
def _jitted(function: typing.Callable) -> typing.Callable:
    import jax

    static = dict.fromkeys((_warp_packed, _whole_packed), ("layout", "how"))
    static |= {_color.extremes: ("fold",), _change: ("how", "fold")}
    return jax.jit(function, static_argnames=static.get(function))


@functools.cache
def _programs(kind: tuple, layout: Layout, how: Sampling) -> typing.Callable:
    # Concrete functions and explicit tensors: half the dispatch time of a tf.function.
    import tensorflow as tf

    shape, dtype = kind
    numbers = tf.TensorSpec((shape[0], sum(width for _, width in layout)), "float32")

    def compiled(function, dtype):
        @tf.function(jit_compile=True, autograph=False)
        def program(images, packed):
            # Not a `partial`: TensorFlow writes the tensors of each of its calls out as text.
            return function(images, packed, layout, how)

        return program.get_concrete_function(tf.TensorSpec(shape, dtype), numbers)

    if not needs_image(layout):
        whole = compiled(_whole_packed, dtype)
        return lambda *both: whole(*map(tf.convert_to_tensor, both))
    warped = compiled(_warp_packed, dtype)
    colored = [compiled(_packed(stage), "float32") for stage in stages(dict(layout).keys())]

    def call(images, packed):
        packed = tf.convert_to_tensor(packed)
        images = warped(tf.convert_to_tensor(images), packed)
        for program in colored:
            images = program(images, packed)
        return images

    return call


def _packed(stage: typing.Callable) -> typing.Callable:
    def change(images, packed, layout: Layout, how: Sampling):
        return stage(images, unpack(packed, layout), how, lambda function: function, True)

    return change
