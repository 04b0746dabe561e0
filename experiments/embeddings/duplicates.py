"""Near-duplicates of training and validation images: counts, the pairs, and a sheet of them."""

from __future__ import annotations

import functools
import pathlib
from typing import Any

import numpy as np

from experiments.embeddings import _cells
from experiments.embeddings.asked import Column, Part, Sheet, Table, Work
from experiments.embeddings.pairs import (
    ALIKE,
    LARGE,
    LIKE,
    SHIFT,
    SMALL,
    Looks,
    Pairs,
    TooMany,
    between,
    exact,
)

KEPT = 2_000  # rows of the table of pairs

ACROSS, TRAIN, VALIDATION = "validation and training", "training", "validation"


def make(work: Work, out: pathlib.Path) -> Part:
    """Find pairs between and within both splits; draw the most alarming into the folder `out`."""

    def progress(what: str):
        return functools.partial(work.listener.progress, what)

    splits = {TRAIN: work.data.train, VALIDATION: work.data.validation}
    looks = {
        name: Looks(split.images, progress(f"small {name} images"))
        for name, split in splits.items()
    }
    places = ((ACROSS, VALIDATION, TRAIN), (TRAIN, TRAIN, TRAIN), (VALIDATION,) * 3)
    notes, counts, pairs = [], [], []
    for where, one, other in places:
        pair = looks[one], looks[other], one == other
        try:
            found = list(between(*pair, progress(f"pairs, {where}")))
        except TooMany as error:
            notes.append(f"{where}: {error}")
            found = [exact(*pair)]
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


def _counts(where: str, found: list[Pairs], classes: list[np.ndarray], of: int) -> list[dict]:
    """Return a row for each kind that there is, and one for all."""
    rows = []
    for pairs in found:
        if not len(pairs.first) and len(found) > 1:
            continue
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
