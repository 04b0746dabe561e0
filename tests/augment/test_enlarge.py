"""Enlarging on the device: Pillow's own pixels, of every filter, on every backend."""

import numpy as np
import pytest
from PIL import Image

import augment
from augment import _enlarge

pytestmark = pytest.mark.backend

# Sides, small and large, and channels.
SIZES = [
    (28, 32, 1),
    (28, 224, 1),
    (64, 72, 3),
    (64, 224, 3),
    (32, 227, 3),
    (64, 299, 3),
    (7, 7, 3),
    (1, 5, 1),
]


def by_pillow(images: np.ndarray, size: tuple[int, int], resample: str) -> np.ndarray:
    height, width = size
    mode = Image.Resampling[resample.upper()]
    found = [
        np.asarray(
            Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).resize(
                (width, height), mode
            )
        )
        for image in images
    ]
    return np.stack(found).reshape(len(images), height, width, images.shape[-1])


def noise(side: int, channels: int) -> np.ndarray:
    """Noise, and noise of black and white alone, whose overshoots are cut off the most."""
    found = np.random.default_rng(side).integers(0, 256, (2, side, side, channels), np.uint8)
    found[1] = np.where(found[1] > 127, 255, 0)
    return found


@pytest.mark.parametrize(("given", "wanted", "channels"), SIZES)
@pytest.mark.parametrize("resample", augment.FILTERS)
def test_pixels_are_those_of_pillow(resample, given, wanted, channels):
    from keras import ops

    images, size = noise(given, channels), (wanted, wanted)
    found = ops.convert_to_numpy(augment.enlarge(images, size, resample))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, by_pillow(images, size, resample))


@pytest.mark.parametrize("resample", ["bicubic", "lanczos"])
def test_photographs_too(photos, resample):
    from keras import ops

    found = ops.convert_to_numpy(augment.enlarge(photos[:8], (224, 224), resample))
    np.testing.assert_array_equal(found, by_pillow(photos[:8], (224, 224), resample))


@pytest.mark.parametrize("size", [(8, 12), (5, 12), (8, 9)])
def test_sides_may_differ_and_one_may_stay(size):
    from keras import ops

    images = noise(9, 3)[:, :5]
    images, size = (images, size) if size != (8, 12) else (images, (8, 12))
    found = ops.convert_to_numpy(augment.enlarge(images, size, "bicubic"))
    np.testing.assert_array_equal(found, by_pillow(images, size, "bicubic"))


def test_a_tensor_is_taken_too():
    from keras import ops

    images = noise(8, 3)
    of_tensor = augment.enlarge(ops.convert_to_tensor(images), (16, 16))
    of_array = augment.enlarge(images, (16, 16))
    assert np.array_equal(*(ops.convert_to_numpy(found) for found in (of_tensor, of_array)))


@pytest.mark.parametrize("resample", augment.FILTERS)
def test_both_parts_of_weights_are_exact_on_a_gpu(resample):
    """TF32 keeps 11 bits of a factor, float32 24 of a sum: of pixels up to 255 here."""
    for given, wanted, _ in SIZES:
        whole = _enlarge.weights(given, wanted, resample)
        parts = _enlarge._parts(whole)
        assert (parts[0] * 2.0**12 + parts[1] == whole).all()
        for part in parts:
            assert np.abs(part).max() <= 2**11
            assert 255 * np.abs(part).sum(axis=1).max() < 2**24
        assert 255 * np.abs(whole).sum(axis=1).max() < 2**31  # of the sum as an integer


WRONG = {
    "smaller": ((8, 7), "lanczos", np.uint8, "8x8 pixels .* cannot be enlarged to .8, 7."),
    "filter": ((9, 9), "cubic", np.uint8, "resample 'cubic': choose of nearest, box"),
    "float": ((9, 9), "lanczos", np.float32, "float32 .2, 8, 8, 3.: uint8"),
}


@pytest.mark.parametrize(("size", "resample", "kind", "said"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_enlarged_says_so(size, resample, kind, said):
    with pytest.raises(ValueError, match=said):
        augment.enlarge(noise(8, 3).astype(kind), size, resample)
