"""What every kind of data set tells `load`: where it lies, and which images carry which label."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.datasets import _archive, _dataset
from experiments.datasets._tree import Archive, Extent, Folder, Listing, Tree


class Part(NamedTuple):
    """The images of one split: files to decode, or an array (n, h, w, c) uint8.

    `boxes` (n, 4) are whole pixels of the stored image, from 0, both corners inside the box. `rows`
    say where each image's label and box stand, for errors: `cars_annos.mat, row 17`.
    """

    images: Sequence[Extent] | np.ndarray
    labels: np.ndarray
    boxes: np.ndarray | None = None
    rows: Sequence[str] | None = None

    def take(self, chosen: slice | np.ndarray) -> "Part":
        """Return a slice, or the images at some indices."""
        return Part(*(_taken(field, chosen) for field in self))


def _taken(field: Sequence | np.ndarray | None, chosen: slice | np.ndarray) -> Any:
    if field is None or isinstance(field, np.ndarray) or isinstance(chosen, slice):
        return None if field is None else field[chosen]
    return [field[index] for index in chosen]


class Division(NamedTuple):
    """The `share` of every class that is set aside for validation, drawn by `seed`."""

    share: float = 0.2
    seed: int = 0


class Plan(NamedTuple):
    """A data set that has been understood but not decoded; label i is class `class_names[i]`.

    `divided`: a share of the images was set aside for validation, as nothing says which are for it.
    """

    train: Part
    validation: Part
    class_names: Sequence[str]
    class_ids: Sequence[str]
    notes: Sequence[str] = ()
    divided: bool = False


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set that has been found: its fingerprint is cheap, `plan` may read a lot.

    `size` is the default size of its images (None: as stored); `keep` says that the decoded
    arrays go to the cache, which does not pay where they are made in a moment. `boxes`: its images
    may have some. `variant` is what was asked for beside the files, which decides the plan too.
    """

    tree: Tree
    plan: Callable[[Listing], Plan]
    size: int | None = None
    keep: bool = True
    boxes: bool = False
    variant: tuple = ()


def divided(whole: Part, names: Sequence[str], place: str, division: Division) -> tuple[Part, Part]:
    """Return a part without a share of every class, and that share; `names` are the classes'."""
    try:
        splits = _dataset.stratified(whole.labels, *division)
    except _dataset.TooFew as error:
        raise ValueError(
            f"{place}: class {names[error.label]!r} has {error.count} images, too few to set "
            f"{division.share:.0%} aside for validation: add images, choose another "
            f"validation_share (--validation-share), or say which are for validation"
        ) from None
    train, validation = (whole.take(rows) for rows in splits)
    return train, validation


class Facts(NamedTuple):
    """A public data set in full, which papers' tables are about; `image_shape` where it is one.

    What is built in needs neither files nor a download.
    """

    classes: int
    train: int
    validation: int
    image_shape: tuple[int, int, int] | None
    built_in: bool = False


class Wanted(NamedTuple):
    """How to recognise a data set on disk, and what to tell a user who does not have it.

    `holds` recognises its folder; `archives` is the pattern of its archives' names; of several
    candidates the one named `prefer` is meant; `only` names the entries that are read.
    """

    name: str
    holds: Callable[[pathlib.Path], bool]
    archives: str | None
    looks: str
    get: str
    prefer: str = ""
    only: tuple[str, ...] = ()


def find(wanted: Wanted, data_dir: str | pathlib.Path | None) -> Folder | Archive:
    """Find a data set at `data_dir`: its folder, a parent of it, or an archive of it.

    Raises `ValueError` saying what was looked for and how to get it, or listing the candidates.
    """
    hint = f"{wanted.name} is {wanted.looks}; {wanted.get}"
    if data_dir is None:
        raise ValueError(f"{wanted.name} needs data_dir (--data-dir). {hint}")
    place = pathlib.Path(os.path.expanduser(data_dir))
    try:
        return _find(wanted, place, f"data_dir (--data-dir) {place}", hint)
    except OSError as error:
        raise ValueError(
            f"data_dir (--data-dir) {place} cannot be read ({error.strerror}: {error.filename})"
        ) from error


def _find(wanted: Wanted, place: pathlib.Path, given: str, hint: str) -> Folder | Archive:
    if not place.exists():
        raise ValueError(f"{given} does not exist. {hint}")
    if not place.is_dir():
        if place.name in wanted.only and place.is_file():
            return Folder(place.parent, only=(place.name,))
        if _archive.stem(place) is None or wanted.archives is None or not place.is_file():
            raise ValueError(f"{given} is neither a folder nor an archive. {hint}")
        return Archive(_archive.parts(place))
    if wanted.holds(place):
        return Folder(place, wanted.only)
    found = _candidates(wanted, place)
    if len(found) > 1 and wanted.prefer not in found:
        names = ", ".join(str(tree) for tree in found.values())
        raise ValueError(f"{given} holds several data sets; give one of them: {names}")
    if not found:
        raise ValueError(f"{given} holds no {wanted.name}. {hint}")
    return found.get(wanted.prefer) or next(iter(found.values()))


def _candidates(wanted: Wanted, place: pathlib.Path) -> dict[str, Folder | Archive]:
    """Folders and archives in `place` by name; a folder hides the archive it came from."""
    entries = sorted(place.iterdir())
    found: dict[str, Folder | Archive] = {
        entry.name: Folder(entry, wanted.only)
        for entry in entries
        if entry.is_dir() and wanted.holds(entry)
    }
    for entry in entries:
        stem = _archive.stem(entry)
        named = stem and stem not in found and wanted.archives and entry.match(wanted.archives)
        if named and entry.is_file():
            found[stem] = Archive(_archive.parts(entry))
    return found


def from_keras(name: str) -> tuple[tuple, tuple]:
    """Return ((images, labels), (images, labels)), train and test, through keras.datasets.

    Keras downloads once and checks the file's hash. Its CIFAR files are pickles, which Keras
    opens after that check; pickles from elsewhere are never opened here.
    """
    import keras

    try:
        return getattr(keras.datasets, name).load_data()
    # Keras raises plain Exception where a download fails.
    except Exception as error:
        raise ValueError(
            f"keras.datasets could not get {name} ({error}); without network, give data_dir "
            f"(--data-dir)"
        ) from error


def arrays(place: str, images: np.ndarray, labels: np.ndarray, classes: int) -> Part:
    """Return images (n, h, w, c) uint8 with labels 0 to classes - 1 as a part, checked."""
    labels = labels.reshape(-1)
    if images.ndim != 4 or images.dtype != np.uint8 or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{place}: images are {images.dtype} {images.shape} and labels {labels.dtype}; "
            f"expected uint8 (n, h, w, c) and integers"
        )
    if images.shape[-1] not in (1, 3) or 0 in images.shape[1:]:
        raise ValueError(
            f"{place}: images are {images.shape}; expected (n, h, w, 1) or (n, h, w, 3)"
        )
    if len(images) != len(labels) or not len(images):
        raise ValueError(f"{place}: {len(images)} images, but {len(labels)} labels")
    if labels.min() < 0 or labels.max() >= classes:
        wrong = labels[(labels < 0) | (labels >= classes)][0]
        raise ValueError(f"{place}: label {wrong} is none of the {classes} classes")
    return Part(images, labels)
