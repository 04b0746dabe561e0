"""Stanford Cars: 196 classes, 8,144 training and 8,041 test images of varying size, a box in each.

It exists in two layouts, of folders or of archives of them beside each other:

    car_ims/000001.jpg ...      with cars_annos.mat: boxes, classes and the split of all images
    cars_train/00001.jpg ...    with devkit/cars_train_annos.mat, devkit/cars_meta.mat
    cars_test/00001.jpg ...     with cars_test_annos_withlabels.mat, in devkit/ or elsewhere

What belongs together is paired by the names that the annotations give, never by the order of files,
and each split keeps the order of its annotations; the two layouts number the images differently.
The files count pixels and classes from 1, and both corners lie inside the box.
"""

import io
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from experiments.datasets import _archive, _boxes, _source
from experiments.datasets._source import Part, Plan, Source, Wanted
from experiments.datasets._tree import Archive, Extent, Folder, Listing, Several

_ALL, _TRAIN, _TEST, _META = (
    "cars_annos.mat",
    "cars_train_annos.mat",
    "cars_test_annos_withlabels.mat",
    "cars_meta.mat",
)
_UNLABELED = "cars_test_annos.mat"
_TABLES = (_ALL, _TRAIN, _TEST, _UNLABELED, _META)
_IMAGES = ("car_ims", "cars_train", "cars_test")
_FOLDERS = (*_IMAGES, "devkit", "car_devkit")
_CORNERS = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")
_LAYOUTS = f"car_ims/ with {_ALL}, or cars_train/ and cars_test/ with {_TRAIN}, {_TEST} and {_META}"


def _is_cars(folder: pathlib.Path) -> bool:
    """Whether `folder` has images of the cars, as a folder or an archive."""
    return any(
        (entry.is_dir() and entry.name in _IMAGES) or _archive.stem(entry) in _IMAGES
        for entry in folder.iterdir()
    )


WANTED = Wanted(
    name="stanford_cars",
    holds=_is_cars,
    archives="stanford*cars*",
    looks=f"a folder with {_LAYOUTS} (the .mat files there or in devkit/), or an archive of it; "
    "the folders may be archives as well",
    get="give the folder that holds the images and the .mat files as data_dir (--data-dir)",
    prefer="stanford_cars",
    only=(*_FOLDERS, *_TABLES),
)


def source(data_dir: str | pathlib.Path | None) -> Source:
    """Find Stanford Cars at `data_dir`; a part of it stands for the folder that it lies in."""
    tree = _source.find(WANTED, data_dir)
    if isinstance(tree, Folder):
        tree = _with_archives(tree.root)
    elif _archive.stem(tree.paths[0]) in _FOLDERS:
        tree = _with_archives(tree.paths[0].parent)
    return Source(tree, _plan, boxes=True)


def _with_archives(root: pathlib.Path) -> Folder | Several:
    """Return a folder and the archives in it, each in place of the folder of its name."""
    folder = Folder(root, WANTED.only)
    entries = sorted(root.iterdir())
    found = {
        stem: Archive(_archive.parts(entry))
        for entry in entries
        if (stem := _archive.stem(entry)) in _FOLDERS and entry.is_file()
    }
    beside = {stem: tree for stem, tree in found.items() if not (root / stem).is_dir()}
    if not beside:
        return folder
    return Several((("", folder), *((f"{stem}/", tree) for stem, tree in beside.items())))


class _Row(NamedTuple):
    """What the annotations say of one image; `place` is where they do."""

    image: tuple[str, str]
    label: int
    box: list[int]
    test: bool
    place: str


class _Files(NamedTuple):
    """The files of a listing by what they are, in whatever folders of it; images by two names."""

    place: str
    tables: dict[str, Extent]
    images: dict[tuple[str, str], Extent]

    def content(self, name: str) -> tuple[Extent, dict]:
        """Return a .mat file, and what is in it."""
        if name not in self.tables:
            raise ValueError(f"{self.place} has no {name}. stanford_cars is {_LAYOUTS}")
        return self.tables[name], _content(self.tables[name])


def _files(listing: Listing) -> _Files:
    files = _Files(listing.place, {}, {})
    for path, extent in listing.files.items():
        folder, name = ("", *path.split("/"))[-2:]
        known, key = files.tables, name
        if folder in _IMAGES:
            known, key = files.images, (folder, name)
        elif name not in _TABLES:
            continue
        if key in known:
            raise ValueError(f"{extent.name} is there twice, as {known[key].name}: remove one")
        known[key] = extent
    return files


def _plan(listing: Listing) -> Plan:
    files = _files(listing)
    folders = {folder for folder, _ in files.images}
    if not folders:
        raise ValueError(f"{files.place} has no images. stanford_cars is {_LAYOUTS}")
    one = "car_ims" in folders and (_ALL in files.tables or folders == {"car_ims"})
    rows, names = (_of_one_folder if one else _of_two_folders)(files)
    read = {row.image[0] for row in rows}
    _check_pairs(files, rows, read)
    train, test = (_part(files, [row for row in rows if row.test == test]) for test in (0, 1))
    return Plan(train, test, names, names, [f"not read: {top}" for top in sorted(folders - read)])


