"""Fixtures of the tests of augmentation."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def images(request) -> np.ndarray:
    """12 images 64x64x3 uint8: real ones, or smooth noise where they are absent."""
    try:
        folder = request.getfixturevalue("tiny_imagenet_10")
    except pytest.skip.Exception:
        coarse = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), np.uint8)
        return coarse.repeat(4, axis=1).repeat(4, axis=2)
    from PIL import Image

    files = sorted(folder.glob("train/*/images/*.JPEG"))[::416][:12]
    return np.stack([np.asarray(Image.open(path).convert("RGB")) for path in files])
