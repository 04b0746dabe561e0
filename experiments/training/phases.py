"""Phases of training, one for each size of the images in turn, and their data.

Each is a run of the same network, built at its size, that goes on where the last one was saved: a
border between two sizes is passed like a cut.
"""

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np

import zoo
from experiments.datasets import Dataset
from experiments.listener import Listener
from experiments.place import Place
from experiments.recipes import Train
from experiments.recipes.sizes import ends_elsewhere
from experiments.training.part import learned, seen


@dataclasses.dataclass(frozen=True)
class Phase:
    """Epochs on images of one size, up to the epoch `end`, from the start of training.

    `size` is their side in pixels, None where it never changes.
    """

    data: Dataset
    end: int
    size: int | None = None
    last: bool = True


def load(row: Train, data: Dataset, place: Place, listener: Listener) -> dict[int, Dataset]:
    """Return the copies of a row's data set that its sizes need, by size.

    Raises `ValueError`, before any is made, where the sizes do not end at that of the data.
    """
    if not row.sizes:
        return {}
    _check_last(row, data)
    sizes = {size for _, size in row.sizes} - {row.last_size}
    return {size: place.dataset(row.at(size), listener) for size in sorted(sizes)}


def of(row: Train, data: Dataset, copies: Mapping[int, Dataset]) -> list[Phase]:
    """Return the phases of a row, with what it sees of each copy: the same images of all.

    Raises `ValueError` for copies that are missing or are none of the data set.
    """
    if not row.sizes:
        return [Phase(learned(data, row), row.epochs)]
    _check_last(row, data)
    found = {**copies, row.last_size: data}
    for size in {size for _, size in row.sizes}:
        _check_copy(found.get(size), data, size)
    parts = {size: seen(found[size], row.share) for _, size in row.sizes}
    ends = list(itertools.accumulate(epochs for epochs, _ in row.sizes))
    return [
        Phase(parts[size], end, size, end == ends[-1])
        for (_, size), end in zip(row.sizes, ends, strict=True)
    ]


def network(row: Train, shape: tuple[int, int, int]) -> dict:
    """Return what `zoo.build` is told of a row's network for images of a shape.

    Where sizes change, it is the network of the last one: its stem stays at all sizes.
    """
    if not row.sizes:
        return {**row.model, "input_shape": shape}
    last = row.last_size, row.last_size, shape[-1]
    return zoo.resizable(**row.model, input_shape=last) | {"input_shape": shape}


def _check_last(row: Train, data: Dataset) -> None:
    height, width, _ = data.image_shape
    if (height, width) != (row.last_size, row.last_size):
        told = f"the images of {data.name} have {width}x{height}"
        raise ValueError(f"{row.recipe}: {ends_elsewhere(row.last_size, told)}")


def _check_copy(copy: Dataset | None, data: Dataset, size: int) -> None:
    if copy is None:
        raise ValueError(f"no copy of {data.name} at {size} pixels: give copies={{{size}: ...}}")
    shape = (size, size, data.image_shape[-1])
    pairs = [(copy.train, data.train), (copy.validation, data.validation)]
    same = all(np.array_equal(one.labels, other.labels) for one, other in pairs)
    if copy.image_shape != shape or not same:
        raise ValueError(
            f"the copy of {data.name} at {size} pixels has images {copy.image_shape} and "
            f"{'the same' if same else 'other'} labels: give the same images, {shape}, in the same "
            "order"
        )