def _of_one_folder(files: _Files) -> tuple[list[_Row], list[str]]:
    """Read the annotations of car_ims, which say of each image whether it is for testing."""
    extent, content = files.content(_ALL)
    names = _names(extent, content)
    rows = []
    for place, record in _records(extent, content, ("relative_im_path", "test", "class")):
        # car_ims/000001.jpg
        image = ("", *_text(record, "relative_im_path", place).split("/"))[-2:]
        test = _whole(record, "test", place)
        if test not in (0, 1):
            raise ValueError(f"{place}: test is {test}, neither 0 nor 1")
        rows.append(_row(image, record, bool(test), place, names))
    return rows, names


def _of_two_folders(files: _Files) -> tuple[list[_Row], list[str]]:
    """Read the annotations of cars_train and cars_test."""
    if _TEST not in files.tables and _UNLABELED in files.tables:
        raise ValueError(
            f"{files.tables[_UNLABELED].name} has no labels: {_TEST} is needed, which comes apart "
            f"from the devkit; put it into devkit/ or beside it"
        )
    names = _names(*files.content(_META))
    rows = []
    for table, folder, test in ((_TRAIN, "cars_train", False), (_TEST, "cars_test", True)):
        extent, content = files.content(table)
        for place, record in _records(extent, content, ("fname", "class")):
            image = folder, _text(record, "fname", place)
            rows.append(_row(image, record, test, place, names))
    return rows, names


def _content(extent: Extent) -> dict:
    """Read a .mat file; SciPy unpickles nothing."""
    import scipy.io

    data = extent.read()
    try:
        return scipy.io.loadmat(io.BytesIO(data), squeeze_me=True)
    # SciPy raises a dozen kinds of error on damaged files, KeyError and TypeError among them.
    except Exception as error:
        raise ValueError(f"{extent.name} is no .mat file that SciPy reads ({error})") from error


def _names(extent: Extent, content: dict) -> list[str]:
    names = np.atleast_1d(content.get("class_names", [])).tolist()
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{extent.name} holds no class_names, a list of texts")
    return [name.strip() for name in names]


def _records(
    extent: Extent, content: dict, fields: tuple[str, ...]
) -> Iterator[tuple[str, np.void]]:
    """Yield each row of the annotations, and what an error calls it."""
    records = np.atleast_1d(content.get("annotations", []))
    for field in (*fields, *_CORNERS):
        if field not in (records.dtype.names or ()):
            raise ValueError(f"{extent.name}: its annotations have no field {field}")
    for number, record in enumerate(records, 1):
        yield f"{extent.name}, row {number}", record


def _row(image: tuple[str, str], record: np.void, test: bool, place: str, names: list[str]) -> _Row:
    label = _whole(record, "class", place)
    if not 1 <= label <= len(names):
        raise ValueError(f"{place}: class {label} is none of 1 to {len(names)}")
    # From 1 in the files, from 0 here.
    box = [_whole(record, corner, place) - 1 for corner in _CORNERS]
    _boxes.check_order(box, place)
    return _Row(image, label - 1, box, test, place)


def _whole(record: np.void, field: str, place: str) -> int:
    """Return a number as Python's: the files have uint8 where it fits, which overflows."""
    value = np.asarray(record[field])
    one = value.size == 1 and value.dtype.kind in "iufb"
    if not one or not float(value.item()).is_integer():
        raise ValueError(f"{place}: {field} is {value.tolist()!r}, not a whole number")
    return int(value.item())


def _text(record: np.void, field: str, place: str) -> str:
    value = np.asarray(record[field]).tolist()
    if not isinstance(value, str) or not value:
        raise ValueError(f"{place}: {field} is {value!r}, not a name")
    return value


def _check_pairs(files: _Files, rows: list[_Row], read: set[str]) -> None:
    """Every row has its image, every image in a folder that is read its row, and only one."""
    seen: dict[tuple[str, str], str] = {}
    for row in rows:
        if row.image in seen:
            raise ValueError(f"{row.place}: {'/'.join(row.image)} a second time: {seen[row.image]}")
        seen[row.image] = row.place
    if missing := [row for row in rows if row.image not in files.images]:
        raise ValueError(
            f"{missing[0].place}: {'/'.join(missing[0].image)} is not in {files.place} "
            f"({len(missing)} of {len(rows)} images are missing)"
        )
    unlisted = [key for key in files.images if key[0] in read and key not in seen]
    if unlisted:
        raise ValueError(
            f"{files.images[min(unlisted)].name} has no label: no row names it ({len(unlisted)} "
            f"images lack theirs)"
        )
    for test, told in ((False, "training"), (True, "test")):
        if not any(row.test == test for row in rows):
            raise ValueError(f"{files.place}: the annotations have no {told} images")


def _part(files: _Files, rows: list[_Row]) -> Part:
    return Part(
        [files.images[row.image] for row in rows],
        np.array([row.label for row in rows]),
        np.array([row.box for row in rows], np.float32),
        [row.place for row in rows],
    )
