"""Data sets as uint8 arrays: found where the user has them, decoded once, memory-mapped after.

For example:

    dataset = load("tiny_imagenet", data_dir="~/data")
    dataset.train.images          # (100000, 64, 64, 3) uint8, a memory-mapped file
    dataset.train.batch([3, 1])   # (2, 64, 64, 3) uint8, a copy
    members, held = dataset.holdout(0.1)
"""

import difflib
import functools
import pathlib
from collections.abc import Callable
from typing import NamedTuple

from experiments.datasets import (
    _cache,
    _decode,
    _pixels,
    cifar,
    digits,
    folder,
    mnist,
    tiny_imagenet,
)
from experiments.datasets._cache import Progress
from experiments.datasets._dataset import Dataset, Origin, Split
from experiments.datasets._pixels import (
    RESAMPLE,
    fit_picture,
    open_picture,
    open_pictures,
    read_pixels,
)
from experiments.datasets._policy_sheet import draw_policy_sheet, policy_sheet_path
from experiments.datasets._sheet import draw_sheet, sheet_path
from experiments.datasets._source import Facts, Source
from experiments.datasets._summary import Summary, summary

__all__ = [
    "Dataset",
    "Facts",
    "Origin",
    "RESAMPLE",
    "Split",
    "Summary",
    "check",
    "draw_policy_sheet",
    "draw_sheet",
    "facts",
    "fit_picture",
    "load",
    "names",
    "open_picture",
    "open_pictures",
    "policy_sheet_path",
    "read_pixels",
    "sheet_path",
    "summary",
]

# Networks for small images; 1,000 images of this edge are 3 GB.
_LARGEST = 1024


class _Entry(NamedTuple):
    """How to find a data set (None: known by its facts alone), and its facts."""

    find: Callable[[str | pathlib.Path | None], Source] | None
    facts: Facts | None


_SOURCES = {
    "tiny_imagenet": _Entry(tiny_imagenet.source, Facts(200, 100_000, 10_000, (64, 64, 3))),
    "cifar10": _Entry(
        functools.partial(cifar.source, "cifar10"), Facts(10, 50_000, 10_000, (32, 32, 3))
    ),
    "cifar100": _Entry(
        functools.partial(cifar.source, "cifar100"), Facts(100, 50_000, 10_000, (32, 32, 3))
    ),
    "mnist": _Entry(mnist.source, Facts(10, 60_000, 10_000, (28, 28, 1))),
    "folder": _Entry(folder.source, None),
    "digits": _Entry(digits.source, Facts(10, 1_438, 359, (32, 32, 3), built_in=True)),
    "stanford_cars": _Entry(None, Facts(196, 8_144, 8_041, None)),
}


def names() -> list[str]:
    """Names that `load` takes."""
    return [name for name, entry in _SOURCES.items() if entry.find]


def facts(name: str) -> Facts | None:
    """Return the full sizes of a public data set; None for all others, such as folders."""
    return _SOURCES[name].facts if name in _SOURCES else None


def check(
    name: str,
    *,
    data_dir: str | pathlib.Path | None = None,
    size: int | None = None,
    resample: str = "lanczos",
) -> None:
    """Raise the errors of `load` that need no decoding; cheap, without Keras."""
    _resolve(name, data_dir, size, resample)


def load(
    name: str,
    *,
    data_dir: str | pathlib.Path | None = None,
    size: int | None = None,
    resample: str = "lanczos",
    cache_dir: str | pathlib.Path | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Return a data set; its images are decoded by the first call and memory-mapped by others.

    `data_dir` is the data set's folder, a folder that holds it, or its archive; cifar10, cifar100
    and mnist come through keras.datasets without one, digits is built in. `size` resizes every
    image to size x size pixels with PIL's filter `resample`, whatever its proportions. Arrays lie
    in `cache_dir`, else $SMALLZOO_CACHE, else ~/.cache/smallzoo; a changed folder is read again.
    `progress` hears (what, done, total) of each step, in the end with done equal to total.

    Raises `ValueError`: an unknown name, nothing found (with how to get it), files that are
    missing, damaged or of differing sizes (with their names), labels without a class, a single
    class, a cache that cannot be written.
    """
    source, target = _resolve(name, data_dir, size, resample)
    return _cache.fetch(name, source, target, _cache.folder(cache_dir), progress)


def _resolve(
    name: str, data_dir: str | pathlib.Path | None, size: int | None, resample: str
) -> tuple[Source, _decode.Target]:
    """Find a data set and what its images are to become."""
    if name not in names():
        close = difflib.get_close_matches(str(name), names(), n=3, cutoff=0.5) or names()
        raise ValueError(f"no data set {name!r}; did you mean {', '.join(close)}?")
    whole = isinstance(size, int) and not isinstance(size, bool)
    if size is not None and not (whole and 1 <= size <= _LARGEST):
        raise ValueError(
            f"size (--size) {size!r}: give the edge length in whole pixels, from 1 to {_LARGEST}, "
            f"for example 64"
        )
    _pixels.check_filter(resample)
    source = _SOURCES[name].find(data_dir)
    return source, _decode.Target(size or source.size, resample)
