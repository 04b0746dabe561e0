"""A tree of class folders: `{train,val}/CLASS/IMAGE`, or `CLASS/IMAGE`, which is then divided.

Classes are the folders' names in sorted order. Of a tree without its own split, a share of every
class, drawn by a seed, is the validation split: by default always the same fifth. Where there is
val/, test/ is not read; without val/, it is the validation split.
"""

import functools
import pathlib

import numpy as np

from experiments.datasets import _source
from experiments.datasets._source import Division, Part, Plan, Source, Wanted
from experiments.datasets._tree import Extent, Listing

_TRAIN = ("train", "training")
# In this order: where there is a validation split, the test split is left alone.
_VALIDATION = ("val", "valid", "validation", "test", "testing")
_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}


def is_tree(folder: pathlib.Path) -> bool:
    """Whether `folder` has a training folder, or folders with images right inside."""
    below = [entry for entry in folder.iterdir() if entry.is_dir()]
    return any(entry.name in _TRAIN for entry in below) or any(
        file.suffix.lower() in _SUFFIXES for entry in below for file in entry.iterdir()
    )


WANTED = Wanted(
    name="folder",
    holds=is_tree,
    archives="*",
    looks="a folder train/ with one folder of images per class and one like it named val/ or "
    "test/, or the class folders alone, or an archive of either",
    get="put the images of each class into a folder with the class's name",
)


def source(data_dir: str | pathlib.Path | None, division: Division | None = None) -> Source:
    """Find a tree of class folders at `data_dir`, to be divided if it is not."""
    tree = _source.find(WANTED, data_dir)
    return Source(tree, functools.partial(plan, division=division), variant=division or ())


def plan(listing: Listing, division: Division | None = None) -> Plan:
    """Return the images below a listed tree by class, divided where the tree is not.

    Raises `ValueError` for a tree that is divided already, where a `division` was asked for.
    """
    tops = {path.partition("/")[0] for path in listing.files.keys() | listing.folders}
    train = next((top for top in _TRAIN if top in tops), None)
    validation = next((top for top in _VALIDATION if train and top in tops), None)
    classes = _by_class(listing, f"{train}/" if train else "")
    names = sorted(classes)
    if not names:
        place = f"{listing.place}{f': {train}/' if train else ''}"
        raise ValueError(f"{place} holds no class folders with images")
    if validation is None:
        whole = _part(classes, names)
        parts = _source.divided(whole, names, listing.place, division or Division())
    else:
        if division:
            raise ValueError(
                f"{listing.place} has {validation}/: leave out validation_share and "
                f"validation_seed (--validation-share, --validation-seed)"
            )
        others = _by_class(listing, f"{validation}/")
        if not others:
            raise ValueError(
                f"{listing.place}: {validation}/ holds no class folders with images: add them, or "
                f"remove it, and a share of {train}/ is set aside for validation"
            )
        for name in sorted(classes.keys() ^ others.keys()):
            here, there = (train, validation) if name in classes else (validation, train)
            raise ValueError(f"{listing.place}: class {name!r} is in {here}/, but not in {there}/")
        parts = _part(classes, names), _part(others, names)
    used = {train, validation} if train else set(names)
    notes = [f"not read: {top}" for top in sorted(tops - used)]
    return Plan(*parts, names, names, notes, divided=validation is None)


def _by_class(listing: Listing, under: str) -> dict[str, list[Extent]]:
    """Images by class, of the class folders below `under`; an empty one is an error."""
    folders = [path.removeprefix(under) for path in listing.folders if path.startswith(under)]
    classes: dict[str, list[Extent]] = {path: [] for path in folders if "/" not in path}
    for path, extent in sorted(listing.files.items()):
        if not path.startswith(under):
            continue
        name, slash, image = path.removeprefix(under).partition("/")
        known = pathlib.PurePosixPath(path).suffix.lower() in _SUFFIXES
        if not slash and (known or under):
            raise ValueError(f"{extent.name} lies in no class folder")
        if not slash:
            continue  # a README or a list beside the class folders: noted by the caller
        if "/" in image:
            raise ValueError(
                f"{extent.name} lies deeper than its class folder {name!r}: if {listing.place} "
                f"holds several data sets, give one of them"
            )
        if not known:
            raise ValueError(f"{extent.name} is no image ({', '.join(sorted(_SUFFIXES))})")
        classes.setdefault(name, []).append(extent)
    for name, images in sorted(classes.items()):
        if not images:
            raise ValueError(f"{listing.place}: class folder {under}{name} is empty")
    return classes


def _part(classes: dict[str, list[Extent]], names: list[str]) -> Part:
    images = [extent for name in names for extent in classes[name]]
    return Part(images, np.repeat(np.arange(len(names)), [len(classes[name]) for name in names]))
