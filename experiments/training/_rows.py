"""What the host sends for a block of batches, and what a program makes of it: as `feed` does.

Every number is drawn on the host, for all batches of a block at once: some microseconds an image,
while the accelerator is at work on the block before.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np

import augment
from experiments.datasets import Split
from experiments.training import feed
from experiments.training.enlarging import Enlarge
from experiments.training.targets import Labels, paired

Code = tuple | None  # what selects the code of the augmentation; None where there is none


class Rows(NamedTuple):
    """What differs from batch to batch, of batches of one size: arrays (steps, batch, ...)."""

    numbers: tuple  # of the images; where these are mixed, of their partners too
    drawn: tuple  # parameters of the augmentation of each
    mixed: tuple  # parameters of the mixing, if there is any
    targets: Any

    def row(self, step: int) -> "Rows":
        """Return what is sent for one step."""
        return keras.tree.map_structure(lambda array: array[step], self)


@dataclasses.dataclass(frozen=True)
class Drawing:
    """The batches of `feed.batches`, by its arguments; what they are made of is drawn by blocks."""

    images: Split
    plan: feed.Plan
    policy: augment.Policy | None
    targets: Labels
    mix: augment.Mix | None = None

    def batches(self, epoch: int) -> Iterator[tuple]:
        """Yield them one by one without end, from the start of an epoch on."""
        arguments = self.images, self.plan, self.policy, self.targets
        return feed.batches(*arguments, epoch=epoch, mix=self.mix)

    def rows(self, epoch: int, numbers: np.ndarray) -> tuple[Rows, Code]:
        """Draw all that batches of an epoch need, by the numbers (steps, batch) of their images."""
        flat, all_labels = numbers.reshape(-1), self.images.labels
        labels, views, mixed, drawn, code = all_labels[flat], [flat], [], [], None
        draws = {"seed": self.plan.seed, "epoch": epoch, "shape": self.images.images.shape[1:]}
        if self.mix:
            found = augment.draw_mix(self.mix, indices=flat, n=self.plan.images, **draws)
            labels = paired(labels, all_labels[found["partner"]], found["weight"])
            views.append(found["partner"])
            mixed = [augment.pack_mix(found)]
        if self.policy is not None:
            packed, code = augment.pack(self.policy, indices=np.concatenate(views), **draws)
            drawn = np.split(packed, len(views))

        def by_step(arrays: list) -> tuple:
            return tuple(array.reshape(*numbers.shape, *array.shape[1:]) for array in arrays)

        (targets,) = by_step([self.targets.of(None, labels)])
        return Rows(by_step(views), by_step(drawn), by_step(mixed), targets), code


def seen(source: Any, row: Rows, code: Code, enlarge: Enlarge) -> Any:
    """Return the images of one step as the network sees them.

    `source` is the split, read on the host, or an array of JAX with all its images as they go to
    the device (`enlarging.apart`), which `enlarge` finishes there.
    """
    views = [enlarge(_take(source, numbers)) for numbers in row.numbers]
    for place, packed in enumerate(row.drawn):
        views[place] = augment.apply_packed(views[place], packed, code)
    return augment.mix_packed(*views, *row.mixed) if row.mixed else views[0]


def _take(source: Any, numbers: Any) -> Any:
    if isinstance(source, Split):
        return source.batch(numbers)
    return source.at[numbers].get(mode="promise_in_bounds")
