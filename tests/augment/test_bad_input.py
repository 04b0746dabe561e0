"""What is refused or warned of before anything is augmented."""

import numpy as np
import pytest
from PIL import Image

import augment
from augment import _pixels


def test_bad_batches_are_refused(images):
    options = {"seed": 0, "epoch": 0, "indices": range(12)}
    for bad in (images[0], images[:0], images[..., 0]):
        with pytest.raises(ValueError, match=r"\(n, height, width, channels\)"):
            augment.batch(bad, "A", **options)
    with pytest.raises(ValueError, match="3 images but 12 indices"):
        augment.batch(images[:3], "A", **options)
    with pytest.raises(ValueError, match="whole numbers"):
        augment.batch(images, "A", **{**options, "indices": np.zeros(12)})
    with pytest.raises(ValueError, match=r"\(height, width, channels\)"):
        augment.draw("A", shape=(64, 64), **options)


def test_images_in_0_to_1_are_warned_of(images):
    scaled = images.astype("float32") / 255
    with pytest.warns(UserWarning, match=r"lie in \[0.*, 1\], but channel shift"):
        augment.batch(scaled, "C", seed=0, epoch=0, indices=range(12))
    with pytest.warns(UserWarning, match="multiply the images by 255"):
        augment.ImageDataGenerator(channel_shift_range=60).flow(scaled)
    # Geometry alone has no grey levels to go wrong.
    augment.batch(scaled, augment.Policy(rotation=9), seed=0, epoch=0, indices=range(12))
    augment.ImageDataGenerator(rotation_range=9).flow(scaled)


BAD_GENERATORS = {
    "fill_mode": {"fill_mode": "mirror"},
    "channels_last": {"data_format": "channels_first"},
    "validation_split": {"validation_split": 1.5},
    "interpolation_order": {"interpolation_order": 3},
    "zoom": {"zoom_range": (1.5, 0.5)},
}


@pytest.mark.parametrize("match", BAD_GENERATORS)
def test_a_bad_generator_is_refused(match):
    with pytest.raises(ValueError, match=match):
        augment.ImageDataGenerator(**BAD_GENERATORS[match])


def test_bad_flows_are_refused(images):
    generator = augment.ImageDataGenerator(validation_split=0.25)
    sorted_labels = np.repeat([0, 1], 6)
    with pytest.raises(ValueError, match="12 images in x, but 5 in y"):
        generator.flow(images, np.zeros(5))
    with pytest.raises(ValueError, match="but 3 in sample_weight"):
        generator.flow(images, np.zeros(12), sample_weight=np.ones(3))
    with pytest.raises(ValueError, match=r"\(n, height, width, channels\)"):
        generator.flow(images[0])
    with pytest.raises(ValueError, match="subset must be"):
        generator.flow(images, subset="test")
    with pytest.raises(ValueError, match="different classes"):
        generator.flow(images, sorted_labels, subset="training")
    with pytest.raises(ValueError, match="batch_size"):
        generator.flow(images, batch_size=0)
    with pytest.raises(ValueError, match="unknown transform parameter.*angle.*theta"):
        generator.apply_transform(images[0], {"angle": 3})
    with pytest.raises(IndexError, match="batch 3 of 1"):
        generator.flow(images)[3]
    kept = generator.flow(images, sorted_labels, subset="training", ignore_class_split=True)
    assert len(kept.x) == 9


def test_images_that_are_not_finite_are_refused_by_number(images, monkeypatch):
    for wrong in (np.nan, np.inf, -np.inf):
        broken = images.astype("float32")
        broken[7, 0, 0, 0] = wrong
        for policy in ("C", augment.Policy(rotation=9), augment.Policy()):
            with pytest.raises(ValueError, match=r"images\[7\] has NaN or infinite values"):
                augment.batch(broken, policy, seed=0, epoch=0, indices=range(12))
        with pytest.raises(ValueError, match=r"images\[7\]"):
            augment.ImageDataGenerator(rotation_range=9).flow(broken)
        monkeypatch.setattr(_pixels, "CHUNK", 3 * images[:1].nbytes)
        with pytest.raises(ValueError, match=r"images\[7\]"):
            _pixels.extent(broken)


def test_the_validation_subset_needs_a_split(images, tmp_path):
    generator = augment.ImageDataGenerator()
    (tmp_path / "a").mkdir()
    Image.fromarray(images[0]).save(tmp_path / "a" / "0.png")
    with pytest.raises(ValueError, match="give ImageDataGenerator.validation_split="):
        generator.flow(images, np.arange(12), subset="validation")
    with pytest.raises(ValueError, match="give ImageDataGenerator.validation_split="):
        generator.flow_from_directory(tmp_path, subset="validation")
    assert generator.flow(images, np.arange(12), subset="training").n == 12
