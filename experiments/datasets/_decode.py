"""Image files to one array on disk, on all cores.

Processes, not threads: for 64x64 JPEGs most of the time is PIL's Python, which holds the GIL
(2 cores: 13,700 images/s alone, 13,300 with two threads, 26,000 with two processes). They come
from joblib, whose workers start the same way in scripts, notebooks and beside a loaded backend.
"""

import collections
import io
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from experiments.datasets._tree import Extent

RESAMPLE = {name.lower(): filter for name, filter in Image.Resampling.__members__.items()}

# Modes of 8 bits per channel by their kind; others ("I;16", "F") would lose their range as RGB.
_KINDS = {
    "RGB": "RGB",
    **dict.fromkeys(("1", "L", "LA", "La"), "grayscale"),
    **dict.fromkeys(("P", "PA"), "palette"),
    **dict.fromkeys(("RGBA", "RGBa", "RGBX"), "transparent"),
    **dict.fromkeys(("CMYK", "YCbCr", "LAB", "HSV"), "other"),
}

# Starting workers takes about a second, in which one process decodes this many bytes of JPEG.
_PARALLEL_BYTES = 2**24
# One task: enough work to outweigh its overhead (about 1 ms), little enough to share out evenly.
_TASK_BYTES, _TASK_IMAGES = 2**20, 256


class Target(NamedTuple):
    """Edge length in pixels (None: as stored) and the filter that gets there."""

    size: int | None
    resample: str


class Report(NamedTuple):
    """Of some images: (n, 2) stored width and height, how many of each kind, what went wrong."""

    sizes: np.ndarray
    kinds: collections.Counter[str]
    problems: list[str]


def shape(item: Extent | np.ndarray, target: Target) -> tuple[int, int, int]:
    """(h, w, c) of the decoded `item`, which speaks for all images of its data set."""
    pixels, _, _ = _pixels(item, target)
    return pixels.shape


def write(
    images: Sequence[Extent] | np.ndarray,
    path: pathlib.Path,
    target: Target,
    first: tuple[str, tuple[int, int, int]],
    advance: Callable[[int], None],
) -> Report:
    """Decode `images` into the new file `path`, a (n, h, w, c) uint8 `.npy`.

    `first` is the name of an image and the shape that all must have; `advance` hears the number
    of images done. Raises `ValueError` naming the images that cannot be read or do not fit.
    """
    _, expected = first
    array = np.lib.format.open_memmap(path, "w+", np.uint8, (len(images), *expected))
    offset, row_bytes = array.offset, int(np.prod(expected))
    del array
    total = images.nbytes if isinstance(images, np.ndarray) else sum(e.size for e in images)
    step = max(1, min(_TASK_IMAGES, _TASK_BYTES * len(images) // max(total, 1)))
    tasks = (
        (start, images[start : start + step], target, first, path, offset + start * row_bytes)
        for start in range(0, len(images), step)
    )
    sizes, kinds, problems = np.empty((len(images), 2), np.int64), collections.Counter(), []
    for start, report in _results(tasks, parallel=total >= _PARALLEL_BYTES):
        sizes[start : start + len(report.sizes)] = report.sizes
        kinds += report.kinds
        problems += report.problems
        advance(len(report.sizes))
    # On the disk before the folder gets its name: after a power cut it must not hold zeros.
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    if problems:
        more = f"\n  and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ValueError(
            f"{len(problems)} of {len(images)} images cannot be used:\n  "
            + "\n  ".join(sorted(problems)[:5])
            + more
        )
    return Report(sizes, kinds, problems)


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


def _block(start, items, target, first, path, position) -> tuple[int, Report]:
    """Decode `items` and write them at byte `position` of `path`; runs in a worker."""
    name, expected = first
    block = np.zeros((len(items), *expected), np.uint8)
    sizes, kinds, problems = np.zeros((len(items), 2), np.int64), collections.Counter(), []
    for row, item in enumerate(items):
        try:
            pixels, sizes[row], kind = _pixels(item, target)
        except ValueError as error:
            problems.append(str(error))
            continue
        if pixels.shape != expected:
            problems.append(
                f"{item.name} is {pixels.shape[1]}x{pixels.shape[0]} pixels, but {name} is "
                f"{expected[1]}x{expected[0]}: give size to resize all to one size"
            )
            continue
        block[row] = pixels
        kinds[kind] += 1
    with open(path, "r+b") as file:
        file.seek(position)
        file.write(block)
    return start, Report(sizes, kinds, problems)


def _pixels(item: Extent | np.ndarray, target: Target) -> tuple[np.ndarray, tuple[int, int], str]:
    """Return an image's (h, w, c) pixels, its stored (w, h), and its kind.

    Pixels that come as an array keep their channels; files become RGB.
    """
    if isinstance(item, np.ndarray):
        height, width, channels = item.shape
        if target.size in (None, height) and height == width:
            return item, (width, height), "array"
        picture, kind = Image.fromarray(item[..., 0] if channels == 1 else item), "array"
    else:
        picture, kind = _picture(item)
    stored = picture.size
    if target.size is not None and stored != (target.size, target.size):
        picture = picture.resize((target.size, target.size), RESAMPLE[target.resample])
    pixels = np.asarray(picture)
    return pixels.reshape(*pixels.shape[:2], -1), stored, kind


def _picture(item: Extent) -> tuple[Image.Image, str]:
    try:
        data = item.read()
        if len(data) != item.size:
            raise ValueError(f"{len(data)} bytes where {item.size} were listed")
        picture = Image.open(io.BytesIO(data))
        if picture.mode not in _KINDS:
            raise ValueError(f"mode {picture.mode}: save it with 8 bits per channel")
        picture.load()
        # A photograph says so if the camera was held upright.
        if "exif" in picture.info:
            picture = ImageOps.exif_transpose(picture)
        kind = _KINDS[picture.mode]
        return (picture if kind == "RGB" else picture.convert("RGB")), kind
    # PIL raises a dozen kinds of error on damaged files, SyntaxError and struct.error among them.
    except Exception as error:
        raise ValueError(f"{item.name} cannot be read as an image ({error})") from error
