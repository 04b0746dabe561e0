"""Trees of class folders: splits, classes, and what does not belong there."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from experiments.datasets import _tree


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("splits", [("train", "val"), ("training", "test"), ("train", "valid")])
def test_folder_with_its_own_split(tmp_path, splits, packed, load, decoded, pack, tree):
    root = tree(tmp_path / "pets", splits)
    dataset = load("folder", pack(root, "zip") if packed else root)
    assert dataset.class_names == dataset.class_ids == ("a", "b")
    for name, split in zip(splits, (dataset.train, dataset.validation), strict=True):
        assert split.labels.tolist() == [0, 0, 1, 1]
        paths = [root / name / letter / f"{i}.png" for letter in "ab" for i in range(2)]
        assert np.array_equal(split.images, np.stack([decoded(path) for path in paths]))


@pytest.mark.parametrize("splits", [("",), ("train",)])
def test_folder_is_divided(tmp_path, splits, load, tree):
    root = tree(tmp_path / "pets", splits, count=10)
    dataset = load("folder", root)
    assert np.bincount(dataset.train.labels).tolist() == [8, 8]
    assert np.bincount(dataset.validation.labels).tolist() == [2, 2]
    seen = {
        image.tobytes() for split in (dataset.train, dataset.validation) for image in split.images
    }
    assert len(seen) == 20
    again = load("folder", root, cache_dir=tmp_path / "other")
    assert np.array_equal(dataset.validation.images, again.validation.images)


def test_folder_below_a_parent(tmp_path, load, tree):
    tree(tmp_path / "pets")
    assert load("folder", tmp_path).class_names == ("a", "b")
    tree(tmp_path / "cars")
    with pytest.raises(ValueError, match="several data sets; give one of them: .*cars, .*pets"):
        load("folder", tmp_path)


def test_folder_says_what_it_left_out(tmp_path, load, write, tree):
    root = tree(tmp_path / "pets", ("train", "val", "test"))
    write(root / "README.txt", "")
    assert load("folder", root).origin.notes == ("not read: README.txt", "not read: test")


def test_folder_images_of_differing_size(tmp_path, load, picture, write, tree):
    root = tree(tmp_path / "pets")
    write(root / "val" / "b" / "1.png", picture(0, size=(20, 10)))
    with pytest.raises(ValueError, match=r"1.png is 20x10 pixels, but .*0.png is 8x8: give size"):
        load("folder", root)
    dataset = load("folder", root, size=12, resample="bicubic")
    with Image.open(root / "val" / "b" / "1.png") as image:
        expected = np.asarray(image.resize((12, 12), Image.Resampling.BICUBIC))
    assert np.array_equal(dataset.validation.images[3], expected)


FOLDERS = {
    "empty class": (lambda r: (r / "train/c").mkdir(), "class folder train/c is empty"),
    "class only in train": (
        lambda r: shutil.copytree(r / "train/a", r / "train/c"),
        "class 'c' is in train/, but not in val/",
    ),
    "class only in val": (
        lambda r: shutil.copytree(r / "val/a", r / "val/c"),
        "class 'c' is in val/, but not in train/",
    ),
    "image without class": (
        lambda r: shutil.copy(r / "train/a/0.png", r / "train/0.png"),
        "train/0.png lies in no class folder",
    ),
    "too deep": (
        lambda r: shutil.copytree(r / "val/a", r / "train/a/more"),
        "more/0.png lies deeper than its class folder 'a'",
    ),
    "no image": (lambda r: (r / "train/a/0.txt").touch(), "train/a/0.txt is no image"),
    "16 bits": (
        lambda r: Image.fromarray(np.zeros((8, 8), np.uint16)).save(r / "train/a/0.png"),
        "train/a/0.png: mode I;16: save it with 8 bits per channel",
    ),
    "no validation": (
        lambda r: [shutil.rmtree(r / "val" / name) for name in "ab"],
        r"val/ holds no class folders with images: add them, or remove it",
    ),
    "no training": (
        lambda r: [shutil.rmtree(r / "train" / name) for name in "ab"],
        "pets: train/ holds no class folders with images",
    ),
    "one class": (
        lambda r: [shutil.rmtree(r / split / "b") for split in ("train", "val")],
        r"pets has 1 class \(a\): a classifier tells two or more apart; give data_dir",
    ),
    "named pipe": (lambda r: os.mkfifo(r / "train/a/2.jpg"), "train/a/2.jpg is a pipe"),
    "link to itself": (
        lambda r: (r / "train/a/2.jpg").symlink_to("2.jpg"),
        "train/a/2.jpg cannot be read .*symbolic links",
    ),
    "link to a folder around": (
        lambda r: (r / "train/a/again").symlink_to(r),
        "train/a/again is a link to a folder that it lies in: remove the link",
    ),
    "links to each other": (
        lambda r: [(r / f"val/{a}/{b}").symlink_to(r / "val" / b) for a, b in ("ab", "ba")],
        "is a link to a folder that it lies in",
    ),
}


@pytest.mark.parametrize("how", FOLDERS)
def test_folder_broken(tmp_path, how, load, tree):
    root = tree(tmp_path / "pets")
    damage, message = FOLDERS[how]
    damage(root)
    with pytest.raises(ValueError, match=message):
        load("folder", root)


def test_folder_class_too_small_to_divide(tmp_path, load, tree):
    root = tree(tmp_path / "pets", ("",), count=2)
    with pytest.raises(ValueError, match="class 'a' has 2 images, too few to set 20% aside"):
        load("folder", root)


def test_linked_folders_are_followed(tmp_path, load, tree):
    """A link is no fault; only one without an end is."""
    root = tree(tmp_path / "pets")
    (root / "train/c").symlink_to(root / "train/a")
    (root / "val/c").symlink_to(root / "val/a")
    assert load("folder", root).class_names == ("a", "b", "c")


def test_unreadable_images_are_named(tmp_path, monkeypatch, load, tree):
    """Rights do not bind root: the system's refusal is played."""
    root = tree(tmp_path / "pets")

    def refuse(path, *mode):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(_tree, "open", refuse, raising=False)
    with pytest.raises(ValueError, match="train/a/0.png cannot be read .Permission denied"):
        load("folder", root)
