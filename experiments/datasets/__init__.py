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
from typing import Any, NamedTuple, Unpack

from experiments.datasets import (
    _cache,
    _decode,
    _options,
    cifar,
    csv_file,
    digits,
    folder,
    mnist,
    stanford_cars,
    tiny_imagenet,
)
from experiments.datasets._cache import Progress
from experiments.datasets._dataset import Dataset, Enlarged, Origin, Split, stratified
from experiments.datasets._look import Look, doubles, look
from experiments.datasets._options import Pixels
from experiments.datasets._pixels import (
    RESAMPLE,
    fit_picture,
    open_picture,
    open_pictures,
    read_pixels,
)
from experiments.datasets._policy_sheet import draw_policy_sheet, policy_sheet_path
from experiments.datasets._sheet import GAP, draw_sheet, grid, open_page, sheet_path
from experiments.datasets._source import Facts, Source
from experiments.datasets._summary import Summary, summary

__all__ = [
    "Dataset",
    "Enlarged",
    "Facts",
    "GAP",
    "Look",
    "Origin",
    "Pixels",
    "RESAMPLE",
    "Split",
    "Summary",
    "check",
    "doubles",
    "draw_policy_sheet",
    "draw_sheet",
    "facts",
    "fit_picture",
    "grid",
    "load",
    "look",
    "names",
    "open_page",
    "open_picture",
    "open_pictures",
    "policy_sheet_path",
    "read_pixels",
    "sheet_path",
    "stratified",
    "summary",
]


class _Entry(NamedTuple):
    """How to find a data set, and its facts; `divides`: the share for validation can be chosen."""

    find: Callable[..., Source]
    facts: Facts | None
    divides: bool = False


_SOURCES = {
    "tiny_imagenet": _Entry(tiny_imagenet.source, Facts(200, 100_000, 10_000, (64, 64, 3))),
    "cifar10": _Entry(
        functools.partial(cifar.source, "cifar10"), Facts(10, 50_000, 10_000, (32, 32, 3))
    ),
    "cifar100": _Entry(
        functools.partial(cifar.source, "cifar100"), Facts(100, 50_000, 10_000, (32, 32, 3))
    ),
    "mnist": _Entry(mnist.source, Facts(10, 60_000, 10_000, (28, 28, 1))),
    "folder": _Entry(folder.source, None, divides=True),
    "csv": _Entry(csv_file.source, None, divides=True),
    "digits": _Entry(digits.source, Facts(10, 1_438, 359, (32, 32, 3), built_in=True)),
    "stanford_cars": _Entry(stanford_cars.source, Facts(196, 8_144, 8_041, None)),
}


def names() -> list[str]:
    """Names that `load` takes."""
    return list(_SOURCES)


def facts(name: str) -> Facts | None:
    """Return the full sizes of a public data set; None for all others, such as folders."""
    return _SOURCES[name].facts if name in _SOURCES else None


def check(
    name: str, *, data_dir: str | pathlib.Path | None = None, **pixels: Unpack[Pixels]
) -> None:
    """Raise the errors of `load` that need no decoding; cheap, without Keras."""
    _resolve(name, data_dir, pixels)


def load(
    name: str,
    *,
    data_dir: str | pathlib.Path | None = None,
    cache_dir: str | pathlib.Path | None = None,
    progress: Progress | None = None,
    **pixels: Unpack[Pixels],
) -> Dataset:
    """Return a data set; its images are decoded by the first call and memory-mapped by others.

    `data_dir` is the data set's folder, a folder that holds it, or its archive; cifar10, cifar100
    and mnist come through keras.datasets without one, digits is built in. What the images become is
    said in `Pixels`: images of varying size need `size`; those that are all stored at one smaller
    size are kept so, and enlarged when they are read. Arrays lie in `cache_dir`, else
    $SMALLZOO_CACHE, else ~/.cache/smallzoo; a changed folder is read again.
    `progress` hears (what, done, total) of each step, in the end with done equal to total.

    Raises `ValueError`: an unknown name, nothing found (with how to get it), files that are
    missing, damaged or of differing sizes (with their names), labels without a class, boxes that do
    not fit or are asked for and not there, a single class, a cache that cannot be written.
    """
    source, target = _resolve(name, data_dir, pixels)
    return _cache.fetch(name, source, target, _cache.folder(cache_dir), progress)


def _resolve(
    name: str, data_dir: str | pathlib.Path | None, pixels: dict[str, Any]
) -> tuple[Source, _decode.Target]:
    """Find a data set and what its images are to become."""
    if name not in names():
        close = difflib.get_close_matches(str(name), names(), n=3, cutoff=0.5) or names()
        raise ValueError(f"no data set {name!r}; did you mean {', '.join(close)}?")
    _options.check(pixels)
    entry, division = _SOURCES[name], _options.division(pixels)
    if division and not entry.divides:
        raise ValueError(
            f"{name} says itself which images are for validation: leave out validation_share and "
            f"validation_seed (--validation-share, --validation-seed)"
        )
    source = entry.find(data_dir, division) if entry.divides else entry.find(data_dir)
    return source, _options.target(name, source, pixels)
