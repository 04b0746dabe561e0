"""What is asked of a generator: how many images, and of which classes."""

import dataclasses

import numpy as np

from experiments.runs import Run, class_number
from experiments.training.generated import (
    check_conditional,
    check_makes_images,
    labels_of,
)


@dataclasses.dataclass(frozen=True)
class Asked:
    """So many images in all, classes in turn, or `per_class` of each; or of one class alone.

    `of_class` is a class's name, its id or its number.
    """

    images: int | None = None
    per_class: int | None = None
    of_class: str | None = None
    seed: int = 0

    def __post_init__(self):
        if (self.images is None) == (self.per_class is None):
            raise ValueError(
                f"images (--images) {self.images} and per_class (--per-class) {self.per_class}: "
                "give one of them"
            )
        if (count := self.images or self.per_class or 0) < 1:
            raise ValueError(f"{count} images asked for: give 1 or more")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed (--seed) {self.seed}: give a number from 0 to 2^32 - 1")

    def labels(self, run: Run) -> np.ndarray:
        """Return a label (n,) for each image; ValueError for what the run cannot make."""
        check_generator(run)
        if self.of_class is not None or self.per_class is not None:
            check_conditional(run.row, str(run))
        if self.of_class is not None:
            return np.full(self.images or self.per_class, label(run, self.of_class))
        if self.per_class is not None:
            return labels_of(run.classes, self.per_class)
        return labels_of(run.classes, -(-self.images // run.classes))[: self.images]

    def by_class(self, run: Run) -> bool:
        """Whether the images have classes."""
        return conditional(run)


def check_generator(run: Run) -> None:
    """Raise ValueError for a run that is not finished, or is no generator; without Keras."""
    if run.begun:
        check_makes_images(run.row, str(run))
    _ = run.metrics, run.generator_file


def conditional(run: Run) -> bool:
    """Whether a generator knows classes."""
    try:
        check_conditional(run.row, str(run))
    except ValueError:
        return False
    return True


def label(run: Run, name: str) -> int:
    """Return a class's number by its name, its id or that number; ValueError for another text."""
    known = run.dataset["class_names"], run.dataset.get("class_ids") or []
    if (number := class_number(name, *known)) is not None:
        return number
    raise ValueError(
        f"class (--class) {name!r}: {run} has {run.classes} classes, numbered from 0 to "
        f"{run.classes - 1}: {', '.join(run.names[:10])}{', ...' if run.classes > 10 else ''}"
    )
