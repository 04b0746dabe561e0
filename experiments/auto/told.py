"""What `fit` tells people of their pictures and of its plan, in lines."""

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from experiments.datasets import Dataset, Look

# Fewer training pictures of a class than this are remarked upon.
FEW = 5
STACK = "the stack: their answers, weighted by a small head that learns on pictures they never saw"
_LEFT_OUT = "left out"


def look(found: Look) -> Iterator[str]:
    """Tell what was found."""
    train, validation = sum(found.train), sum(found.validation)
    low, high = found.smallest[1], found.largest[1]
    each = f"{low:,} of each" if low == high else f"{low:,} to {high:,} of each"
    yield (
        f"{train:,} pictures to learn from and {validation:,} to validate on, "
        f"{len(found.class_names):,} classes, {each} to learn from"
    )
    (width, height), (widest, highest) = found.sizes
    same = found.sizes[0] == found.sizes[1]
    sizes = f"{width}x{height}" if same else f"from {width}x{height} to {widest}x{highest}"
    yield f"{sizes} pixels, {'gray' if found.gray else 'in color'}"
    if found.divided:
        yield "a fifth of every class is set aside to validate on, as nothing says which are for it"
    if low < FEW:
        yield (
            f"class {found.smallest[0]!r} has {low} pictures to learn from: hardly enough to be "
            f"learned, and its accuracy says little; add some"
        )
    elif low * 5 < high:
        yield (
            f"class {found.smallest[0]!r} has {low:,} pictures to learn from, "
            f"{found.largest[0]!r} has {high:,}: rare classes are often taken for frequent ones"
        )
    yield from found.notes


def decoded(images: Dataset, doubles: int) -> Iterator[str]:
    """Tell what was seen when the pictures were decoded."""
    yield from left_out(images)
    if doubles:
        yield of_doubles(doubles, len(images.validation))


def left_out(images: Dataset) -> list[str]:
    """Return which pictures were left out, with the reasons."""
    notes = images.origin.notes if images.origin else ()
    return [note for note in notes if note.startswith(_LEFT_OUT)]


def of_doubles(doubles: int, validation: int) -> str:
    """Tell that pictures to validate on are among those to learn from."""
    return (
        f"{doubles:,} of {validation:,} pictures to validate on are also among those to learn "
        "from, pixel by pixel: they flatter the accuracy; remove them from one of the two"
    )


def plan(made: Mapping[str, Any], folder: pathlib.Path) -> Iterator[str]:
    """Tell what is to be trained, why, and which file says so."""
    for name in made["rows"]:
        first, *others = made["why"][name]
        yield f"{name}: {first}"
        yield from (f"  - {line}" for line in others)
        yield f"  recipe: {folder / f'{name}.yaml'}"
