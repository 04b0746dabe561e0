"""Sets of adversarial images, read: what fits, what is damaged, what may be trained on."""

import dataclasses
import shutil

import numpy as np
import pytest
import yaml

from experiments.datasets import Split
from experiments.recipes import Attack, Images, Share
from experiments.training import adversarial, attack


@pytest.fixture(scope="module")
def folder(clean, digits, tmp_path_factory):
    """A folder of adversarial training images."""
    found = tmp_path_factory.mktemp("set") / "attack"
    attack.make(clean, found, Attack(images=60, epsilon=24), digits)
    return found


def test_only_what_fits_is_read(folder, digits, tmp_path):
    some = adversarial.read(folder, digits, [3, 5])
    assert set(some.labels) == {3, 5} and len(some) == 12
    assert some.batch([0]).shape == (1, 32, 32, 3)
    with pytest.raises(ValueError, match=r"no images of the classes \[11\]"):
        adversarial.read(folder, digits, [11])
    with pytest.raises(ValueError, match="experiments attack RUN"):
        adversarial.read(tmp_path, digits)


def test_other_images_and_classes_than_those_attacked_are_refused(folder, digits):
    names = digits.class_names
    turned = {"class_names": names[1:] + names[:1], "class_ids": names[1:] + names[:1]}
    larger = Split(np.zeros((10, 40, 40, 3), np.uint8), np.arange(10))
    relabeled = Split(digits.train.images, digits.train.labels[::-1].copy())
    for changes, told in (
        ({"train": larger}, r"\[32, 32, 3\] and \[40, 40, 3\].*data.size"),
        ({"class_names": names[:9]}, "10 classes and 9"),
        (turned, "class 0 is '0' and '1'"),
        ({"train": relabeled, "digest": None}, "train images or labels are others"),
        # A set of an earlier version, or data whose digest is not known, by the labels alone.
        ({"train": relabeled, "digest": {}}, "other labels"),
    ):
        with pytest.raises(ValueError, match=f"other images or classes.*{told}"):
            adversarial.read(folder, dataclasses.replace(digits, **changes))


@pytest.mark.parametrize("file", [adversarial.IMAGES, adversarial.ROWS, adversarial.SETTINGS])
def test_a_damaged_set_is_refused_by_name(file, folder, digits, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    whole = (copy / file).read_bytes()
    (copy / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=f"{file} cannot be"):
        adversarial.read(copy, digits)


@pytest.mark.parametrize(
    "text", ["", "- 1", "attack: {}", "data: [", "{data: 3, attack: 4}", "\x00"]
)
def test_settings_that_say_something_else_are_refused_by_name(text, tmp_path):
    (tmp_path / adversarial.SETTINGS).write_text(text)
    with pytest.raises(ValueError, match=r"attack\.yaml cannot be used.*make it again"):
        adversarial.settings(tmp_path)


def test_nothing_is_trained_on_images_that_a_run_is_not_to_see(folder, clean, digits, tmp_path):
    images, share = Images(name="digits"), Share(holdout=0.2)
    adversarial.check_trainable(folder, images, share)
    for other in (
        (images, Share(holdout=0.3)),
        (images, Share(holdout=0.2, folds=2, fold=0)),
        (Images(name="digits", size=16), share),
    ):
        with pytest.raises(ValueError, match="images that it leaves out"):
            adversarial.check_trainable(folder, *other)
    attack.make(clean, tmp_path / "set", Attack(images=20, split="validation"), digits)
    with pytest.raises(ValueError, match="made of validation images"):
        adversarial.check_trainable(tmp_path / "set", images, share)


def test_a_set_of_an_earlier_version_is_read_and_left_as_it_is(folder, clean, digits, tmp_path):
    """Its `data` held what is `share` now, and no digest was kept."""
    copy = shutil.copytree(folder, tmp_path / "old")
    content = yaml.safe_load((copy / adversarial.SETTINGS).read_text())
    content["data"] |= content.pop("share")
    del content["digest"], content["class_ids"]
    (copy / adversarial.SETTINGS).write_text(yaml.safe_dump(content))
    new = adversarial.read(folder, digits)
    assert np.array_equal(adversarial.read(copy, digits).images, new.images)
    adversarial.check_trainable(copy, Images(name="digits"), Share(holdout=0.2))
    again = attack.make(clean, copy, Attack(**content["attack"]), digits)
    assert again["date"] == content["date"]


def test_sets_are_read_without_keras():
    import subprocess
    import sys

    code = "import experiments.training.adversarial, sys; print('keras' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
