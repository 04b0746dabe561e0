"""Common corruptions of small images at their own size: noise, blur, color, pixels, JPEG.

Source: Hendrycks and Dietterich, arXiv 1903.12261, with the strengths that its authors' code uses
for CIFAR-10-C and Tiny-ImageNet-C. Differences: results are rounded where that code cuts off
decimals; no result is saved as JPEG, as Tiny-ImageNet-C's are; random numbers are ours.
"""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image
from scipy import ndimage

from augment._draw import image_numbers

# Strengths at severities 1 to 5, by the short side in pixels they are made for: CIFAR-10-C and
# Tiny-ImageNet-C. Units are in the functions below.
STRENGTHS = {
    32: {
        "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.10),
        "shot_noise": (500, 250, 100, 75, 50),
        "impulse_noise": (0.01, 0.02, 0.03, 0.05, 0.07),
        "gaussian_blur": (0.4, 0.6, 0.7, 0.8, 1.0),
        # The third and the fourth are one corruption: both radii are past the blur's end.
        "motion_blur": ((6, 1.0), (6, 1.5), (6, 2.0), (8, 2.0), (9, 2.5)),
        "brightness": (0.05, 0.10, 0.15, 0.20, 0.30),
        "contrast": (0.75, 0.50, 0.40, 0.30, 0.15),
        "pixelate": (0.95, 0.90, 0.85, 0.75, 0.65),
        "jpeg": (80, 65, 58, 50, 40),
    },
    64: {
        "gaussian_noise": (0.04, 0.08, 0.12, 0.15, 0.18),
        "shot_noise": (250, 100, 50, 30, 15),
        "impulse_noise": (0.01, 0.02, 0.05, 0.08, 0.14),
        "gaussian_blur": (0.5, 0.75, 1.0, 1.25, 1.5),
        "motion_blur": ((10, 1.0), (10, 1.5), (10, 2.0), (10, 2.5), (12, 3.0)),
        "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
        "contrast": (0.40, 0.30, 0.20, 0.10, 0.05),
        "pixelate": (0.9, 0.8, 0.7, 0.6, 0.5),
        "jpeg": (65, 58, 50, 40, 25),
    },
}


def corrupt(
    images: np.ndarray,
    kind: str,
    severity: int,
    *,
    seed: int = 0,
    indices: np.ndarray | None = None,
) -> np.ndarray:
    """Corrupt images in one way.

    Args:
        images: (n, h, w, c) uint8, one or three channels. Strengths are those for 32 or 64 pixels,
            whichever is nearer to the short side.
        kind: a name in `augment.CORRUPTIONS`.
        severity: 1 (weak) to 5 (strong).
        seed: selects the random numbers. They are the same for all kinds and severities.
        indices: numbers (n,) of the images in their data set, which with the seed alone determine
            the random numbers, so that batches do not matter; None for 0 to n - 1.

    Returns:
        uint8 like images.

    Raises:
        ValueError: an unknown kind or severity, or images or indices of another type or shape.

    """
    if kind not in CORRUPTIONS:
        raise ValueError(f"kind={kind!r} is no corruption: choose of {', '.join(CORRUPTIONS)}")
    if severity not in range(1, 6):
        raise ValueError(f"severity={severity!r}: give a whole number from 1 to 5")
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"images are {images.dtype} {images.shape}: raw pixels, uint8 (n, height, width, 1 or "
            "3), are expected"
        )
    indices = image_numbers(indices, len(images))
    side = min(images.shape[1:3])
    strength = STRENGTHS[min(STRENGTHS, key=lambda made_for: abs(made_for - side))][kind]
    out = np.empty_like(images)
    for row, index in enumerate(indices):
        rng = np.random.default_rng((seed % (1 << 64), int(index)))
        pixels = CORRUPTIONS[kind](np.asarray(images[row]), strength[int(severity) - 1], rng)
        out[row] = np.clip(np.rint(pixels), 0, 255)
    return out


def _gaussian_noise(image, deviation, rng):
    """Add noise of a deviation in parts of 255."""
    return image + 255 * deviation * rng.standard_normal(image.shape)


def _shot_noise(image, photons, rng):
    """Count photons, of which white has `photons` on average."""
    return rng.poisson(image / 255 * photons) * (255 / photons)


def _impulse_noise(image, share, rng):
    """Set a share of the values to 0 or 255, channel by channel."""
    hit, white = rng.random((2, *image.shape))
    return np.where(hit < share, np.where(white < 0.5, 0, 255), image)


def _gaussian_blur(image, deviation, rng):
    """Blur by a deviation in pixels; the border is repeated."""
    sigma = (deviation, deviation, 0)
    return ndimage.gaussian_filter(image.astype(float), sigma, mode="nearest", truncate=4)


def _motion_blur(image, kernel, rng):
    """Average 2 * radius + 1 pixels on a line up to 45 degrees from the rows, ahead of each.

    Weights are half a Gaussian of deviation `sigma` pixels; places are rounded to whole pixels and
    the border is repeated.
    """
    radius, sigma = kernel
    reach = np.arange(2 * radius + 1)
    weights = np.exp(-((reach / sigma) ** 2) / 2)
    angle = math.radians(rng.uniform(-45, 45))
    height, width, _ = image.shape
    blurred = np.zeros(image.shape)
    for ahead, weight in zip(reach, weights / weights.sum(), strict=True):
        rows = np.arange(height) + round(ahead * math.sin(angle))
        columns = np.arange(width) + round(ahead * math.cos(angle))
        rows, columns = rows.clip(0, height - 1), columns.clip(0, width - 1)
        blurred += weight * image[rows[:, None], columns]
    return blurred


def _brightness(image, lift, rng):
    """Raise the value of HSV by `lift` in parts of 255; hue and saturation stay."""
    value = image.max(axis=-1, keepdims=True).astype(float)
    lifted = np.minimum(value + 255 * lift, 255)
    return np.where(value > 0, image * (lifted / np.maximum(value, 1)), lifted)


def _contrast(image, factor, rng):
    """Bring each channel closer to its mean: `factor` of the distance stays."""
    mean = image.mean(axis=(0, 1))
    return mean + factor * (image - mean)


def _pixelate(image, share, rng):
    """Shrink both sides to a share and enlarge them again, by boxes."""
    height, width, _ = image.shape
    small = (max(int(width * share), 1), max(int(height * share), 1))
    picture = _picture(image).resize(small, Image.Resampling.BOX)
    return _array(picture.resize((width, height), Image.Resampling.BOX), image)


def _jpeg(image, quality, rng):
    """Compress with Pillow's default chroma subsampling."""
    stream = io.BytesIO()
    _picture(image).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as picture:
        return _array(picture, image)


def _picture(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def _array(picture: Image.Image, like: np.ndarray) -> np.ndarray:
    return np.asarray(picture).reshape(like.shape)


CORRUPTIONS = {
    "gaussian_noise": _gaussian_noise,
    "shot_noise": _shot_noise,
    "impulse_noise": _impulse_noise,
    "gaussian_blur": _gaussian_blur,
    "motion_blur": _motion_blur,
    "brightness": _brightness,
    "contrast": _contrast,
    "pixelate": _pixelate,
    "jpeg": _jpeg,
}
