"""Mixes images with their partners in one compiled call."""

import numpy as np
from keras import ops

from augment._apply import as_images, sized
from augment._compile import compiled
from augment._geometry import boxes

_EDGES = ("top", "left", "bottom", "right")


def apply_mix(images, partners, drawn: dict):
    """Mix images with their partners, on the device.

    Args:
        images: (n, height, width, channels), raw pixels 0..255, augmented or not.
        partners: (n, height, width, channels), the images `drawn["partner"]`.
        drawn: what `draw_mix` returns.

    Returns:
        float32 tensor of the backend, shape as `images`.

    Raises:
        ValueError: images and partners differ in shape.

    """
    images, partners = as_images(images), as_images(partners)
    if tuple(images.shape) != tuple(partners.shape):
        raise ValueError(
            f"images are {tuple(images.shape)}, their partners {tuple(partners.shape)}: one each "
            "is needed"
        )
    packed = np.stack([drawn[name] for name in ("blend", *_EDGES)], axis=1).astype("float32")
    return sized(compiled(_mixed), [images, partners, packed])


def _mixed(images, partners, packed):
    blend, *edges = (packed[:, k] for k in range(1 + len(_EDGES)))
    inside = boxes(*edges, images.shape[1:3])
    own = ops.where(inside, 0.0, blend[:, None, None, None])
    # Where one share is 1 and the other 0, the sum is that image's pixel, bit for bit.
    return ops.cast(images, "float32") * own + ops.cast(partners, "float32") * (1.0 - own)
