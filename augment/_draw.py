"""Random numbers of a policy as a pure function of (policy, seed, epoch, index).

A counter-based generator: the 64-bit finalizer of SplitMix64 (Steele, Lea, Flood 2014) chained
over seed, epoch and index gives each image a state; parameter k is the k-th output from it. There
is no global state, so batch size, order, workers and restarts cannot change a draw.
"""

import functools
import typing

import numpy as np

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
    # From LATER on, of transforms to come, with room in each for a number that was not thought of:
    "color_jitter": Columns(1024, 16),  # decision, four factors, order of the four operations
    "grayscale": Columns(1040, 16),  # decision
    "erasing": Columns(1056, 16),  # decision, area, ratio, row, column, values of the channels
    "perspective": Columns(1072, 16),  # decision, two numbers of each corner
    "resized_crop": Columns(1088, 16),  # area, ratio, row, column
    "alternating_flip": Columns(1104),  # even or odd epochs
    "cutout_row": Columns(1105),
    "cutout_column": Columns(1106),
    "mix": Columns(1107, 5),  # decision, which, share, row, column; see augment.mix
}

LATER, END = 1024, 1112  # columns that `augment.Augment` draws apart from those before them

_GAMMA = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio, odd
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
        Arrays (n, ...) by Keras' names, those only that the policy has: theta and shear (degrees);
        tx, ty (pixels along columns and rows); zx, zy (factors along columns and rows);
        flip_horizontal, flip_vertical (bool); channel_shift_intensity; brightness (factor);
        channel_order (n, channels), the source of each channel; cutout_row, cutout_column (pixel in
        the middle of the square).

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


def permutation(seed: int, epoch: int, n: int, stream: int = 0) -> np.ndarray:
    """Draw the order (n,) in which an epoch visits n images, unrelated to what `draw` returns.

    Orders of other streams are unrelated to it.
    """
    keys = uniforms(~int(seed), epoch, np.arange(n), np.array([stream]))[:, 0]
    return np.argsort(keys, kind="stable")


def image_numbers(indices, n: int) -> np.ndarray:
    """Return the numbers (n,) of n images in their data set; None stands for 0 to n - 1."""
    indices = np.arange(n) if indices is None else np.asarray(indices)
    if indices.shape != (n,) or indices.dtype.kind not in "iu":
        raise ValueError(
            f"{n} images but indices {indices.shape} {indices.dtype}: one whole number each is "
            "needed"
        )
    return indices


def uniforms(seed: int, epoch: int, indices, columns: np.ndarray) -> np.ndarray:
    """Draw uniform numbers (n, columns) in [0, 1), with 53 bits, of the columns by number."""
    indices = np.asarray(indices)
    if indices.ndim != 1 or (indices.size and not np.issubdtype(indices.dtype, np.integer)):
        raise ValueError(f"indices must be whole numbers (n,), got {indices.dtype} {indices.shape}")
    states = _mix(_stream(int(seed), int(epoch)) + _GAMMA * indices.astype(np.uint64))
    steps = _GAMMA * (columns + 1).astype(np.uint64)
    return (_mix(states[:, None] + steps) >> np.uint64(11)) * 2.0**-53


@functools.lru_cache(maxsize=64)
def _stream(seed: int, epoch: int) -> np.ndarray:
    state = np.zeros(1, np.uint64)  # an array wraps around in silence, a scalar warns
    for word in (seed, epoch):
        state = _mix(state + _GAMMA * np.array([word % (1 << 64)], np.uint64))
    return state


def _mix(state: np.ndarray) -> np.ndarray:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


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


def plan(policy: Policy, shape: tuple[int, int, int]) -> Plan:
    """Choose the columns that `policy` reads, once for all images (height, width, channels)."""
    # Policies with shifts of 3 and of 3.0 are equal, but whole pixels are another draw.
    return _plan(policy, shape, type(policy.width_shift), type(policy.height_shift))


@functools.lru_cache(maxsize=256)
def _plan(policy: Policy, shape: tuple[int, int, int], *_types: type) -> Plan:
    height, width, channels = shape
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
    }
    ranges = {name: bounds for name, bounds in ranges.items() if bounds}
    choices = {"tx": (policy.width_shift, width), "ty": (policy.height_shift, height)}
    choices = {k: v for k, v in choices.items() if v[0] and not isinstance(v[0], float)}
    shares = {
        "flip_horizontal": policy.horizontal_flip,
        "flip_vertical": policy.vertical_flip,
        "channel_shuffle": policy.channel_shuffle,
    }
    shares = {name: share for name, share in shares.items() if share}
    pixels = {"cutout_row": height, "cutout_column": width} if policy.cutout else {}
    counts = dict.fromkeys(ranges, 1) | dict.fromkeys(choices, 2)
    counts |= dict.fromkeys([*pixels, *shares], 1)
    if policy.channel_shuffle:
        most = COLUMNS["channel_order"].count
        if channels > most:
            raise ValueError(f"images of {channels} channels: channel_shuffle takes up to {most}")
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
