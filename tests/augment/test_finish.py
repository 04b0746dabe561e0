"""Batches are standardized on the device, and belong to who gets them."""

import numpy as np
import pytest

import augment

PIXELS = {"rotation_range": 20, "channel_shift_range": 60, "horizontal_flip": True}
STEPS = {
    "rescale": {"rescale": 1 / 255},
    "center": {"samplewise_center": True},
    "samplewise": {"samplewise_center": True, "samplewise_std_normalization": True},
    "featurewise": {"featurewise_center": True, "featurewise_std_normalization": True},
    "all": {
        "rescale": 1 / 255,
        "samplewise_center": True,
        "samplewise_std_normalization": True,
        "featurewise_center": True,
        "featurewise_std_normalization": True,
    },
    "whitening": {"rescale": 1 / 255, "featurewise_center": True, "zca_whitening": True},
    "function": {"preprocessing_function": lambda image: image[::-1] + 1, "rescale": 0.5},
    "nothing": {},
}
KINDS = {"all": PIXELS, "flips": {"horizontal_flip": True}, "none": {}}


@pytest.mark.backend
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pixels", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_a_batch_is_what_standardize_makes_of_augmented_images(images, steps, pixels, dtype):
    small = images[:, ::8, ::8]  # whitening on 8 x 8
    generator = augment.ImageDataGenerator(**steps, **pixels, dtype=dtype, seed=3)
    generator.fit(small)
    indices = np.arange(12)
    parted = generator.standardize(generator.augment(small, indices, 2, 3))
    batch = generator.flow(small, batch_size=12, shuffle=False, epoch=2)[0]
    assert batch.dtype == parted.dtype == dtype
    # The device sums in another order, and rounds once where the host rounds a product and a sum.
    np.testing.assert_allclose(batch, parted, atol=1e-5 * max(1, np.abs(parted).max()), rtol=1e-5)


def test_batches_of_half_precision(images):
    generator = augment.ImageDataGenerator(**PIXELS, rescale=1 / 255, dtype="float16", seed=3)
    parted = generator.standardize(generator.augment(images, np.arange(12), 0, 3))
    batch = generator.flow(images, batch_size=12, shuffle=False)[0]
    assert batch.dtype == np.float16
    np.testing.assert_array_equal(batch, parted)


@pytest.mark.parametrize(
    "mean, on_device",
    [
        (np.float64(9), True),
        (np.full(3, 9), True),
        (np.arange(3.0).reshape(1, 1, 3), True),
        (np.arange(64.0).reshape(1, 64, 1), False),  # of each column
        (np.arange(3 * 64.0 * 64).reshape(64, 64, 3), False),  # of each pixel
    ],
    ids=["one", "three", "as of fit", "columns", "pixels"],
)
def test_statistics_that_a_user_sets(images, mean, on_device):
    from augment import _standardize

    generator = augment.ImageDataGenerator(featurewise_center=True, rescale=0.5, seed=0)
    generator.mean = mean
    batch = generator.flow(images, batch_size=12, shuffle=False)[0]
    np.testing.assert_allclose(batch, images * 0.5 - mean, rtol=1e-6, atol=1e-4)
    steps = _standardize.on_device(generator, 12, 3)
    assert steps.keys() == ({"rescale", "featurewise_center"} if on_device else {"rescale"})
    generator.mean = generator.mean + 1  # compiled code must not keep the old one
    again = generator.flow(images, batch_size=12, shuffle=False)[0]
    np.testing.assert_allclose(again, batch - 1, rtol=1e-6, atol=1e-4)


def test_unknown_statistics_are_warned_of_and_left_out(images):
    generator = augment.ImageDataGenerator(featurewise_center=True, rescale=0.5, seed=0)
    with pytest.warns(UserWarning, match=r"mean is not known: call fit\(images\) first"):
        batch = generator.flow(images, batch_size=12, shuffle=False)[0]
    np.testing.assert_array_equal(batch, images * np.float32(0.5))


@pytest.mark.backend
@pytest.mark.parametrize("kind", ["uint8", "float32"])
@pytest.mark.parametrize("pixels", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("rescale", [None, 0.5])
def test_a_batch_belongs_to_who_gets_it(images, kind, pixels, rescale):
    """Writing into a batch changes no other one, nor the data; a batch stays while held."""
    source = images.astype(kind)
    generator = augment.ImageDataGenerator(**pixels, rescale=rescale, seed=1)
    flow = generator.flow(source, np.arange(12), batch_size=5)  # the last one is cut to 2
    first = [flow[index][0] for index in range(3)]
    kept = [batch.copy() for batch in first]
    for batch in first:
        assert batch.flags.writeable
        batch += 1000
    second = [flow[index][0] for index in range(3)]
    for one, other, expected in zip(first, second, kept, strict=True):
        np.testing.assert_array_equal(other, expected)
        np.testing.assert_array_equal(one, expected + 1000)
    np.testing.assert_array_equal(source, images)
    alone = generator.apply_transform(source[0], {"flip_horizontal": False})
    alone[:] = -1
    generator.apply_transform(source[0], {})[:] = -1
    np.testing.assert_array_equal(source, images)
