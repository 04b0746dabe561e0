"""Tiny ImageNet in its official layout: 200 classes, 64x64 RGB, one box in every image.

The classes are those of `wnids.txt`, so a subset in the same layout works alike. The images of
`test/` have no labels and are not read.
"""

import collections
import pathlib
from collections.abc import Collection

import numpy as np

from experiments.datasets import _source
from experiments.datasets._source import Part, Plan, Source, Wanted
from experiments.datasets._tree import Listing

WANTED = Wanted(
    name="tiny_imagenet",
    holds=lambda folder: (folder / "wnids.txt").is_file(),
    archives="tiny-imagenet*",
    looks="a folder with wnids.txt, words.txt, train/ and val/, or an archive of it",
    get="download CS231n's tiny-imagenet-200.zip (http://cs231n.stanford.edu/"
    "tiny-imagenet-200.zip) and give it, or the folder it unpacks to, as data_dir (--data-dir)",
    prefer="tiny-imagenet-200",
    only=("train", "val", "wnids.txt", "words.txt"),
)
_ANNOTATIONS = "val/val_annotations.txt"


def source(data_dir: str | pathlib.Path | None) -> Source:
    """Find Tiny ImageNet at `data_dir`."""
    return Source(_source.find(WANTED, data_dir), _plan, boxes=True)


def _plan(listing: Listing) -> Plan:
    ids = list(_table(listing, "wnids.txt", 0))
    if not ids:
        raise ValueError(f"{listing.place}: wnids.txt is empty")
    images = _images(listing, ids)
    train, validation = _train(listing, ids, images), _validation(listing, ids, images)
    return Plan(train, validation, _names(listing, ids), ids)


def _images(listing: Listing, ids: list[str]) -> dict[str, list[str]]:
    """Names of the images by folder; a file outside the layout is an error, not skipped."""
    images = {f"train/{wnid}/images": [] for wnid in ids} | {"val/images": []}
    texts = {f"train/{wnid}/{wnid}_boxes.txt" for wnid in ids} | {_ANNOTATIONS}
    for path in listing.files:
        folder, _, name = path.rpartition("/")
        if folder in images:
            images[folder].append(name)
        elif path.startswith(("train/", "val/")) and path not in texts:
            raise ValueError(
                f"{listing.place}: {path} is not part of the layout: its class is not in "
                f"wnids.txt, or it lies in a wrong folder"
            )
    return images


def _train(listing: Listing, ids: list[str], images: dict[str, list[str]]) -> Part:
    """Classes in the order of wnids.txt, the images of a class in the order of its boxes."""
    # Copies without any boxes go round; one file missing among others is damage.
    boxed = any(f"train/{wnid}/{wnid}_boxes.txt" in listing.files for wnid in ids)
    extents, boxes, labels = [], [], []
    for label, wnid in enumerate(ids):
        folder = f"train/{wnid}/images"
        names = images[folder]
        if not names:
            raise ValueError(f"{listing.place}: class {wnid} has no images: {folder} is empty")
        if boxed:
            path = f"train/{wnid}/{wnid}_boxes.txt"
            table = _table(listing, path, 4)
            _check_same(listing, path, table, folder, names)
            boxes += [_box(listing, path, row) for row in table.values()]
            names = table
        extents += [listing.files[f"{folder}/{name}"] for name in names]
        labels += [label] * len(names)
    return Part(extents, np.array(labels), np.array(boxes, np.float32) if boxed else None)


def _validation(listing: Listing, ids: list[str], images: dict[str, list[str]]) -> Part:
    """Images, labels and boxes in the order of val_annotations.txt."""
    table = _table(listing, _ANNOTATIONS, 5)
    _check_same(listing, _ANNOTATIONS, table, "val/images", images["val/images"])
    numbers = {wnid: label for label, wnid in enumerate(ids)}
    labels = []
    for name, (wnid, *_) in table.items():
        if wnid not in numbers:
            raise ValueError(
                f"{listing.place}: {_ANNOTATIONS} labels {name} as {wnid}, which is no class "
                f"of wnids.txt"
            )
        labels.append(numbers[wnid])
    if without := sorted(set(ids) - {wnid for wnid, *_ in table.values()}):
        raise ValueError(f"{listing.place}: no validation images of class {', '.join(without)}")
    boxes = [_box(listing, _ANNOTATIONS, row) for _, *row in table.values()]
    extents = [listing.files[f"val/images/{name}"] for name in table]
    return Part(extents, np.array(labels), np.array(boxes, np.float32))


def _names(listing: Listing, ids: list[str]) -> list[str]:
    """Return the first synonym of each class, all of them where two classes share the first."""
    words = _table(listing, "words.txt", 1)
    if unnamed := [wnid for wnid in ids if wnid not in words]:
        raise ValueError(f"{listing.place}: words.txt has no name for {', '.join(unnamed)}")
    synonyms = [words[wnid][0] for wnid in ids]
    short = [names.split(",")[0] for names in synonyms]
    count = collections.Counter(short)
    return [names if count[name] > 1 else name for name, names in zip(short, synonyms, strict=True)]


def _table(listing: Listing, path: str, fields: int) -> dict[str, list[str]]:
    """Rows of a tab-separated file: `fields` columns by the first one, which must not repeat."""
    rows = {}
    for number, line in enumerate(listing.lines(path), 1):
        key, *row = line.split("\t")
        if len(row) != fields:
            place = f"{listing.files[path].name}, line {number}"
            raise ValueError(f"{place}: {line!r} has {len(row) + 1} columns, not {fields + 1}")
        if key in rows:
            raise ValueError(f"{listing.files[path].name}, line {number}: {key} a second time")
        rows[key] = row
    return rows


def _box(listing: Listing, path: str, row: list[str]) -> list[int]:
    try:
        return [int(number) for number in row]
    except ValueError:
        raise ValueError(f"{listing.files[path].name}: the box {row} is not four numbers") from None


def _check_same(
    listing: Listing, path: str, listed: Collection[str], folder: str, present: list[str]
) -> None:
    """Every image has its line in the file at `path`, and every line its image."""
    if missing := sorted(set(listed) - set(present)):
        raise ValueError(
            f"{listing.place}: {folder}/{missing[0]} is missing ({len(missing)} images of "
            f"{path} are)"
        )
    if unlisted := sorted(set(present) - set(listed)):
        raise ValueError(
            f"{listing.place}: {path} has no line for {folder}/{unlisted[0]} ({len(unlisted)} "
            f"images lack theirs)"
        )
