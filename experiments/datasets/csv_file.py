"""Images named by a CSV file: paths and labels, optionally splits and boxes.

    path,label,split,x1,y1,x2,y2
    photos/a.jpg,cat,train,0,0,31,20

A header names the columns, in any order; `path` (or `filename`) and `label` (or `class`) are
needed. `split` is train, val or test: where there are rows of val, those of test are not read,
else they are for validation. Without that column a share of every class, drawn by a seed, is. The
corners of boxes are whole pixels from 0, both inside. Paths are relative to the folder of the CSV
file and stay inside it: an absolute one would mean another file, or none, on the next machine.
Classes are the labels, sorted as numbers where all are. A row is told by the number of its line.
"""

import csv
import functools
import io
import os
import pathlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from experiments.datasets import _boxes, _source
from experiments.datasets._source import Division, Part, Plan, Source, Wanted
from experiments.datasets._tree import Folder, Listing

# Other names that go round, Keras' `flow_from_dataframe` among them.
_SYNONYMS = {"filename": "path", "class": "label"}
_CORNERS = ("x1", "y1", "x2", "y2")
_COLUMNS = ("path", "label", "split", *_CORNERS)
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_SUFFIX = ".csv"
WANTED = Wanted(
    name="csv",
    holds=lambda folder: any(entry.suffix.lower() == _SUFFIX for entry in folder.iterdir()),
    archives="*",
    looks="a CSV file with the columns path and label, a folder with one, or an archive of it",
    get="write the paths of the images, relative to the file, and their labels into it",
)


class _Row(NamedTuple):
    """A line of the file; `place` is what an error calls it."""

    path: str
    label: str
    split: str | None
    box: list[int] | None
    place: str


def source(data_dir: str | pathlib.Path | None, division: Division | None = None) -> Source:
    """Find a CSV file at `data_dir`, to be divided if it has no splits."""
    place = pathlib.Path(os.path.expanduser(data_dir or ""))
    if place.suffix.lower() == _SUFFIX and place.is_file():
        tree, name = Folder(place.parent), place.name
    else:
        tree, name = _source.find(WANTED, data_dir), None
    if isinstance(tree, Folder):
        name = name or _only_table([entry.name for entry in tree.root.iterdir()], str(tree))
        # Only what it names is walked: the folder may hold much else.
        tops = {row.path.partition("/")[0] for row in _rows(_bytes(tree.root / name), name)}
        tree = Folder(tree.root, only=(name, *sorted(tops)))
    planned = functools.partial(_plan, name=name, division=division)
    return Source(tree, planned, boxes=True, variant=(name, *(division or ())))


def _only_table(names: list[str], place: str) -> str:
    tables = sorted(name for name in names if name.lower().endswith(_SUFFIX))
    if len(tables) != 1:
        told = f"several CSV files: {', '.join(tables)}; give one" if tables else "no CSV file"
        raise ValueError(f"data_dir (--data-dir) {place} holds {told}")
    return tables[0]


