"""Images that are there twice: in training and validation, or within one of them.

A validation image that was trained on measures memory; two labels for one picture contradict each
other. Exact copies are found by their bytes. Near ones in two steps: small color images, less their
brightness and over their contrast, whose products are high; of these pairs, the detail of larger
gray images, over its local contrast, must agree as well within two pixels of shift, since many
pictures of sky are alike when they are small, and so are those with one frame. Thresholds were
set on CIFAR-10 and Tiny ImageNet by how many pairs are of two classes, which chance makes
(`experiments/results/embeddings_cpu`). Barz and Denzler, "Do we train on test data?", 2020, found
by eye that 3.3 % of CIFAR-10's test images have a near-duplicate in its training set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

SMALL, LARGE = 16, 32  # sides of the images that are compared
ALIKE = 0.85  # product of small images from which on a pair is looked at
LIKE = 0.6  # correlation of details from which on it counts
DETAIL = 7  # pixels of a mean that is taken off, so that detail is left, and of its contrast
CONTRAST = 4.0  # grey levels of contrast below which detail counts less
SHIFT = 2  # pixels
FLAT = 2.0  # grey levels of standard deviation: what has less has nothing to compare
MOST = 1_000_000  # pairs that are looked at: of handwriting there are far more
_ROWS, _COLUMNS = 2_048, 16_384  # of a block of products: 128 MB
_LOOKED = 4_096  # pairs at once

EXACT, NEAR, MIRRORED = "exact", "near", "mirrored"

Progress = Callable[[int, int], None]


class Pairs(NamedTuple):
    """Pairs of one kind: numbers of images in the first and second split, and their likeness."""

    kind: str
    first: np.ndarray
    second: np.ndarray
    likeness: np.ndarray


class TooMany(ValueError):
    """More pairs look alike than can be looked at."""


class Looks:
    """What is compared of images (n, h, w, c) uint8, made once.

    `small`: (n, d) float32 of length 1; `mirrored` those of their mirror images; flat images are
    rows of 0. `large`: (n, h, w) uint8.
    """

    def __init__(self, images, progress: Progress | None = None):
        self.images, count = images, len(images)
        parts, large, digests = [], [], []
        for start in range(0, count, _LOOKED):
            pixels = np.asarray(images[start : start + _LOOKED])
            digests += [hashlib.blake2b(one.tobytes(), digest_size=16).digest() for one in pixels]
            parts.append(_means(pixels, SMALL))
            large.append(_means(pixels.mean(axis=-1, keepdims=True), LARGE)[..., 0])
            if progress:
                progress(min(start + _LOOKED, count), count)
        found = np.concatenate(parts)
        self.digests = np.array(digests)
        self.small, self.mirrored = _unit(found), _unit(found[:, :, ::-1])
        self.large = np.concatenate(large).round().astype(np.uint8)


def between(
    one: Looks, other: Looks, same: bool, progress: Progress | None = None
) -> Iterator[Pairs]:
    """Yield pairs of one split and another: exact, near, mirrored.

    A pair counts once, as the first of these that it is; one split has no pair of an image with
    itself, and each of two once. Raises `TooMany`.
    """
    copies = exact(one, other, same)
    yield copies
    known = set(zip(copies.first.tolist(), copies.second.tolist(), strict=True))
    for kind, mirror in ((NEAR, False), (MIRRORED, True)):
        small = other.mirrored if mirror else other.small
        first, second = alike(one.small, small, same, progress)
        new = [pair not in known for pair in zip(first.tolist(), second.tolist(), strict=True)]
        first, second = first[new], second[new]
        likeness = _likeness(one.large, other.large, first, second, mirror)
        taken = likeness >= LIKE
        found = Pairs(kind, first[taken], second[taken], likeness[taken])
        known |= set(zip(found.first.tolist(), found.second.tolist(), strict=True))
        yield found


def exact(one: Looks, other: Looks, same: bool) -> Pairs:
    """Return pairs of equal bytes; within one split the first image of a kind with each other."""
    where: dict[bytes, list[int]] = {}
    for number, digest in enumerate(other.digests.tolist()):
        where.setdefault(digest, []).append(number)
    pairs = [
        (number, second)
        for number, digest in enumerate(one.digests.tolist())
        for second in where.get(digest, ())
        if not same or number == where[digest][0] < second
    ]
    first, second = np.array(pairs, np.intp).reshape(-1, 2).T
    return Pairs(EXACT, first, second, np.ones(len(first)))


def alike(
    one: np.ndarray, other: np.ndarray, same: bool, progress: Progress | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of rows, each of length 1, whose product is `ALIKE` or more, in blocks."""
    firsts, seconds, total = [], [], 0
    for start in range(0, len(one), _ROWS):
        rows = one[start : start + _ROWS]
        for begin in range(start - start % _COLUMNS if same else 0, len(other), _COLUMNS):
            first, second = np.nonzero(rows @ other[begin : begin + _COLUMNS].T >= ALIKE)
            first, second = first + start, second + begin
            if same:
                later = second > first
                first, second = first[later], second[later]
            firsts.append(first)
            seconds.append(second)
            total += len(first)
            if total > MOST:
                raise TooMany(
                    f"more than {MOST:,} pairs look alike when they are small, as handwriting "
                    "does: exact copies alone are counted"
                )
        if progress:
            progress(min(start + _ROWS, len(one)), len(one))
    return np.concatenate(firsts), np.concatenate(seconds)


