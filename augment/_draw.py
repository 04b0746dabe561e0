"""What happens to an image, as a pure function of (policy, seed, epoch, index)."""

import functools
import typing

import numpy as np

from augment import _boxes
from augment._uniforms import uniforms
from augment.policy import Policy, get


class Columns(typing.NamedTuple):
    """The numbers in an image's sequence that belong to one parameter."""

    first: int
    count: int = 1


# Fixed, so that switching one operation on or off, or adding one, leaves the draws of the others
# as they are. Only the columns that a policy reads are computed: gaps cost nothing.
COLUMNS = {
    "theta": Columns(0),
    "tx": Columns(1, 2),  # magnitude, sign
    "ty": Columns(3, 2),
    "shear": Columns(5),
    "zx": Columns(6),
    "zy": Columns(7),
    "flip_horizontal": Columns(8),
    "flip_vertical": Columns(9),
    "channel_shift_intensity": Columns(10),
    "brightness": Columns(11),
    "channel_shuffle": Columns(12),  # decision
    "channel_order": Columns(13, 1011),  # as many as the image has channels
    # From LATER on blocks of 16, with room in each for a number that was not thought of.
    "jitter_brightness": Columns(1025),
    "jitter_contrast": Columns(1026),
    "jitter_saturation": Columns(1027),
    "jitter_hue": Columns(1028),
    "jitter_order": Columns(1029, 4),  # one for each operation, whose order is that of the numbers
    "grayscale": Columns(1040),  # decision, as the two below
    "erasing": Columns(1056),
    "erase_box": Columns(1057, 4),  # area, ratio, row, column
    "perspective": Columns(1072),
    "corners": Columns(1073, 8),  # x and y of each
    "crop_box": Columns(1088, 4),  # as erase_box
    "scale": Columns(1096),
    "shear_x": Columns(1097),
    "extra_rotation": Columns(1098),
    "alternating_flip": Columns(1104),  # even or odd epochs
    "cutout_row": Columns(1105),
    "cutout_column": Columns(1106),
    "mix": Columns(1107, 5),  # decision, which, share, row, column; see augment.mix
}

LATER, END = 1024, 1112  # columns that `augment.Augment` draws apart from those before them

# In the order of their numbers and columns.
JITTERS = ("jitter_brightness", "jitter_contrast", "jitter_saturation", "jitter_hue")
_ALL_EPOCHS = -1  # stands in the place of the epoch where a draw is for all of them


def draw(policy, *, seed: int, epoch: int, indices, shape) -> dict[str, np.ndarray]:
    """Draw the parameters of the images `indices` of `epoch`, on the host.

    Args:
        policy: a Policy or what `augment.get` takes.
        seed: whole number; streams of different seeds are unrelated.
        epoch: counts from 0.
        indices: numbers (n,) of the images in their data set.
        shape: (height, width, channels) of one image.

    Returns:
        Arrays (n, ...), those only that the policy has. By Keras' names: theta and shear (degrees);
        tx, ty (pixels along columns and rows); zx, zy (factors along columns and rows);
        flip_horizontal, flip_vertical (bool); channel_shift_intensity; brightness (factor).
        channel_order (n, channels), the source of each channel. scale (factor); shear_x,
        extra_rotation (degrees). corners (n, 8): x and y, in pixels, to which the corners move,
        clockwise from top left. crop_ and erase_ top, left, height, width (pixels; a height of 0
        erases nothing). jitter_brightness, _contrast, _saturation (factors), _hue (share of the
        circle); jitter_order (n, operations), their numbers in this order as they follow each
        other. grayscale (bool). cutout_row, cutout_column (pixel in the middle of the square).

    Raises:
        ValueError: the policy does not fit images of this shape.

    """
    policy, shape = get(policy), tuple(int(side) for side in shape)
    if len(shape) != 3:
        raise ValueError(f"shape must be (height, width, channels), got {shape}")
    found = plan(policy, shape)
    drawn = parameters(found, uniforms(seed, epoch, indices, found.columns))
    if policy.alternating_flip:
        drawn["flip_horizontal"] = alternating(seed, epoch, indices)
    return drawn


def alternating(seed: int, epoch: int, indices) -> np.ndarray:
    """Draw (n,) which images of an epoch are mirrored: those that the next one does not mirror."""
    column = np.array([COLUMNS["alternating_flip"].first])
    odd = uniforms(seed, _ALL_EPOCHS, indices, column)[:, 0] < 0.5
    return odd == bool(int(epoch) % 2)


