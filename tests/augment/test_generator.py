"""Contracts of ImageDataGenerator on arrays; Keras' deprecated one is the oracle."""

import numpy as np
import pytest

import augment


def host(tensor) -> np.ndarray:
    import keras

    return keras.ops.convert_to_numpy(tensor)


def keras_generator(**arguments):
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    return ImageDataGenerator(**arguments)


STANDARDIZED = {
    "rescale": {"rescale": 1 / 255},
    "samplewise": {"samplewise_center": True, "samplewise_std_normalization": True},
    "featurewise": {"featurewise_center": True, "featurewise_std_normalization": True},
    "ZCA": {"featurewise_center": True, "zca_whitening": True, "rescale": 1 / 255},
    "function": {"preprocessing_function": lambda image: image[::-1] + 1, "rescale": 0.5},
}


@pytest.mark.parametrize("arguments", STANDARDIZED.values(), ids=STANDARDIZED)
def test_standardization_equals_the_deprecated_generator(images, arguments):
    small = images[:, ::8, ::8]  # ZCA on 8 x 8
    ours, theirs = augment.ImageDataGenerator(**arguments), keras_generator(**arguments)
    ours.fit(small)
    theirs.fit(small)
    batch = next(ours.flow(small, batch_size=12, shuffle=False))
    expected = next(theirs.flow(small, batch_size=12, shuffle=False))
    # float32 sums in another order; the twelve directions of ZCA amplify by up to 1e3.
    scale = np.abs(expected).max()
    np.testing.assert_allclose(batch, expected, atol=scale * 1e-3)
    assert batch.dtype == np.float32 and small.dtype == np.uint8


def test_statistics_of_augmented_images(images):
    generator = augment.ImageDataGenerator(
        featurewise_center=True, rotation_range=45, rescale=1 / 255, seed=0
    )
    generator.fit(images, augment=True, rounds=2)
    turned = [
        host(augment.batch(images, augment.Policy(rotation=45), seed=0, epoch=e, indices=range(12)))
        for e in range(2)
    ]
    np.testing.assert_allclose(
        generator.mean[0, 0], np.mean(turned, axis=(0, 1, 2, 3)) / 255, rtol=1e-4
    )


def test_a_generator_says_what_it_changes_and_what_it_lacks(images):
    with pytest.warns(UserWarning, match="zca_whitening sets featurewise_center to True"):
        generator = augment.ImageDataGenerator(zca_whitening=True)
    assert generator.featurewise_center
    centered = augment.ImageDataGenerator(featurewise_center=True)
    with pytest.warns(UserWarning, match=r"mean is not known: call fit\(images\) first"):
        centered.standardize(images[0])


def test_random_transforms_follow_the_seed(images):
    arguments = {"rotation_range": 30, "channel_shuffle": 1.0, "width_shift_range": 0.1}
    generator = augment.ImageDataGenerator(**arguments, seed=4)
    first, second = (generator.get_random_transform((64, 64, 3)) for _ in range(2))
    assert first != second
    assert (
        augment.ImageDataGenerator(**arguments, seed=4).get_random_transform((64, 64, 3)) == first
    )
    again = [generator.random_transform(images[0], seed=8) for _ in range(2)]
    np.testing.assert_array_equal(*again)
    assert first["shear"] == 0 and first["zx"] == 1 and first["brightness"] is None
    assert sorted(first["channel_order"]) == [0, 1, 2]


def test_flows_split_weigh_and_save(images, tmp_path):
    generator = augment.ImageDataGenerator(horizontal_flip=True, validation_split=0.25, seed=0)
    labels, weights = np.arange(12) % 3, np.linspace(0, 1, 12)
    parts = {
        subset: generator.flow(images, labels, 4, sample_weight=weights, subset=subset)
        for subset in ("training", "validation")
    }
    assert parts["validation"].n == 3 and parts["training"].n == 9
    np.testing.assert_array_equal(parts["validation"].x, images[:3])
    batch, y, weight = parts["training"][0]
    assert batch.shape == (4, 64, 64, 3) and len(y) == len(weight) == 4
    flow = generator.flow(images, batch_size=6, save_to_dir=tmp_path, save_prefix="a")
    assert isinstance(flow[0], np.ndarray)  # no labels: images alone
    assert len(list(tmp_path.glob("a_*_0.png"))) == 6


def test_more_fields_are_those_of_a_policy(images):
    """As `augment.batch` has them, also of images that are not square, where Keras' turn."""
    wide, more = images[:, 10:58], {"jitter_hue": 0.1, "crop_area": (0.3, 0.6), "erasing": 0.7}
    generator = augment.ImageDataGenerator(more=more, seed=4)
    ours = next(generator.flow(wide, batch_size=12, shuffle=False))
    expected = augment.batch(wide, more, seed=4, epoch=0, indices=range(12))
    np.testing.assert_array_equal(ours, np.asarray(expected))
    both = augment.ImageDataGenerator(width_shift_range=0.2, more=more, seed=4)
    parameters = both.get_random_transform(wide.shape[1:], seed=4)
    alone = generator.get_random_transform(wide.shape[1:], seed=4)
    assert {k: parameters[k] for k in parameters.keys() - {"ty"}} == {
        k: alone[k] for k in alone.keys() - {"ty"}
    } | {"tx": parameters["tx"]}
    assert both.apply_transform(wide[0], parameters).shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"rotation": 3, "erasing": 0.5}, "more has rotation, for which .* arguments of its own"),
        ({"jitter_hue": 0.7}, "jitter_hue must be"),
        ({"erazing": 0.5}, "unknown policy field erazing"),
    ],
)
def test_more_fields_are_refused_by_name(more, told):
    with pytest.raises(ValueError, match=told):
        augment.ImageDataGenerator(more=more)