def _likeness(
    one: np.ndarray, other: np.ndarray, first: np.ndarray, second: np.ndarray, mirror: bool
) -> np.ndarray:
    """Return the correlation of details of pairs of gray images, at the best shift."""
    found = np.empty(len(first))
    for start in range(0, len(first), _LOOKED):
        part = slice(start, start + _LOOKED)
        right = other[second[part]]
        right = right[:, :, ::-1] if mirror else right
        found[part] = _best(_detail(one[first[part]]), _detail(right))
    return found


def _detail(images: np.ndarray) -> np.ndarray:
    """Return gray images (n, h, w) less their local mean, over their local contrast."""
    from scipy import ndimage

    def mean(values: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(values, (0, DETAIL, DETAIL), mode="nearest")

    images = images.astype(np.float32)
    found = images - mean(images)
    return found / (np.sqrt(mean(found**2)) + CONTRAST)


def _best(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the highest correlation over shifts of the second images against the first."""
    height, width = (side - 2 * SHIFT for side in left.shape[1:])
    middle = _unit(left[:, SHIFT:-SHIFT, SHIFT:-SHIFT], flat=0)
    best = np.full(len(left), -1.0)
    for y in range(2 * SHIFT + 1):
        for x in range(2 * SHIFT + 1):
            moved = _unit(right[:, y : y + height, x : x + width], flat=0)
            best = np.maximum(best, np.einsum("nd,nd->n", middle, moved))
    return best


def _means(images: np.ndarray, side: int) -> np.ndarray:
    """Return images as means over the areas of at most `side` by `side` cells, float32."""
    height, width = (min(side, size) for size in images.shape[1:3])
    edges = [
        np.linspace(0, size, cells + 1).astype(int)
        for size, cells in zip(images.shape[1:3], (height, width), strict=True)
    ]
    found = np.asarray(images, np.float32)
    for axis, edge in enumerate(edges, 1):
        shape = [1, 1, 1, 1]
        shape[axis] = -1
        found = np.add.reduceat(found, edge[:-1], axis=axis) / np.diff(edge).reshape(shape)
    return found.astype(np.float32)


def _unit(images: np.ndarray, flat: float = FLAT) -> np.ndarray:
    """Return images as rows less their mean, of length 1; of flat ones 0."""
    rows = images.reshape(len(images), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    least = max(flat * rows.shape[1] ** 0.5, 1e-6)
    return np.where(length >= least, rows / np.maximum(length, 1e-6), 0).astype(np.float32)
