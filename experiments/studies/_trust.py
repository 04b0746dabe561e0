"""Numbers that say whether a map can be trusted: boxes, deletion and insertion, random weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from experiments.studies._explainers import FILLS, enlarged
from experiments.studies._networks import Network

if TYPE_CHECKING:
    import keras

CENTER = 0.25  # deviation of the map that always points at the middle, of the image's sides
GRID = 8  # blobs of a random map, each way
# Which layers get random weights: those as deep as this share of their network, or deeper.
LEVELS = {"top": 1.0, "half": 0.5, "all": 0.0}
# Weights of a fresh layer that are no matrices or filters, by name; others stay as they are.
FRESH = {"gamma": 1.0, "moving_variance": 1.0, "beta": 0.0, "bias": 0.0, "moving_mean": 0.0}


# Maps of no network, to compare with --------------------------------------------------------------


def _pixels(rng, height, width):
    return rng.random((height, width), np.float32)


def _blobs(rng, height, width):
    return enlarged(rng.random((1, GRID, GRID), np.float32), (height, width))[0]


def _center(rng, height, width):
    y, x = ((np.arange(side) + 0.5) / side - 0.5 for side in (height, width))
    return np.exp(-(y[:, None] ** 2 + x**2) / (2 * CENTER**2)).astype(np.float32)


BASELINES = {"random pixels": _pixels, "random blobs": _blobs, "center": _center}


def baseline_maps(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Return maps (n, h, w) that look at nothing, for images of `shape` (n, h, w, c)."""
    rngs = (np.random.default_rng((seed, number)) for number in range(shape[0]))
    return np.stack([BASELINES[name](rng, *shape[1:3]) for rng in rngs])


# Boxes --------------------------------------------------------------------------------------------


def coverage(boxes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the share of each pixel that boxes cover: (n, 4) on images (h, w) -> (n, h, w).

    Boxes are those of `experiments.datasets.Split`: both corners inside, pixels of the images.
    """

    def along(first, last, side):
        pixels = np.arange(side)
        overlap = np.minimum(last[:, None] + 1, pixels + 1) - np.maximum(first[:, None], pixels)
        return overlap.clip(0, 1)

    left, top, right, bottom = np.asarray(boxes, np.float64).T
    return along(top, bottom, shape[0])[:, :, None] * along(left, right, shape[1])[:, None]


def mass_inside(maps: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Return the share (n,) of each map's sum inside the box; of a map of zeros the box's area."""
    total = maps.sum(axis=(1, 2), dtype=np.float64)
    inside = (maps * covered).sum(axis=(1, 2), dtype=np.float64)
    return np.where(total > 0, inside / np.where(total > 0, total, 1), covered.mean(axis=(1, 2)))


def pointing(maps: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Return whether (n,) the highest pixel lies in the box, half of it or more; of several a mean.

    Source: Zhang et al., arXiv 1608.00507, here without a margin around the box.
    """
    highest = maps == maps.max(axis=(1, 2), keepdims=True)
    return (highest & (covered >= 0.5)).sum(axis=(1, 2)) / highest.sum(axis=(1, 2))


# Deletion and insertion ---------------------------------------------------------------------------


def curves(
    network: Network,
    images: np.ndarray,
    classes: np.ndarray,
    order: np.ndarray,
    *,
    steps: int,
    fill: str,
    insertion: bool,
) -> np.ndarray:
    """Return the probability (n, steps + 1) of the class as pixels go, or come, in `order` (n, hw).

    Deletion begins with the image and ends with the fill alone, insertion the other way. Source:
    Petsiuk et al., arXiv 1806.07421 (who insert into a blurred image).
    """
    images = np.asarray(images, np.float32)
    n, height, width, _ = images.shape
    empty = np.broadcast_to(FILLS[fill](images), images.shape)
    rank = np.empty((n, height * width), int)
    np.put_along_axis(rank, order, np.arange(height * width)[None], axis=1)
    rank = rank.reshape(n, height, width, 1)
    first, later = (empty, images) if insertion else (images, empty)
    found = []
    for step in range(steps + 1):
        count = round(step * height * width / steps)
        mixed = np.where(rank < count, later, first)
        found.append(network.probs(mixed)[np.arange(n), classes])
    return np.stack(found, axis=1)


def ranked(maps: np.ndarray, seed: int) -> np.ndarray:
    """Return each map's pixels (n, hw), highest first; equal ones as the seed draws them."""
    flat = maps.reshape(len(maps), -1)
    draws = np.stack(
        [np.random.default_rng((seed, n)).random(flat.shape[1]) for n in range(len(flat))]
    )
    return np.lexsort((draws, -flat), axis=1)


def area(found: np.ndarray) -> np.ndarray:
    """Return the area (n,) under curves over [0, 1], by trapezoids."""
    return np.trapezoid(found, dx=1 / (found.shape[1] - 1), axis=1)


# Random weights -----------------------------------------------------------------------------------


def rank_correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return Spearman's correlation (n,) of maps; a constant map correlates with nothing: 0."""
    from scipy.stats import rankdata

    ranks = [rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (one, other)]
    ranks = [rank - rank.mean(axis=1, keepdims=True) for rank in ranks]
    length = np.prod([np.sqrt((rank**2).sum(axis=1)) for rank in ranks], axis=0)
    product = (ranks[0] * ranks[1]).sum(axis=1)
    return np.where(length > 0, product / np.where(length > 0, length, 1), 0.0)


@contextlib.contextmanager
def randomized(model: keras.Model, level: str, seed: int) -> Iterator[None]:
    """Give layers of a model fresh random weights while it lasts: the deepest, or all (`LEVELS`).

    The sanity check of Adebayo et al., arXiv 1810.03292. Of a nested network, as of a stack's
    members, the depth is that within it. Filters and matrices are drawn as by He from their
    fan-in, so that signals keep their size; normalizations do nothing.
    """
    before, rng = model.get_weights(), np.random.default_rng(seed)
    try:
        for layer, depth in _depths(model):
            if depth >= LEVELS[level]:
                _freshen(layer, rng)
        yield
    finally:
        model.set_weights(before)


def _depths(model: keras.Model) -> Iterator[tuple[keras.Layer, float]]:
    """Yield layers with weights and their depth in the network around them, 1 for the last."""
    import keras

    own = [layer for layer in model.layers if layer.weights]
    plain = [layer for layer in own if not isinstance(layer, keras.Model)]
    for layer in own:
        if isinstance(layer, keras.Model):
            yield from _depths(layer)
        else:
            yield layer, (plain.index(layer) + 1) / len(plain)


def _freshen(layer: keras.Layer, rng: np.random.Generator) -> None:
    import keras

    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    for variable in layer.weights:
        shape, name = tuple(variable.shape), variable.name
        if len(shape) > 1:
            fan_in = np.prod(shape[:2] if depthwise else shape[:-1])
            variable.assign(rng.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32))
        elif name in FRESH:
            variable.assign(np.full(shape, FRESH[name], np.float32))
