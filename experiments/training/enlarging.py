"""Who enlarges images that are stored small: the accelerator where there is one, else Pillow.

Both make the same pixels, bit for bit (`augment.enlarge`): which one did it decides nothing. To an
accelerator the small images travel, or lie there. A CPU has nothing to gain: Pillow takes 0.5 to
0.7 ms of it for an image from 64 to 224 pixels, XLA 0.7, eager torch several times as much.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import augment
from experiments import backend
from experiments.datasets import Enlarged, Split

Enlarge = Callable[[Any], Any]


def apart(images: np.ndarray | Any) -> tuple[Any, Enlarge]:
    """Return images as they go to the device, and what makes of a batch there what is seen.

    `images` are those of a split; whatever is not enlarged on an accelerator stays as it is.
    """
    if not isinstance(images, Enlarged) or not on_accelerator():
        return images, _unchanged
    if images.resample not in augment.FILTERS:  # newer versions of Pillow have more
        return images, _unchanged
    edges = (images.size, images.size)
    return images.stored, functools.partial(augment.enlarge, size=edges, resample=images.resample)


def on_accelerator() -> bool:
    """Tell whether the backend computes on anything but a CPU."""
    return backend.device() != "cpu"


def nbytes(split: Split) -> int:
    """Return the size of all images of a split, as they would lie on the device."""
    images, _ = apart(split.images)
    return images[np.arange(min(len(images), 1))].nbytes * len(images)


def _unchanged(batch: Any) -> Any:
    return batch
