"""What a model says of an image seen in several ways: probabilities averaged over its views.

Source: K. Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv:2404.00498, multi-crop
evaluation (airbench). It averages logits; here probabilities are averaged, in which every model
ends, a stack as well.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.runs import scores
from experiments.training.predict import BATCH, predict_probs

if TYPE_CHECKING:
    import keras

    from experiments.datasets import Split


@dataclasses.dataclass(frozen=True)
class View:
    """One way to see an image, and its share in the mean.

    The image is moved by `shift` pixels down and to the right, what that uncovers being filled by
    reflection about the border's pixels (c b | a b c), then mirrored left to right.
    """

    weight: float
    mirrored: bool = False
    shift: int = 0

    @property
    def plain(self) -> bool:
        """Whether it is the image as it is."""
        return not (self.mirrored or self.shift)

    def of(self, images: np.ndarray) -> np.ndarray:
        """Return the view of images (n, h, w, c), in the same shape and type."""
        if self.shift:
            by, (height, width) = abs(self.shift), images.shape[1:3]
            padded = np.pad(images, ((0, 0), (by, by), (by, by), (0, 0)), "reflect")
            start = by - self.shift
            images = padded[:, start : start + height, start : start + width]
        # torch takes no arrays with negative strides.
        return np.ascontiguousarray(images[:, :, ::-1]) if self.mirrored else images


def _pair(weight: float, shift: int = 0) -> tuple[View, View]:
    """Return the image and its mirror image, `weight` for both."""
    return View(weight / 2, False, shift), View(weight / 2, True, shift)


# The names are those of `experiments.recipes`; weights of each sum to 1.
VIEWS: dict[str, tuple[View, ...]] = {
    "none": (View(1.0),),
    "mirror": _pair(1.0),
    "shifts": (*_pair(1 / 2), *_pair(1 / 4, -1), *_pair(1 / 4, 1)),
}


def told(name: str) -> str:
    """Say how many views are averaged, to stand behind probabilities; empty for the plain one."""
    count = len(get(name))
    return f"with {name}, the mean over {count} views" if count > 1 else ""


def get(name: str) -> tuple[View, ...]:
    """Return the views of a name; ValueError for one that there is not."""
    if name not in VIEWS:
        raise ValueError(f"no views {name!r}; there are {', '.join(VIEWS)}")
    return VIEWS[name]


def predict_views(
    model: keras.Model,
    images: np.ndarray,
    views: str,
    batch_size: int = BATCH,
    *,
    plain: np.ndarray | None = None,
) -> np.ndarray:
    """Return the probabilities (n, classes) float32 of images, averaged over their views.

    `images` are as for `predict_probs`, also memory-mapped: views are made of one batch at a time.
    `plain`, the probabilities of the images as they are, are computed unless they are given.
    Raises ValueError for unknown views, and as `predict_probs` does.
    """
    found = np.float32(0)
    for view in get(views):
        if view.plain and plain is not None:
            probs = plain
        else:
            probs = predict_probs(model, _Viewed(images, view), batch_size)
        found = found + view.weight * probs
    return found


def scored(
    model: keras.Model, split: Split, views: str, plain: np.ndarray
) -> Mapping[str, Any] | None:
    """Return the scores of a split with views, as metrics.json keeps them; None without views."""
    if len(get(views)) == 1:
        return None
    probs = predict_views(model, split.images, views, plain=plain)
    return {"views": views, **scores.accuracy(probs, split.labels)}


class _Viewed:
    """Images that are seen in another way when they are asked for, by slices."""

    def __init__(self, images: np.ndarray, view: View):
        self.images, self.view, self.shape = images, view, tuple(images.shape)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: slice) -> np.ndarray:
        return self.view.of(np.asarray(self.images[part]))
