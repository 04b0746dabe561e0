"""Adversarial images within an L-infinity ball: the fast gradient sign method and PGD.

    gradient = augment.Gradient(model, batch_size=64)
    for epsilon in (1, 2, 4, 8):
        attacked = augment.fgsm(gradient, images, labels, epsilon=epsilon)

Pixels and the ball's radius epsilon are in grey levels, 0..255: what papers write as 8/255 is 8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from augment._draw import image_numbers
from augment._gradient import Gradient, as_gradient
from augment._pixels import extent
from augment._uniforms import uniforms

if TYPE_CHECKING:
    import keras

_EPOCH = -1  # no epoch of training: the random starts are unrelated to augmentation's draws


def fgsm(
    model: keras.Model | Gradient,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    epsilon: float,
    targets: np.ndarray | None = None,
) -> np.ndarray:
    """Move every pixel by epsilon along the sign of the loss's gradient, once.

    Source: Goodfellow, Shlens, Szegedy, arXiv 1412.6572. It is one step of `pgd`, which describes
    arguments, result and errors, from the images themselves.
    """
    size = {"epsilon": epsilon, "step": epsilon, "steps": 1}
    return pgd(model, images, labels, **size, targets=targets, seed=None)


def pgd(
    model: keras.Model | Gradient,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    epsilon: float,
    step: float,
    steps: int,
    targets: np.ndarray | None = None,
    seed: int | None = 0,
    indices: np.ndarray | None = None,
) -> np.ndarray:
    """Climb the cross entropy by signs of its gradient, each step projected to ball and range.

    Source: Madry et al., arXiv 1706.06083. A pixel whose gradient is exactly 0 stays, as the sign
    of 0 is 0.

    Args:
        model: a functional model, which compiles anew in each call, or its `Gradient`.
        images: (n, h, w, c), raw pixels 0..255, uint8 or float.
        labels: classes (n,), from 0.
        epsilon: most that a pixel may change, in grey levels.
        step: what a pixel changes in one step, in grey levels.
        steps: number of steps.
        targets: classes (n,) to come closer to, by descending their loss; None to leave `labels`.
        seed: start at a uniform random point of the ball, which depends on the seed and the
            image's number alone; None to start at the images.
        indices: numbers (n,) of the images in their data set, so that batches do not matter; None
            for 0 to n - 1.

    Returns:
        float32 like images, 0..255, no pixel further than epsilon from them. Whole pixels stay
        whole for whole epsilon and step without a random start.

    Raises:
        ValueError: a model, shapes, classes, pixels (NaN among them), indices or numbers that do
            not fit.

    """
    gradient = as_gradient(model)
    gradient.check(images, labels)
    if targets is not None:
        gradient.check(images, targets, "targets")
    _check_numbers(epsilon, step, steps)
    _check_pixels(images)
    indices = image_numbers(indices, len(images))
    epsilon, step = float(epsilon), float(step)  # NumPy's would make float64 of float32 images
    classes, step = (labels, step) if targets is None else (targets, -step)
    parts = []
    for start in range(0, len(images), gradient.batch_size):
        rows = slice(start, start + gradient.batch_size)
        clean = np.asarray(images[rows], np.float32)
        low, high = np.maximum(clean - epsilon, 0), np.minimum(clean + epsilon, 255)
        x = clean
        if seed is not None:
            x = np.clip(clean + epsilon * _signed(seed, indices[rows], clean.shape[1:]), low, high)
        for _ in range(steps):
            x = np.clip(x + step * np.sign(gradient(x, classes[rows])), low, high)
        parts.append(x)
    return np.concatenate(parts)


def _signed(seed: int, indices: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Draw uniform numbers in [-1, 1) for the images of these numbers, each of `shape`."""
    u = uniforms(seed, _EPOCH, indices, np.arange(np.prod(shape)))
    return (2 * u - 1).reshape(-1, *shape).astype(np.float32)


def _check_pixels(images: np.ndarray) -> None:
    low, high = extent(images, scaled="pixels and epsilon")
    if low < 0 or high > 255:
        raise ValueError(f"images from {low:g} to {high:g}: raw pixels, 0 to 255, are expected")


def _check_numbers(epsilon: float, step: float, steps: int) -> None:
    for name, value in (("epsilon", epsilon), ("step", step)):
        if not 0 < value <= 255:
            raise ValueError(f"{name}={value}: give grey levels above 0, at most 255")
    if steps < 1:
        raise ValueError(f"steps={steps}: give 1 or more")
