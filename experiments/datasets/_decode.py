"""Image files to one array on disk, on all cores.

Processes, not threads: for 64x64 JPEGs most of the time is PIL's Python, which holds the GIL
(2 cores: 13,700 images/s alone, 13,300 with two threads, 26,000 with two processes). They come
from joblib, whose workers start the same way in scripts, notebooks and beside a loaded backend.
"""

import collections
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from experiments.datasets import _boxes, _pixels
from experiments.datasets._source import Part
from experiments.datasets._tree import Extent

# Starting workers takes about a second, in which one process decodes this many bytes of JPEG.
_PARALLEL_BYTES = 2**24
# One task: enough work to outweigh its overhead (about 1 ms), little enough to share out evenly and
# to hold in memory: bytes as stored, bytes as decoded, images.
_TASK_BYTES, _TASK_PIXELS, _TASK_IMAGES = 2**20, 2**25, 256
_SKIP = (
    "mend or remove what cannot be read, or leave it out by unreadable: skip (--skip-unreadable, "
    "of a recipe --set data.unreadable=skip)"
)
_OTHERS = ("channels", "crop", "background", "unreadable")


class Target(NamedTuple):
    """What images become, in this order: cropped, gray or RGB, padded to a square, resized.

    `size` is the edge length in pixels (None: as stored), `resample` the filter that gets there;
    the others are as in `datasets.Pixels`.
    """

    size: int | None = None
    resample: str = "lanczos"
    channels: int | None = None
    crop: str | None = None
    background: str | None = None
    unreadable: str | None = None

    @property
    def key(self) -> list:
        """Return what decides the pixels; the filter does not where nothing is resized."""
        resized = [self.size, self.resample] if self.size else None
        others = {name: value for name in _OTHERS if (value := getattr(self, name)) is not None}
        return [resized, others] if others else [resized]

    def crops(self, split: str) -> bool:
        """Whether images of a split, train or validation, are cropped to their boxes."""
        return self.crop == "boxes" or (self.crop == "train_boxes" and split == "train")

    def of(self, split: str) -> "Target":
        """Return the target of one split."""
        return self if self.crops(split) else self._replace(crop=None)

    def told(self) -> list[str]:
        """Return what else than their size is changed, for people."""
        crops = {"boxes": "all images are", "train_boxes": "training images are"}
        cropped = [f"{crops[self.crop]} cropped to their boxes"] if self.crop else []
        return cropped + ([f"padded to a square with {self.background}"] * bool(self.background))

    def stored(self) -> "Target | None":
        """Return the target of images that are resized no sooner than they are read.

        None where that is no other one.
        """
        return self._replace(size=None) if self.size else None

    def enlarges(self, shape: tuple[int, int, int]) -> bool:
        """Whether images (h, w, c) become no smaller in height and width: nothing is lost."""
        return self.size is not None and max(shape[:2]) <= self.size


class Varying(ValueError):
    """Images of more than one size, where all must have one."""


class Report(NamedTuple):
    """Of some images: (n, 2) stored width and height, how many of each kind, what went wrong.

    `varying` tell of those of another size than expected, `unread` of those that cannot be decoded,
    by row; the pixels of either are zeros.
    """

    sizes: np.ndarray
    kinds: collections.Counter[str]
    varying: list[str]
    unread: dict[int, str]


def first(part: Part, target: Target) -> tuple[str, tuple[int, int, int]]:
    """Name and (h, w, c) of the first image that can be decoded; it speaks for its data set."""
    failure = None
    for number, item in enumerate(part.images):
        try:
            return _name(item, "train", number), _decoded(part, number, target)[0].shape
        except ValueError as error:
            failure = failure or error
    raise ValueError(f"none of {len(part.images)} images can be used:\n  {failure}") from failure


