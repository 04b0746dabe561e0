"""Random numbers of a policy as a pure function of (policy, seed, epoch, index).

A counter-based generator: the 64-bit finalizer of SplitMix64 (Steele, Lea, Flood 2014) chained
over seed, epoch and index gives each image a state; parameter k is the k-th output from it. There
is no global state, so batch size, order, workers and restarts cannot change a draw.
"""

import functools

import numpy as np

from augment.policy import Policy, get

# Column of each parameter's random number. Fixed, so that switching one operation on or off
# leaves the draws of the others as they are. A shift has a magnitude and a sign.
_THETA, _TX, _TY, _SHEAR, _ZX, _ZY = 0, 1, 3, 5, 6, 7
_FLIP_H, _FLIP_V, _CHANNEL_SHIFT, _BRIGHTNESS, _SHUFFLE, _ORDER = 8, 9, 10, 11, 12, 13

_GAMMA = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio, odd


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
        channel_order (n, channels), the source of each channel.

    """
    shape = tuple(int(side) for side in shape)
    if len(shape) != 3:
        raise ValueError(f"shape must be (height, width, channels), got {shape}")
    return parameters(get(policy), uniforms(seed, epoch, indices, columns(shape[2])), shape)


def columns(channels: int) -> int:
    """Count the random numbers that one image takes."""
    return _ORDER + channels


def permutation(seed: int, epoch: int, n: int) -> np.ndarray:
    """Draw the order (n,) in which an epoch visits n images, unrelated to what `draw` returns."""
    return np.argsort(uniforms(~int(seed), epoch, np.arange(n), 1)[:, 0], kind="stable")


def uniforms(seed: int, epoch: int, indices, count: int) -> np.ndarray:
    """Draw uniform numbers (n, count) in [0, 1), with 53 bits."""
    indices = np.asarray(indices)
    if indices.ndim != 1 or (indices.size and not np.issubdtype(indices.dtype, np.integer)):
        raise ValueError(f"indices must be whole numbers (n,), got {indices.dtype} {indices.shape}")
    states = _mix(_stream(int(seed), int(epoch)) + _GAMMA * indices.astype(np.uint64))
    steps = _GAMMA * np.arange(1, count + 1, dtype=np.uint64)
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


def parameters(policy: Policy, u, shape: tuple[int, int, int], ops=np) -> dict:
    """Turn uniform numbers (n, columns) into parameters; `ops` is NumPy or keras.ops."""
    height, width, channels = shape
    ranges = {
        "theta": (_THETA, _around(policy.rotation)),
        "tx": (_TX, _pixels(policy.width_shift, width)),
        "ty": (_TY, _pixels(policy.height_shift, height)),
        "shear": (_SHEAR, _around(policy.shear)),
        "zx": (_ZX, policy.zoom if policy.zoom != (1.0, 1.0) else None),
        "zy": (_ZY, policy.zoom if policy.zoom != (1.0, 1.0) else None),
        "channel_shift_intensity": (_CHANNEL_SHIFT, _around(policy.channel_shift)),
        "brightness": (_BRIGHTNESS, policy.brightness),
    }
    # One multiplication for all ranges: calls, not arithmetic, are what drawing costs.
    low = np.zeros(columns(channels), "float64" if ops is np else "float32")
    span = np.zeros_like(low)
    for column, bounds in ranges.values():
        if bounds:
            low[column], span[column] = bounds[0], bounds[1] - bounds[0]
    values = ops.add(ops.multiply(u, span), low)
    drawn = {name: values[:, column] for name, (column, bounds) in ranges.items() if bounds}
    for name, column, limit, side in (
        ("tx", _TX, policy.width_shift, width),
        ("ty", _TY, policy.height_shift, height),
    ):
        if limit and not isinstance(limit, float):
            drawn[name] = _choice(limit, side, u[:, column], u[:, column + 1], ops)
    if policy.horizontal_flip:
        drawn["flip_horizontal"] = u[:, _FLIP_H] < policy.horizontal_flip
    if policy.vertical_flip:
        drawn["flip_vertical"] = u[:, _FLIP_V] < policy.vertical_flip
    if policy.channel_shuffle:
        shuffled = u[:, _SHUFFLE, None] < policy.channel_shuffle
        order = ops.argsort(u[:, _ORDER : _ORDER + channels], axis=1)
        drawn["channel_order"] = ops.where(shuffled, order, ops.arange(channels, dtype=order.dtype))
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