def image_numbers(indices, n: int) -> np.ndarray:
    """Return the numbers (n,) of n images in their data set; None stands for 0 to n - 1."""
    indices = np.arange(n) if indices is None else np.asarray(indices)
    if indices.shape != (n,) or indices.dtype.kind not in "iu":
        raise ValueError(
            f"{n} images but indices {indices.shape} {indices.dtype}: one whole number each is "
            "needed"
        )
    return indices


def reads_later(policy: Policy) -> bool:
    """Tell whether a policy reads columns from LATER on, whatever the images' shape."""
    ranges = _ranges(policy, 1, 1).keys()
    others = (policy.cutout, policy.grayscale, policy.erasing, policy.perspective, policy.crop_area)
    return any(others) or any(COLUMNS[name].first >= LATER for name in ranges)


class Plan(typing.NamedTuple):
    """What a policy reads of the numbers of an image of one shape, and what it makes of them."""

    columns: np.ndarray  # by number; those of `ranges` first, the order of the channels last
    place: dict[str, int]  # of each name's first number among `columns`
    ranges: dict[str, tuple[float, float]]
    low: np.ndarray  # of `ranges`
    span: np.ndarray
    choices: dict[str, tuple]  # (limit, side in pixels), see Policy.width_shift
    pixels: dict[str, int]  # one of so many, from 0
    shares: dict[str, float]  # probabilities
    boxes: dict[str, _boxes.Fitting]
    corners: _boxes.Corners | None
    jitters: list[int]  # numbers of the jitters whose order is drawn


def plan(policy: Policy, shape: tuple[int, int, int]) -> Plan:
    """Choose the columns that `policy` reads, once for all images (height, width, channels)."""
    # Policies with shifts of 3 and of 3.0 are equal, but whole pixels are another draw.
    return _plan(policy, shape, type(policy.width_shift), type(policy.height_shift))


@functools.lru_cache(maxsize=256)
def _plan(policy: Policy, shape: tuple[int, int, int], *_types: type) -> Plan:
    height, width, channels = shape
    _check_channels(policy, channels)
    ranges = _ranges(policy, height, width)
    choices = {"tx": (policy.width_shift, width), "ty": (policy.height_shift, height)}
    choices = {k: v for k, v in choices.items() if v[0] and not isinstance(v[0], float)}
    pixels = {"cutout_row": height, "cutout_column": width} if policy.cutout else {}
    shares = {
        "flip_horizontal": policy.horizontal_flip,
        "flip_vertical": policy.vertical_flip,
        "channel_shuffle": policy.channel_shuffle,
        "grayscale": policy.grayscale,
        "erasing": policy.erasing,
        "perspective": policy.perspective_probability if policy.perspective else 0,
    }
    shares = {name: share for name, share in shares.items() if share}
    boxes = _boxes.of_policy(policy, (height, width))
    jitters = [number for number, name in enumerate(JITTERS) if name in ranges]
    counts = dict.fromkeys(ranges, 1) | dict.fromkeys(choices, 2)
    counts |= dict.fromkeys([*pixels, *shares], 1)
    counts |= dict.fromkeys([f"{name}_box" for name in boxes], 4)
    if policy.perspective:
        counts["corners"] = 8
    if len(jitters) > 1:
        counts["jitter_order"] = len(JITTERS)
    if policy.channel_shuffle:
        counts["channel_order"] = channels
    columns = [COLUMNS[name].first + k for name, count in counts.items() for k in range(count)]
    places = np.cumsum([0, *counts.values()])[:-1].tolist()
    low, high = np.array(list(ranges.values())).reshape(-1, 2).T
    return Plan(
        columns=np.array(columns, np.int64),
        place=dict(zip(counts, places, strict=True)),
        ranges=ranges,
        low=low,
        span=high - low,
        choices=choices,
        pixels=pixels,
        shares=shares,
        boxes=boxes,
        corners=_boxes.corners(policy.perspective, (height, width)) if policy.perspective else None,
        jitters=jitters,
    )


