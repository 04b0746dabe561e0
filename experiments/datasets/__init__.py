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

from experiments.datasets import (
    _cache,
    _decode,
    _sheet,
    _summary,
    cifar,
    digits,
    folder,
    mnist,
    tiny_imagenet,
)
from experiments.datasets._dataset import Dataset, Origin, Split
from experiments.datasets._source import Source

__all__ = ["Dataset", "Origin", "Split", "load", "names", "prepare"]

_SOURCES: dict[str, Callable[[str | pathlib.Path | None], Source]] = {
    "tiny_imagenet": tiny_imagenet.source,
    "cifar10": functools.partial(cifar.source, "cifar10"),
    "cifar100": functools.partial(cifar.source, "cifar100"),
    "mnist": mnist.source,
    "folder": folder.source,
    "digits": digits.source,
}


def names() -> list[str]:
    """Names that `load` takes."""
    return list(_SOURCES)


def load(
    name: str,
    *,
    data_dir: str | pathlib.Path | None = None,
    size: int | None = None,
    resample: str = "lanczos",
    cache_dir: str | pathlib.Path | None = None,
    progress: bool = True,
) -> Dataset:
    """Return a data set; its images are decoded by the first call and memory-mapped by others.

    `data_dir` is the data set's folder, a folder that holds it, or its archive; cifar10, cifar100
    and mnist come through keras.datasets without one, digits is built in. `size` resizes every
    image to size x size pixels with PIL's filter `resample`, whatever its proportions. Arrays lie
    in `cache_dir`, else $SMALLZOO_CACHE, else ~/.cache/smallzoo; a changed folder is read again.

    Raises `ValueError`: an unknown name, nothing found (with how to get it), files that are
    missing, damaged or of differing sizes (with their names), labels without a class.
    """
    if name not in _SOURCES:
        close = difflib.get_close_matches(name, names(), n=3, cutoff=0.5) or names()
        raise ValueError(f"no data set {name!r}; did you mean {', '.join(close)}?")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise ValueError(f"size {size!r}: give the edge length in whole pixels, for example 64")
    if resample not in _decode.RESAMPLE:
        raise ValueError(f"resample {resample!r}: choose of {', '.join(_decode.RESAMPLE)}")
    source = _SOURCES[name](data_dir)
    target = _decode.Target(size or source.size, resample)
    return _cache.fetch(name, source, target, _cache.folder(cache_dir), progress)


def prepare(
    name: str,
    data_dir: str | pathlib.Path | None = None,
    out: str | pathlib.Path | None = None,
    console=None,
    **options,
) -> Dataset:
    """Load a data set, print a summary of it and write its contact sheet.

    `out` is the sheet's PNG or a folder for it (default: `NAME.png` in the working folder),
    `console` the rich console to print to, `options` are further arguments of `load`.
    """
    from rich import console as rich_console

    sheet = pathlib.Path(out or ".").expanduser()
    if sheet.suffix.lower() != ".png":
        if sheet.is_file():
            raise ValueError(f"out {sheet} is a file: give a .png or a folder")
        sheet = sheet / f"{name}.png"
    console = console or rich_console.Console()
    dataset = load(name, data_dir=data_dir, **options)
    _summary.show(dataset, console)
    _sheet.draw(dataset, sheet)
    console.print(f"contact sheet: {sheet}", soft_wrap=True, markup=False)
    return dataset
