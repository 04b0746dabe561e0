"""Contracts of policies: their numbers, their files, and what they refuse."""

import dataclasses
import math
import os

import pytest

import augment
from augment import _fields

ODD = augment.Policy(
    width_shift=(1, -2.5),
    height_shift=3,
    brightness=(0.5, 2),
    cval=3,
    cutout=7,
    interpolation_order=0,
)
NEW = augment.Policy(
    scale=(0.5, 2),
    shear_x=8,
    extra_rotation=15,
    perspective=0.2,
    perspective_probability=0.3,
    crop_area=(0.6, 1),
    crop_ratio=(0.8, 1.2),
    jitter_brightness=0.2,
    jitter_contrast=0.2,
    jitter_saturation=0.2,
    jitter_hue=0.5,
    grayscale=0.1,
    erasing=0.5,
    erasing_area=(0.02, 0.25),
    erasing_ratio=(0.5, 2),
    erasing_value=128,
)


@pytest.mark.parametrize("suffix", [".json", ".yaml", ".yml"])
@pytest.mark.parametrize("policy", [*augment.POLICIES.values(), augment.Policy(), ODD, NEW])
def test_a_policy_survives_a_file(tmp_path, policy, suffix):
    path = tmp_path / f"policy{suffix}"
    policy.save(path)
    assert augment.Policy.load(path) == policy == augment.get(str(path))
    assert augment.get(policy.to_dict()) == policy == augment.get(policy)
    assert type(augment.Policy.load(path).height_shift) is type(policy.height_shift)


def test_classes_have_the_numbers_of_the_paper():
    assert augment.A == augment.Policy(
        width_shift=0.2, height_shift=0.2, channel_shift=60, channel_shuffle=1, fill_mode="reflect"
    )
    assert (augment.B.rotation, augment.B.shear, augment.B.brightness) == (30, 0.2, (0.3, 0.7))
    assert (augment.C.rotation, augment.C.shear, augment.C.zoom) == (0, 20, (0.6, 1.4))
    assert (augment.C.channel_shift, augment.C.channel_shuffle) == (90, 0.2)
    assert augment.get("C") is augment.C


WRONG_FIELDS = {
    "rotation": -1,
    "shear": math.nan,
    "zoom": (1.4, 0.6),
    "brightness": 0.5,
    "width_shift": "far",
    "height_shift": -0.1,
    "channel_shift": math.inf,
    "horizontal_flip": True,
    "alternating_flip": 1,
    "vertical_flip": 1.5,
    "channel_shuffle": -0.1,
    "fill_mode": "mirror",
    "cval": "black",
    "cutout": 8.0,
    "cutout_value": math.nan,
    "interpolation_order": 3,
    "scale": (0, 1),
    "shear_x": 90,
    "extra_rotation": -1,
    "perspective": 1.1,
    "perspective_probability": "often",
    "crop_area": (0.5, 1.2),
    "crop_ratio": (0, 1),
    "jitter_brightness": -0.1,
    "jitter_contrast": (0.8, 1.2),
    "jitter_saturation": math.inf,
    "jitter_hue": 0.6,
    "grayscale": True,
    "erasing": 2,
    "erasing_area": (0.33, 0.02),
    "erasing_ratio": 0.3,
    "erasing_value": 256,
}
EXPECTED = {
    "crop_area": r"a pair \(low, high\) with 0.001 <= low <= high <= 1, got \(0.5, 1.2\)",
    "erasing_area": r"a pair \(low, high\) with 0.001 <= low <= high <= 1, got \(0.33, 0.02\)",
    "jitter_hue": "a share of the color circle from 0 to 0.5, got 0.6",
    "shear_x": "from 0 to 89 degrees, got 90",
    "erasing_value": "a grey level from 0 to 255, got 256",
}


@pytest.mark.parametrize("field", WRONG_FIELDS)
def test_a_wrong_value_names_its_field(field):
    with pytest.raises(ValueError, match=rf"{field} must be .*, got "):
        augment.Policy(**{field: WRONG_FIELDS[field]})


@pytest.mark.parametrize("field", EXPECTED)
def test_a_wrong_value_is_told_what_it_must_be(field):
    with pytest.raises(ValueError, match=f"policy field {field} must be {EXPECTED[field]}"):
        augment.Policy(**{field: WRONG_FIELDS[field]})


def test_every_field_has_a_rule_and_a_wrong_value():
    names = {field.name for field in dataclasses.fields(augment.Policy)}
    assert names == _fields.RULES.keys() == WRONG_FIELDS.keys()


@pytest.mark.parametrize("side", [-1, True, None])
def test_a_cutout_is_a_whole_number_of_pixels(side):
    with pytest.raises(ValueError, match=f"cutout must be a whole number .*, got {side}"):
        augment.Policy(cutout=side)


