"""What images must be before anything is done to them: finite numbers on the scale 0 to 255."""

import math
import warnings

import numpy as np

CHUNK = 1 << 24  # bytes looked at at once: a set may be larger than memory


def extent(images: np.ndarray, scaled: str = "") -> tuple[float, float]:
    """Return the lowest and the highest value of images (n, ...).

    Raises a ValueError that names the first image that has NaN or infinite values. Where `scaled`
    names what is given in grey levels, floats in [0, 1], on which it would saturate, are warned of.
    """
    if images.dtype == np.uint8:
        return 0.0, 255.0
    low, high, rows = math.inf, -math.inf, max(1, CHUNK // max(1, images[:1].nbytes))
    for start in range(0, len(images), rows):
        part = np.asarray(images[start : start + rows])
        lowest, highest = float(part.min()), float(part.max())  # NaN if there is one
        if not math.isfinite(lowest) or not math.isfinite(highest):
            wrong = ~np.isfinite(part).reshape(len(part), -1).all(axis=1)
            raise ValueError(
                f"images[{start + int(wrong.argmax())}] has NaN or infinite values: raw pixels, "
                "0 to 255, are expected; repair the image or leave it out"
            )
        low, high = min(low, lowest), max(high, highest)
    if scaled and images.dtype.kind == "f" and 0 <= low and 0 < high <= 1:
        warnings.warn(
            f"float images lie in [{low:.3g}, {high:.3g}], but {scaled} are in raw pixel values "
            "0..255: multiply the images by 255 first",
            stacklevel=3,
        )
    return low, high
