"""Images that are there twice: in training and validation, or within one of them.

A validation image that was trained on measures memory; two labels for one picture contradict each
other. Exact copies are found by their bytes. Near ones in two steps: small color images, less their
brightness and over their contrast, whose products are high; of these pairs, the detail of larger
gray images must agree as well, within two pixels of shift, since many pictures of sky are alike
when they are small. Thresholds were set by eye on CIFAR-10, where the likeness of pairs has two
peaks with a valley around 0.65: below 0.7 those of two classes are alike by chance. Barz and
Denzler, "Do we train on test data?", 2020, found by eye that 3.3 % of its test images have a
near-duplicate among the training images.
"""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from experiments.embeddings import _cells
from experiments.embeddings.asked import Column, Part, Sheet, Table, Work

SMALL, LARGE = 16, 32  # sides of the images that are compared
ALIKE = 0.85  # product of small images from which on a pair is looked at
LIKE = 0.7  # correlation of details from which on it counts
DETAIL = 7  # pixels of a mean that is taken off, so that detail is left
SHIFT = 2  # pixels
FLAT = 2.0  # grey levels of standard deviation: what has less has nothing to compare
MOST = 1_000_000  # pairs that are looked at: of handwriting there are far more
KEPT = 2_000  # rows of the table of pairs
_ROWS, _COLUMNS = 2_048, 16_384  # of a block of products: 128 MB
_LOOKED = 4_096  # pairs at once

EXACT, NEAR, MIRRORED = "exact", "near", "mirrored"
ACROSS, TRAIN, VALIDATION = "validation and training", "training", "validation"


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

    def __init__(self, images, listener=None, what: str = ""):
        self.images, count = images, len(images)
        parts, large, digests = [], [], []
        for start in range(0, count, _LOOKED):
            pixels = np.asarray(images[start : start + _LOOKED])
            digests += [hashlib.blake2b(one.tobytes(), digest_size=16).digest() for one in pixels]
            parts.append(_means(pixels, SMALL))
            large.append(_means(pixels.mean(axis=-1, keepdims=True), LARGE)[..., 0])
            if listener:
                listener.progress(f"small images of {what}", min(start + _LOOKED, count), count)
        found = np.concatenate(parts)
        self.digests = np.array(digests)
        self.small, self.mirrored = _unit(found), _unit(found[:, :, ::-1])
        self.large = np.concatenate(large).round().astype(np.uint8)


def make(work: Work, out: pathlib.Path) -> Part:
    """Find pairs between and within both splits; draw the most alarming into the folder `out`."""
    say = work.listener
    splits = {TRAIN: work.data.train, VALIDATION: work.data.validation}
    looks = {name: Looks(split.images, say, name) for name, split in splits.items()}
    places = ((ACROSS, VALIDATION, TRAIN), (TRAIN, TRAIN, TRAIN), (VALIDATION,) * 3)
    notes, counts, pairs = [], [], []
    for where, one, other in places:
        try:
            found = list(between(looks[one], looks[other], one == other, work, where))
        except TooMany as error:
            notes.append(f"{where}: {error}")
            found = [exact(looks[one], looks[other], one == other)]
        classes = [np.asarray(splits[name].labels) for name in (one, other)]
        counts += _counts(where, found, classes, len(splits[one]))
        pairs += _listed(work, where, found, classes)
    pairs.sort(key=_alarm)
    shown = pairs[: work.asked.shown]
    sheets = []
    if shown:
        path = out / "duplicates.png"
        _draw(path, shown, splits)
        about = (
            f"{len(shown)} of {len(pairs):,} pairs: first those of validation and training, those "
            "of two classes before others, then by likeness"
        )
        sheets.append(Sheet(path.name, "Twice", about))
    return Part("Near-duplicates", notes, sheets, [_table(counts), _pairs_table(pairs)])


def between(
    one: Looks, other: Looks, same: bool, work: Work | None = None, where: str = ""
) -> Iterator[Pairs]:
    """Yield pairs of one split and another: exact, near, mirrored.

    A pair counts once, as the first of these that it is; one split has no pair of an image with
    itself, and each of two once. Raises `TooMany`.
    """
    copies = exact(one, other, same)
    yield copies
    known = set(zip(copies.first.tolist(), copies.second.tolist(), strict=True))
    for kind, mirror in ((NEAR, False), (MIRRORED, True)):
        first, second = alike(
            one.small, other.mirrored if mirror else other.small, same, work, where
        )
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
    one: np.ndarray,
    other: np.ndarray,
    same: bool,
    work: Work | None = None,
    where: str = "",
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
        if work:
            done = min(start + _ROWS, len(one))
            work.listener.progress(f"pairs, {where}", done, len(one))
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
    from scipy import ndimage

    images = images.astype(np.float32)
    return images - ndimage.uniform_filter(images, (0, DETAIL, DETAIL), mode="nearest")


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


