"""Uniform random numbers as a pure function of (seed, epoch, index, column).

A counter-based generator: the 64-bit finalizer of SplitMix64 (Steele, Lea, Flood 2014) chained
over seed, epoch and index gives each image a state; column k is the k-th output from it. There is
no global state, so batch size, order, workers and restarts cannot change a draw.
"""

import functools

import numpy as np

_GAMMA = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio, odd


def permutation(seed: int, epoch: int, n: int, stream: int = 0) -> np.ndarray:
    """Draw the order (n,) in which an epoch visits n images, unrelated to what `draw` returns.

    Orders of other streams are unrelated to it.
    """
    keys = uniforms(~int(seed), epoch, np.arange(n), np.array([stream]))[:, 0]
    return np.argsort(keys, kind="stable")


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