def test_two_ways_to_mirror_exclude_each_other():
    with pytest.raises(ValueError, match="alternating_flip and horizontal_flip=0.5 .* leave one"):
        augment.Policy(alternating_flip=True, horizontal_flip=0.5)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"crop_ratio": (0.8, 1.2)}, r"crop_ratio=\(0.8, 1.2\) .* give its crop_area too"),
        (
            {"perspective": 0.2, "perspective_probability": 0},
            "perspective=0.2 with perspective_probability=0 does nothing",
        ),
    ],
)
def test_fields_that_do_not_go_together(fields, told):
    with pytest.raises(ValueError, match=told):
        augment.Policy(**fields)


@pytest.mark.parametrize(
    "field", ["jitter_contrast", "jitter_saturation", "jitter_hue", "grayscale"]
)
def test_colors_are_those_of_gray_or_rgb(field):
    policy = augment.Policy(**{field: 0.2})
    for channels in (2, 4):
        with pytest.raises(ValueError, match=rf"of {channels} channels: {field} takes gray .* RGB"):
            augment.draw(policy, seed=0, epoch=0, indices=[0], shape=(8, 8, channels))
    augment.draw(
        augment.Policy(jitter_brightness=0.2), seed=0, epoch=0, indices=[0], shape=(8, 8, 4)
    )


def test_a_wrong_policy_names_what_is_known(tmp_path):
    with pytest.raises(ValueError, match="unknown policy 'D': one of A, B, C, CARS"):
        augment.get("D")
    path = tmp_path / "policy.yaml"
    path.write_text("rotation: 30\nrotatoin: 20\n")
    with pytest.raises(ValueError, match=r"policy\.yaml: unknown policy field rotatoin; .* shear"):
        augment.get(path)
    for text in ("- 1\n", "a: [", "rotation: -3\n"):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"policy\.yaml"):
            augment.get(path)
    with pytest.raises(ValueError, match="ends in .json"):
        augment.A.save(tmp_path / "policy.txt")


NUMBERS = {"1e-4": 1e-4, "1E+1": 10.0, "010": 10.0, "0x1F": 31.0, ".5": 0.5, "7.": 7.0, "+3": 3.0}


@pytest.mark.parametrize("text", NUMBERS)
def test_policy_files_read_numbers_as_yaml_1_2(tmp_path, text):
    path = tmp_path / "policy.yaml"
    path.write_text(f"rotation: {text}\n")
    assert augment.get(path).rotation == NUMBERS[text]


@pytest.mark.parametrize("text", ["yes", "on", "1:30", "1_0", "2001-12-14", "e5"])
def test_what_is_text_in_yaml_1_2_is_no_number(tmp_path, text):
    path = tmp_path / "policy.yaml"
    path.write_text(f"rotation: {text}\n")
    with pytest.raises(ValueError, match=f"policy.yaml: .*rotation must be .*, got '{text}'"):
        augment.get(path)


def test_aliases_and_merges_are_read(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text("<<: {shear: 20, rotation: &turn 30}\nchannel_shift: *turn\n")
    assert augment.get(path) == augment.Policy(shear=20, rotation=30, channel_shift=30)


BOMB = "a: &a0 [1]\n" + "".join(f"b{i}: &a{i + 1} [{f'*a{i}, ' * 9}]\n" for i in range(9))
WRONG_FILES = {
    "not UTF-8": (".yaml", b"fill_mode: r\xe9flect\n", "utf-8"),
    "JSON that is not UTF-8": (".json", b'{"fill_mode": "\xff"}', "utf-8"),
    "no JSON": (".json", b"{rotation: 3}", "Expecting property name"),
    "empty": (".yaml", b"", "a mapping of fields, got None"),
    "number as key": (".yaml", b"rotation: 3\n1: 2\n", "line 2: the key .1. is no text"),
    "truth as key": (".yaml", b"true: 2\n", "the key .true. is no text"),
    "list as key": (".yaml", b"? [a]\n: 2\n", "is no text"),
    "aliases": (".yaml", BOMB.encode(), "aliases unfold to more than"),
    "recursion": (".yaml", b"rotation: &a [*a]\n", "aliases unfold"),
    "depth": (".yaml", b"[" * 5000, "recursion"),
    "depth in JSON": (".json", b"[" * 200_000, "recursion"),
    "tag": (".yaml", b"rotation: !!python/object:os.system x\n", "is nothing that is read"),
}


@pytest.mark.parametrize("suffix, content, told", WRONG_FILES.values(), ids=WRONG_FILES)
def test_a_wrong_policy_file_is_named(tmp_path, suffix, content, told):
    path = tmp_path / f"policy{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"policy file .*policy\{suffix}: (?s:.*){told}"):
        augment.get(path)


def test_a_policy_file_that_is_absent_or_no_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="policy file /nope.yaml does not exist"):
        augment.get("/nope.yaml")
    for make in (os.mkdir, os.mkfifo):
        path = tmp_path / f"{make.__name__}.yaml"
        make(path)
        with pytest.raises(ValueError, match=f"{make.__name__}.yaml does not exist, or is no file"):
            augment.Policy.load(path)