def write(
    part: Part,
    path: pathlib.Path,
    target: Target,
    first: tuple[str, tuple[int, int, int]],
    advance: Callable[[int, int], None],
    *,
    or_give_up: bool = False,
) -> Report:
    """Decode the images into the new file `path`, a (n, h, w, c) uint8 `.npy`.

    No process holds more than one of them at its stored size. `first` is the name of an image and
    the shape that all must have; `advance` hears how many images of all are done. Raises
    `ValueError` naming the images that cannot be read, unless the target skips them, or do not fit;
    with `or_give_up`, `Varying` soon after one of another shape is met.
    """
    images, (_, expected) = part.images, first
    array = np.lib.format.open_memmap(path, "w+", np.uint8, (len(images), *expected))
    offset, row_bytes = array.offset, int(np.prod(expected))
    del array
    total = images.nbytes if isinstance(images, np.ndarray) else sum(e.size for e in images)
    by_bytes = _TASK_BYTES * len(images) // max(total, 1), _TASK_PIXELS // row_bytes
    step = max(1, min(_TASK_IMAGES, *by_bytes))
    given_up = []

    def tasks() -> Iterator[tuple]:
        for start in range(0, len(images), step):
            if given_up:  # what is under way ends in peace
                return
            some = part.take(slice(start, start + step))
            yield start, some, target, first, path, offset + start * row_bytes

    sizes, kinds = np.empty((len(images), 2), np.int64), collections.Counter()
    varying, unread, done = [], {}, 0
    advance(done, len(images))
    for start, report in _results(tasks(), parallel=total >= _PARALLEL_BYTES):
        sizes[start : start + len(report.sizes)] = report.sizes
        kinds += report.kinds
        varying += report.varying
        unread |= report.unread
        done += len(report.sizes)
        advance(done, len(images))
        if or_give_up and report.varying:
            given_up += report.varying
    if given_up:
        raise Varying(given_up[0])
    # On the disk before the folder gets its name: after a power cut it must not hold zeros.
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    skipped = target.unreadable == "skip"
    if problems := varying + ([] if skipped else list(unread.values())):
        more = f"\n  and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ValueError(
            f"{len(problems)} of {len(images)} images cannot be used:\n  "
            + "\n  ".join(sorted(problems)[:5])
            + more
            + ("" if skipped or not unread else f"\n{_SKIP}")
        )
    return Report(sizes, kinds, varying, unread)


def _results(tasks: Iterator[tuple], parallel: bool) -> Iterator[tuple[int, Report]]:
    if not parallel:
        yield from (_block(*task) for task in tasks)
        return
    import joblib

    # `max_nbytes`: tasks go through the pipe, not through files. Idle workers go soon.
    workers = joblib.Parallel(
        n_jobs=joblib.cpu_count(),
        return_as="generator_unordered",
        batch_size=1,
        max_nbytes=None,
        idle_worker_timeout=10,
    )
    yield from workers(joblib.delayed(_block)(*task) for task in tasks)


def _block(start, part, target, first, path, position) -> tuple[int, Report]:
    """Decode the images of a part and write them at byte `position`; runs in a worker."""
    items, (name, expected) = part.images, first
    block = np.zeros((len(items), *expected), np.uint8)
    sizes, kinds = np.zeros((len(items), 2), np.int64), collections.Counter()
    varying, unread = [], {}
    for row, item in enumerate(items):
        try:
            pixels, sizes[row], kind = _decoded(part, row, target)
        except ValueError as error:
            unread[start + row] = str(error)
            continue
        if pixels.shape != expected:
            this = _name(item, path.stem.partition("_")[0], start + row)
            varying.append(
                f"{this} is {pixels.shape[1]}x{pixels.shape[0]} pixels, but {name} is "
                f"{expected[1]}x{expected[0]}: give size (--size) to resize all to one size"
            )
            continue
        block[row] = pixels
        kinds[kind] += 1
    with open(path, "r+b") as file:
        file.seek(position)
        file.write(block)
    return start, Report(sizes, kinds, varying, unread)


def _name(item: Extent | np.ndarray, split: str, number: int) -> str:
    return f"{split} image {number}" if isinstance(item, np.ndarray) else item.name


def _decoded(part: Part, row: int, target: Target) -> tuple[np.ndarray, tuple[int, int], str]:
    """Return an image's (h, w, c) pixels, its stored (w, h), and its kind.

    Unless told otherwise, pixels that come as an array keep their channels, and files become RGB.
    Raises ValueError that names the file, and the row that speaks of it.
    """
    item, box = part.images[row], None if part.boxes is None else part.boxes[row]
    if isinstance(item, np.ndarray):
        height, width, channels = item.shape
        same = target.channels in (None, channels) and target.crop is None
        if same and target.size in (None, height) and height == width:
            return item, (width, height), "array"
        picture, kind = Image.fromarray(item[..., 0] if channels == 1 else item), "array"
    else:
        channels, name = 3, _told(part, row)
        picture, kind = _pixels.open_with_kind(item.read(), name)
        if box is not None:
            _boxes.check_inside(box, picture.size, name)
    stored = picture.size
    if target.crop:
        picture = _pixels.crop_picture(picture, box)
    size = None if target.size is None else (target.size, target.size)
    channels = target.channels or channels
    pixels = _pixels.fit_picture(picture, size, channels, target.resample, target.background)
    return pixels, stored, kind


def _told(part: Part, row: int) -> str:
    """Name an image file, and the row that gives its label and box, where there is one."""
    name = part.images[row].name
    return name if part.rows is None else f"{name} ({part.rows[row]})"
