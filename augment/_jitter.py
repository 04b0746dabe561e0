"""torchvision's ColorJitter and RandomGrayscale, on float images (n, h, w, c) in 0..255.

Three of the four operations mix an image with a reference: black, its mean gray or itself in gray.
A batch, in which every image has an order of its own, takes them in steps, each of them one mixture
whatever the operation. To turn the hue costs as much as all the rest, so it is done once: steps
that come before it in an image's order go before, all others behind. Other than in torchvision on
uint8, nothing is rounded in between.
"""

import keras
import numpy as np
from keras import ops

from augment import _finish
from augment._draw import JITTERS

BRIGHTNESS, CONTRAST, SATURATION, HUE = JITTERS
DRAWN = {*JITTERS, "jitter_order"}
# Of red, green and blue, as in torchvision: they sum to 0.9999.
_GRAY = np.array([0.2989, 0.587, 0.114], "float32")
# By the hue in sixths of the circle, red falls and rises about 3, green and blue rise and fall
# about 2 and 4.
_MIDDLE, _SIGN, _START = np.array([[3, 2, 4], [1, -1, -1], [-1, 2, 2]], "float32")


def gray(images):
    """Return the brightness (n, h, w, 1) of RGB images; those of one channel are it.

    In the way that keeps XLA on CPU from computing all steps before it once more for each channel.
    """
    if images.shape[-1] == 1:
        return images
    weights = ops.convert_to_tensor(_GRAY)
    if keras.backend.backend() == "jax":
        import jax

        # Not by the short floats that a GPU multiplies matrices in.
        found = jax.numpy.einsum(
            "nhwc,c->nhw", images, weights, precision=jax.lax.Precision.HIGHEST
        )
        return found[..., None]
    return ops.sum(images * weights, axis=-1, keepdims=True)


def without_color(images, chosen):
    """Make those of the images that are `chosen` (n,) gray."""
    return ops.where(ops.cast(chosen, "bool")[:, None, None, None], gray(images), images)


def stages(names) -> list:
    """Return the functions of (images, drawn) that, one by one, apply what is drawn.

    Compiled apart: XLA on CPU would turn the hue anew for each use of the result.
    """
    if HUE not in names:
        return [mix_before]
    if not names & {BRIGHTNESS, CONTRAST, SATURATION}:
        return [turn]
    return [mix_before, turn, mix_after] if "jitter_order" in names else [mix_before, turn]


def mix_before(images, drawn: dict):
    """Take the steps that come before the hue, or all where there is none."""
    steps, place = _steps(drawn)
    for number, now in enumerate(steps):
        images = _mix(images, drawn, now, None if place is None else number < place)
    return images


def mix_after(images, drawn: dict):
    """Take the steps that come after the hue."""
    steps, place = _steps(drawn)
    for number, now in enumerate(steps):
        images = _mix(images, drawn, now, number >= place)
    return images


def _steps(drawn: dict) -> tuple[list, object]:
    """Return the numbers of the operations, without the hue, step by step; and its place (n,).

    Without a drawn order it is that of the columns.
    """
    order = drawn.get("jitter_order")
    if order is None:
        return [number for number, name in enumerate(JITTERS[:-1]) if name in drawn], None
    if HUE not in drawn:
        return [order[:, step] for step in range(order.shape[1])], None
    steps = range(order.shape[1])
    place = sum(step * ops.cast(order[:, step] == JITTERS.index(HUE), "int32") for step in steps)
    return [
        ops.where(step < place, order[:, step], order[:, step + 1]) for step in steps[:-1]
    ], place


def _mix(images, drawn: dict, now, active):
    """Apply to each image the operation whose number is `now` (n,), where it is `active` (n,)."""
    share, reference = 1.0, 0.0
    for number, name in enumerate(JITTERS[:-1]):
        colorless = name == SATURATION and images.shape[-1] == 1
        if name not in drawn or colorless:
            continue
        chosen = ops.equal(now, number)
        chosen = chosen if active is None else ops.logical_and(chosen, active)
        share = share * ops.where(chosen, drawn[name], 1.0)[:, None, None, None]
        if name == CONTRAST:
            mean = _finish.mean(gray(images), fold=True)
            reference = reference + ops.where(chosen[..., None, None, None], mean, 0.0)
        elif name == SATURATION:
            ones = ops.ones_like(drawn[name])
            chosen = ops.where(chosen, ones, 0.0)[:, None, None, None]
            reference = reference + chosen * gray(images)
    return ops.clip(images * share + reference * (1.0 - share), 0.0, 255.0)


def turn(images, drawn: dict):
    """Turn the hue by a share of the color circle, as through HSV: value and saturation stay."""
    if images.shape[-1] == 1:
        return images
    red, green, blue = images[..., :1], images[..., 1:2], images[..., 2:]
    low = ops.minimum(ops.minimum(red, green), blue)
    span = ops.maximum(ops.maximum(red, green), blue) - low
    # Not by asking which is equal to the maximum: a compiler may round the two apart.
    is_red, is_green = ops.logical_and(red >= green, red >= blue), green >= blue
    ahead = ops.where(is_red, green - blue, ops.where(is_green, blue - red, red - green))
    sector = ops.where(is_red, 0.0, ops.where(is_green, 2.0, 4.0))
    # Of the six sectors of the circle; pixels without color have any hue.
    hue = sector + ahead / ops.maximum(span, 1e-6) + 6.0 * drawn[HUE][:, None, None, None]
    hue = hue - 6.0 * ops.floor(hue * (1 / 6))
    middle, sign, start = map(ops.convert_to_tensor, (_MIDDLE, _SIGN, _START))
    return low + span * ops.clip(ops.abs(hue - middle) * sign + start, 0.0, 1.0)
