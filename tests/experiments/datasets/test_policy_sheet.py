"""The sheet of augmented images: what stands on it, and what is refused."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

import augment
from experiments import datasets
from experiments.datasets import Dataset, Split, _policy_sheet, _sheet

EVERYTHING = augment.Policy(
    rotation=30, width_shift=0.2, height_shift=(-2, 0, 2), shear=20, zoom=(0.6, 1.4),
    scale=(0.9, 1.1), shear_x=8, alternating_flip=True, vertical_flip=0.5, extra_rotation=15,
    perspective=0.3, crop_area=(0.6, 1), crop_ratio=(0.8, 1.2), channel_shift=90,
    brightness=(0.3, 0.7), channel_shuffle=0.7, jitter_brightness=0.2, jitter_contrast=0.2,
    jitter_saturation=0.2, jitter_hue=0.1, grayscale=0.3, erasing=0.5, cutout=5,
)  # fmt: skip


def dataset(shape=(8, 8, 3)) -> Dataset:
    images = np.random.default_rng(0).integers(0, 255, (20, *shape), np.uint8)
    split = Split(images, np.arange(20) % 2)
    return Dataset("noise", split, split, ("a", "b"), ("a", "b"))


def test_every_field_of_a_policy_is_a_transform_or_says_how_it_is_done():
    names = [field.name for field in dataclasses.fields(augment.Policy)]
    assert sorted([*_policy_sheet.TRANSFORMS, *_policy_sheet.HOW]) == sorted(names)


def test_parts_have_one_transform_each_and_draw_what_their_sum_draws():
    parts = _policy_sheet.parts(EVERYTHING)
    # One of the two flips; all others are on.
    assert _policy_sheet.TRANSFORMS.keys() - parts.keys() == {"horizontal_flip"}
    how = {"seed": 0, "epoch": 1, "indices": range(9), "shape": (8, 8, 3)}
    whole, drawn = augment.draw(EVERYTHING, **how), {}
    for field, part in parts.items():
        assert getattr(part, field) == getattr(EVERYTHING, field)
        assert part.fill_mode == EVERYTHING.fill_mode
        drawn |= augment.draw(part, **how)
    assert drawn.keys() | {"jitter_order"} == whole.keys()
    for name, values in drawn.items():
        np.testing.assert_array_equal(values, whole[name])


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"width_shift": 0.2}, "up to 0.2 of the width either way"),
        ({"height_shift": 5.0}, "up to 5 pixels either way"),
        ({"height_shift": 5}, "whole pixels below 5, either way"),
        ({"width_shift": (-2, 0.5)}, "one of -2, 0.5, either way"),
        ({"rotation": 25}, "up to 25° either way"),
        ({"jitter_contrast": 1.5}, "factor 0 to 2.5"),
        ({"crop_area": (0.08, 1)}, "area 0.08 to 1, width by height 0.75 to 1.33"),
        ({"perspective": 0.2}, "distortion 0.2, probability 0.5"),
        (
            {"erasing": 0.5},
            "probability 0.5, area 0.02 to 0.33, height by width 0.3 to 3.3, value 0",
        ),
    ],
)
def test_ranges_are_told_with_their_units(fields, told):
    (field,) = fields
    assert _policy_sheet.TRANSFORMS[field](augment.Policy(**fields)) == told


@pytest.mark.parametrize("shape", [(8, 8, 3), (6, 9, 1)])
def test_a_sheet_has_a_row_for_each_transform_and_one_for_all(shape, tmp_path):
    policy = augment.Policy(erasing=1.0, erasing_value=255, vertical_flip=1.0)
    data = dataset(shape)
    path = datasets.policy_sheet_path(tmp_path / "noise.png", "my/$own.yaml")
    assert path.name == "noise--own.png"
    assert datasets.draw_policy_sheet(data, policy, path, "$own") == path
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    (height, width), _ = _sheet.cell(shape)
    rows = [pixels[_sheet._TOP + k * (height + _sheet.GAP) :][:height] for k in range(4)]
    right = pixels.shape[1] - _sheet.GAP
    last = [row[:, right - width : right] for row in rows]
    # Of the original there is one image on either side; the last column of its row stays white.
    assert (last[0] == 255).all()
    expected = np.asarray(
        Image.fromarray(data.train.images[12][::-1].squeeze())
        .convert("RGB")
        .resize((width, height), Image.Resampling.NEAREST)
    )
    np.testing.assert_array_equal(last[1], expected)  # upside down
    erased = (last[2] == 255).all(axis=-1)
    assert erased.any() and not erased.all()
    np.testing.assert_array_equal(last[3][~erased], expected[~erased])


def test_what_cannot_be_drawn_is_refused(tmp_path):
    with pytest.raises(ValueError, match="augment .* nothing: the policy changes nothing"):
        datasets.draw_policy_sheet(dataset(), augment.Policy(), tmp_path / "a.png", "nothing")
    (tmp_path / "a-C.png").mkdir()
    with pytest.raises(ValueError, match="cannot write to .*a-C.png .*it is a folder"):
        datasets.policy_sheet_path(tmp_path / "a.png", "C")
