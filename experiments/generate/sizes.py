"""Which images a generator can make, told without Keras."""

from collections.abc import Mapping

from experiments import datasets
from experiments.place import Place
from experiments.recipes import Gan, Row

LEAST_SIDE = 2  # of the first maps of the generator
DEPTH = 4  # convolutions of each network


def strides_of(shape: tuple[int, int, int]) -> tuple[int, list[int]]:
    """Return the side of the first maps, and by what each transposed convolution enlarges them."""
    height, width, _ = shape
    doublings = max(
        (k for k in range(DEPTH + 1) if height % 2**k == 0 and height >> k >= LEAST_SIDE), default=0
    )
    if height != width or not doublings:
        raise ValueError(
            f"images of {height}x{width} pixels: a generator makes square ones whose side is even "
            "and 4 at least: set data.size, for example to 32"
        )
    return height >> doublings, [1] * (DEPTH - doublings) + [2] * doublings


def check(row: Gan, rows: Mapping[str, Row], place: Place) -> None:
    """Raise `ValueError` for images that cannot be made, where their size is known by now."""
    known, size = datasets.facts(row.data.name), row.data.size
    if size:
        strides_of((size, size, 1))
    elif known and known.image_shape:
        strides_of(known.image_shape)
