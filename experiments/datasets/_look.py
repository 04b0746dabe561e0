"""A first look at somebody's own pictures, before anything is decoded for good."""

import dataclasses
import hashlib
import os
import pathlib
import statistics
import tempfile
from collections.abc import Callable, Sequence

import numpy as np

from experiments.datasets import _pixels, csv_file, folder
from experiments.datasets._cache import Progress
from experiments.datasets._dataset import Dataset, Enlarged, Split
from experiments.datasets._source import Part
from experiments.datasets._tree import Extent

# So many pictures, at even distances, speak for all.
_SAMPLE = 200


@dataclasses.dataclass(frozen=True)
class Look:
    """What was found: `name` is the data set that reads it, `counts` are by class.

    `side` is the median of the shorter side in pixels, `sizes` the smallest and the largest width
    and height of those looked at; `gray` says whether none of them has a color.
    """

    place: str
    name: str
    class_names: tuple[str, ...]
    train: tuple[int, ...]
    validation: tuple[int, ...]
    divided: bool
    """Whether a share of the pictures was set aside for validation, as no folder says which."""
    side: int
    sizes: tuple[tuple[int, int], tuple[int, int]]
    gray: bool
    notes: tuple[str, ...] = ()

    @property
    def smallest(self) -> tuple[str, int]:
        """The class with the fewest training pictures, and how many these are."""
        place = int(np.argmin(self.train))
        return self.class_names[place], self.train[place]

    @property
    def largest(self) -> tuple[str, int]:
        """The class with the most training pictures, and how many these are."""
        place = int(np.argmax(self.train))
        return self.class_names[place], self.train[place]


def reader(place: pathlib.Path) -> str:
    """Return the data set that reads a place: a CSV file, or a folder with one and no classes."""
    try:
        if place.is_dir():
            return "csv" if csv_file.WANTED.holds(place) and not folder.is_tree(place) else "folder"
    except OSError:  # told by the data set, with the fix
        pass
    return "csv" if place.suffix.lower() == ".csv" else "folder"


def look(place: str | pathlib.Path, progress: Progress | None = None) -> Look:
    """Look at class folders, or an archive of them, or a CSV file of paths and labels.

    All files are listed, and some of them opened. Raises `ValueError` as `load` does for what lies
    there, and where no picture among those looked at can be read.
    """
    path = pathlib.Path(os.path.expanduser(place))
    name = reader(path)
    source = (csv_file if name == "csv" else folder).source(path)
    with tempfile.TemporaryDirectory() as spool:
        tell = progress or (lambda what, done, total: None)
        listing = source.tree.open(
            pathlib.Path(spool) / "spool", lambda done, total: tell("listing", done, total)
        )
        plan = source.plan(listing)
        if len(plan.class_names) < 2:
            raise ValueError(
                f"{path} has one class ({plan.class_names[0]}): a classifier tells two or more "
                "apart; give each class a folder of its own, and the folder that holds them"
            )
        sizes, gray = _sampled([*plan.train.images, *plan.validation.images], tell)
    counts = [_counts(part, len(plan.class_names)) for part in (plan.train, plan.validation)]
    return Look(
        str(path),
        name,
        tuple(plan.class_names),
        *counts,
        divided=plan.divided,
        side=round(statistics.median(min(size) for size in sizes)),
        sizes=(min(sizes), max(sizes)),
        gray=gray,
        notes=tuple(plan.notes),
    )


def _counts(part: Part, classes: int) -> tuple[int, ...]:
    return tuple(np.bincount(part.labels, minlength=classes).tolist())


def _sampled(
    images: Sequence[Extent], tell: Callable[[str, int, int], None]
) -> tuple[list[tuple[int, int]], bool]:
    """Return (width, height) of pictures at even distances, and whether all of them are gray."""
    chosen = np.linspace(0, len(images) - 1, min(_SAMPLE, len(images))).astype(int)
    sizes, gray, failure = [], True, None
    for done, place in enumerate(chosen, start=1):
        tell("looking at pictures", done, len(chosen))
        try:
            picture = _pixels.open_picture(images[place].read(), images[place].name)
        except ValueError as error:  # told with all others when the pictures are decoded
            failure = failure or error
            continue
        sizes.append(picture.size)
        gray = gray and _is_gray(np.asarray(picture.convert("RGB")))
    if not sizes:
        raise ValueError(
            f"none of {len(chosen)} pictures can be read ({failure}): give a folder of pictures "
            "that Pillow can read, such as JPEG or PNG"
        ) from failure
    return sizes, gray


def _is_gray(pixels: np.ndarray) -> bool:
    return bool((pixels == pixels[..., :1]).all())


def doubles(dataset: Dataset) -> list[tuple[int, int]]:
    """Return (training, validation) places of images with the same pixels, as they are stored."""
    known: dict[bytes, int] = {}
    for place, key in enumerate(_keys(dataset.train)):
        known.setdefault(key, place)
    found = [(known.get(key), place) for place, key in enumerate(_keys(dataset.validation))]
    return [(train, validation) for train, validation in found if train is not None]


def _keys(split: Split) -> list[bytes]:
    images = split.images.stored if isinstance(split.images, Enlarged) else split.images
    return [
        hashlib.blake2b(np.ascontiguousarray(images[row]), digest_size=16).digest()
        for row in range(len(split))
    ]
