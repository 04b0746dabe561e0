"""Images that could not be decoded, taken out of a split where that was asked for."""

import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from experiments.datasets._decode import Report
from experiments.datasets._source import Part

# Rows that are copied at once, and files that are named of a split.
_ROWS, _NAMED = 1024, 50


def apply(
    file: pathlib.Path, part: Part, class_names: Sequence[str], report: Report
) -> tuple[Part, np.ndarray]:
    """Rewrite the array `file` without the images that are unread; return what stays, and sizes.

    Raises `ValueError` for a class of which nothing would be left.
    """
    keep = np.setdiff1d(np.arange(len(part.labels)), list(report.unread))
    if len(lost := np.setdiff1d(part.labels, part.labels[keep])):
        error = next(iter(report.unread.values()))
        raise ValueError(
            f"class {class_names[lost[0]]!r} has no image that can be read ({error}): mend the "
            "images, or remove the class"
        )
    images, beside = np.load(file, mmap_mode="r"), file.with_suffix(".part.npy")
    shape = (len(keep), *images.shape[1:])
    array = np.lib.format.open_memmap(beside, "w+", images.dtype, shape)
    for start in range(0, len(keep), _ROWS):
        array[start : start + _ROWS] = images[keep[start : start + _ROWS]]
    array.flush()
    os.replace(beside, file)
    return part.take(keep), report.sizes[keep]


def notes(split: str, report: Report) -> Iterator[str]:
    """Name what was left out of a split."""
    for error in sorted(report.unread.values())[:_NAMED]:
        yield f"left out of {split}: {error}"
    if (more := len(report.unread) - _NAMED) > 0:
        yield f"left out of {split}: {more} more that cannot be read"