def _counts(where: str, found: list[Pairs], classes: list[np.ndarray], of: int) -> list[dict]:
    """Return a row for each kind, of pairs within one class and of two."""
    rows = []
    for pairs in found:
        equal = classes[0][pairs.first] == classes[1][pairs.second]
        images = len(np.unique(pairs.first))
        rows.append(
            {
                "where": where,
                "kind": pairs.kind,
                "pairs": len(equal),
                "two_classes": int((~equal).sum()),
                "images": images,
                "share": 100 * images / of,
            }
        )
    if len(found) > 1:
        rows.append(_all(where, found, classes, of))
    return rows


def _all(where: str, found: list[Pairs], classes: list[np.ndarray], of: int) -> dict[str, Any]:
    first = np.concatenate([pairs.first for pairs in found])
    second = np.concatenate([pairs.second for pairs in found])
    images = len(np.unique(first))
    different = int((classes[0][first] != classes[1][second]).sum())
    row = {"where": where, "kind": "all", "pairs": len(first), "two_classes": different}
    return row | {"images": images, "share": 100 * images / of}


def _listed(
    work: Work, where: str, found: list[Pairs], classes: list[np.ndarray]
) -> list[dict[str, Any]]:
    return [
        {
            "where": where,
            "kind": pairs.kind,
            "first": int(first),
            "second": int(second),
            "first_class": work.names[classes[0][first]],
            "second_class": work.names[classes[1][second]],
            "likeness": float(likeness),
        }
        for pairs in found
        for first, second, likeness in zip(*pairs[1:], strict=True)
    ]


def _alarm(pair: dict[str, Any]) -> tuple:
    """Order pairs: of both splits first, of two classes first, then the most alike."""
    return (
        pair["where"] != ACROSS,
        pair["first_class"] == pair["second_class"],
        -pair["likeness"],
        pair["first"],
        pair["second"],
    )


def _draw(path: pathlib.Path, shown: list[dict[str, Any]], splits: dict) -> None:
    cells = []
    for pair in shown:
        one, other = (VALIDATION, TRAIN) if pair["where"] == ACROSS else [pair["where"]] * 2
        images = [splits[one].images[pair["first"]], splits[other].images[pair["second"]]]
        known = (
            (one, pair["first"], pair["first_class"]),
            (other, pair["second"], pair["second_class"]),
        )
        lines = [[_cells.cut(name), f"{split} {number}"] for split, number, name in known]
        lines[0].append(f"{pair['kind']}, {pair['likeness']:.2f}")
        lines[1].append("")
        cells.append(_cells.Cell(images, lines))
    _cells.draw(path, cells)


def _table(rows: list[dict[str, Any]]) -> Table:
    columns = [
        Column("where", "Within"),
        Column("kind", "Kind"),
        Column("pairs", "Pairs", 0),
        Column("two_classes", "of two classes", 0),
        Column("images", "Images", 0),
        Column("share", "Share, %", 2),
    ]
    about = (
        f"Exact: equal bytes. Near: images of {SMALL} pixels correlate by {ALIKE:g} or more, and "
        f"the detail of those of {LARGE} by {LIKE:g} or more within {SHIFT} pixels of shift. "
        "Mirrored: near the mirror image. Images: how many of the first name have a partner, and "
        "their share"
    )
    return Table("duplicates.csv", "Images that are there twice", columns, rows, about)


def _pairs_table(pairs: list[dict[str, Any]]) -> Table:
    columns = [
        Column("where", "Within"),
        Column("kind", "Kind"),
        Column("first", "Image", 0),
        Column("first_class", "Class"),
        Column("second", "Image", 0),
        Column("second_class", "Class"),
        Column("likeness", "Likeness", 3),
    ]
    about = "Numbers of images in the order of the data; the pairs that matter most come first"
    if len(pairs) > KEPT:
        about += f"; the file has {KEPT:,} of {len(pairs):,}"
    return Table("duplicate_pairs.csv", "Pairs", columns, pairs[:KEPT], about)