def _bytes(path: pathlib.Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from error


def _plan(listing: Listing, name: str | None, division: Division | None) -> Plan:
    """Return the images that the file names, in its order."""
    name = name or _only_table([path for path in listing.files if "/" not in path], listing.place)
    data = listing.read(name)
    place = listing.files[name].name
    rows = list(_rows(data, place))
    _check_paths(rows, listing)
    labels = {row.label for row in rows}
    numbers = all(re.fullmatch(r"-?\d+", label) for label in labels)
    classes = sorted(labels, key=(lambda label: (int(label), label)) if numbers else None)
    if not rows or rows[0].split is None:
        whole = _part(rows, listing, classes)
        train, validation = _source.divided(whole, classes, place, division or Division())
        return Plan(train, validation, classes, classes, divided=True)
    if division:
        raise ValueError(
            f"{place} has a column split: leave out validation_share and validation_seed "
            f"(--validation-share, --validation-seed)"
        )
    train, validation, left_out = _splits(rows, place)
    notes = [f"not read: {len(left_out)} rows of the split test"] if left_out else []
    parts = (_part(some, listing, classes) for some in (train, validation))
    return Plan(*parts, classes, classes, notes)


def _check_paths(rows: list[_Row], listing: Listing) -> None:
    """Raise `ValueError` for a file that is not there, or is named twice."""
    seen: dict[str, str] = {}
    for row in rows:
        if row.path in seen:
            raise ValueError(f"{row.place}: {row.path} a second time: it is in {seen[row.path]}")
        if row.path not in listing.files:
            raise ValueError(f"{row.place}: {row.path} is not in {listing.place}")
        seen[row.path] = row.place


def _splits(rows: list[_Row], place: str) -> tuple[list[_Row], list[_Row], list[_Row]]:
    """Return the rows to train on, those to validate on, and those that are left out."""
    by_split = {name: [row for row in rows if row.split == name] for name in set(_SPLITS.values())}
    train, validation, rest = (by_split[name] for name in ("train", "val", "test"))
    if not validation:
        validation, rest = rest, []
    for found, told in ((train, "train"), (validation, "val or test")):
        if not found:
            raise ValueError(
                f"{place}: no row has split {told}: add some, or leave out the column, and a share "
                f"of every class is set aside for validation"
            )
    known = {row.label for row in train}
    for row in (*validation, *rest):
        if row.label not in known:
            raise ValueError(f"{row.place}: no row of split train has the label {row.label!r}")
    return train, validation, rest


def _part(rows: list[_Row], listing: Listing, classes: list[str]) -> Part:
    numbers = {label: number for number, label in enumerate(classes)}
    boxed = bool(rows) and rows[0].box is not None
    return Part(
        [listing.files[row.path] for row in rows],
        np.array([numbers[row.label] for row in rows], np.int64),
        np.array([row.box for row in rows], np.float32) if boxed else None,
        [row.place for row in rows],
    )


def _rows(data: bytes, place: str) -> Iterator[_Row]:
    """Yield the rows of a file, each checked for itself."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{place} is no text in UTF-8: {error}") from None
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = _columns(next(lines, []), f"{place}, line 1")
        for fields in lines:
            if fields:
                yield _row(columns, fields, f"{place}, line {lines.line_num}")
    except csv.Error as error:
        raise ValueError(f"{place}, line {lines.line_num}: {error}") from None


def _columns(header: list[str], place: str) -> list[str]:
    columns = [_SYNONYMS.get(name, name) for name in (name.strip().lower() for name in header)]
    known = f"there are {', '.join(_COLUMNS)}; filename is path, class is label"
    for name in columns:
        if name not in _COLUMNS:
            raise ValueError(f"{place}: unknown column {name!r}: {known}")
        if columns.count(name) > 1:
            raise ValueError(f"{place}: two columns are the {name}: {known}")
    if missing := {"path", "label"} - set(columns):
        raise ValueError(f"{place}: no column {' and '.join(sorted(missing))}: {known}")
    if some := set(_CORNERS) & set(columns):
        if missing := set(_CORNERS) - some:
            raise ValueError(f"{place}: a box needs {', '.join(_CORNERS)}, {missing} missing")
    return columns


def _row(columns: list[str], fields: list[str], place: str) -> _Row:
    if len(fields) != len(columns):
        raise ValueError(f"{place}: {len(fields)} fields for {len(columns)} columns")
    row = {name: field.strip() for name, field in zip(columns, fields, strict=True)}
    for name in ("path", "label"):
        if not row[name]:
            raise ValueError(f"{place}: the {name} is empty")
    path = pathlib.PurePosixPath(row["path"])
    if path.is_absolute() or pathlib.PureWindowsPath(row["path"]).drive or ".." in path.parts:
        raise ValueError(
            f"{place}: {row['path']} does not lie in the folder of the CSV file: paths are "
            f"relative to it; put the file above the images"
        )
    split = row.get("split")
    if split is not None and split.lower() not in _SPLITS:
        raise ValueError(f"{place}: split {split!r} is none of train, val and test")
    box = [row[name] for name in _CORNERS] if "x1" in row else None
    if box is not None:
        try:
            box = [int(number) for number in box]
        except ValueError:
            raise ValueError(
                f"{place}: the box {', '.join(box)} is not four whole numbers of pixels"
            ) from None
        _boxes.check_order(box, place)
    return _Row(str(path), row["label"], _SPLITS[split.lower()] if split else None, box, place)