def _ranges(policy: Policy, height: int, width: int) -> dict[str, tuple[float, float]]:
    """Return what is uniform between two numbers."""
    zoom = policy.zoom if policy.zoom != (1.0, 1.0) else None
    ranges = {
        "theta": _around(policy.rotation),
        "tx": _pixels(policy.width_shift, width),
        "ty": _pixels(policy.height_shift, height),
        "shear": _around(policy.shear),
        "zx": zoom,
        "zy": zoom,
        "channel_shift_intensity": _around(policy.channel_shift),
        "brightness": policy.brightness,
        "scale": policy.scale if policy.scale != (1.0, 1.0) else None,
        "shear_x": _around(policy.shear_x),
        "extra_rotation": _around(policy.extra_rotation),
        "jitter_hue": _around(policy.jitter_hue),
    }
    for name in JITTERS[:-1]:
        if most := getattr(policy, name):
            ranges[name] = (max(0.0, 1 - most), 1 + most)
    return {name: bounds for name, bounds in ranges.items() if bounds}


def _check_channels(policy: Policy, channels: int) -> None:
    most = COLUMNS["channel_order"].count
    if policy.channel_shuffle and channels > most:
        raise ValueError(f"images of {channels} channels: channel_shuffle takes up to {most}")
    colors = ("jitter_contrast", "jitter_saturation", "jitter_hue", "grayscale")
    if channels not in (1, 3) and (given := [name for name in colors if getattr(policy, name)]):
        raise ValueError(
            f"images of {channels} channels: {', '.join(given)} takes gray ones (1) and RGB (3)"
        )


def parameters(found: Plan, u, ops=np) -> dict:
    """Turn uniform numbers (n, columns of the plan) into parameters, in NumPy or keras.ops."""
    drawn = {}
    if found.ranges:
        # One multiplication for all ranges: calls, not arithmetic, are what drawing costs.
        dtype = "float64" if ops is np else "float32"
        low, span = found.low.astype(dtype, copy=False), found.span.astype(dtype, copy=False)
        values = ops.add(ops.multiply(u[:, : len(low)], span), low)
        drawn = {name: values[:, k] for k, name in enumerate(found.ranges)}
    for name, (limit, side) in found.choices.items():
        place = found.place[name]
        drawn[name] = _choice(limit, side, u[:, place], u[:, place + 1], ops)
    for name, count in found.pixels.items():
        drawn[name] = ops.floor(u[:, found.place[name]] * count)
    for name, share in found.shares.items():
        drawn[name] = u[:, found.place[name]] < share
    for name, box in found.boxes.items():
        place = found.place[f"{name}_box"]
        sides = _boxes.draw(box, u[:, place : place + 4], ops)
        drawn |= {f"{name}_{side}": values for side, values in sides.items()}
    if "erasing" in drawn:
        drawn["erase_height"] = ops.where(drawn.pop("erasing"), drawn["erase_height"], 0.0)
    if found.corners:
        place, moved = found.place["corners"], drawn.pop("perspective")
        drawn["corners"] = _boxes.draw_corners(found.corners, moved, u[:, place : place + 8], ops)
    if "jitter_order" in found.place:
        # Of all four, those that there are: their order stays when another one is switched on.
        keys = found.place["jitter_order"] + np.array(found.jitters)
        order = ops.argsort(ops.take(u, keys, axis=1), axis=1)
        drawn["jitter_order"] = ops.take(np.array(found.jitters, "int32"), order)
    if "channel_shuffle" in drawn:
        shuffled = drawn.pop("channel_shuffle")[:, None]
        order = ops.argsort(u[:, found.place["channel_order"] :], axis=1)
        unshuffled = ops.arange(order.shape[1], dtype=order.dtype)
        drawn["channel_order"] = ops.where(shuffled, order, unshuffled)
    return drawn


def _around(limit: float) -> tuple[float, float] | None:
    return (-limit, limit) if limit else None


def _pixels(limit, side: int) -> tuple[float, float] | None:
    if not isinstance(limit, float):
        return None
    return _around(limit * side if limit < 1 else limit)


def _choice(limit, side: int, magnitude, sign, ops):
    """Choose from whole pixels below an int or from a tuple; see Policy.width_shift."""
    sign = ops.where(sign < 0.5, -1.0, 1.0)
    if isinstance(limit, int):
        return sign * ops.floor(magnitude * limit)
    place = ops.floor(magnitude * len(limit))
    shift = sign * sum(ops.where(place == k, v, 0.0) for k, v in enumerate(limit))
    return shift * side if max(limit) < 1 else shift
