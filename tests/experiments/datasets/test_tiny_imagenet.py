"""Tiny ImageNet: labels, boxes and names come from its files, and what does not fit is named."""

import os
import pathlib
import zipfile

import pytest
from PIL import Image

IDS = ["n003", "n001", "n002"]


def test_tiny_imagenet_folder(tiny, load, check_tiny):
    check_tiny(load("tiny_imagenet", tiny), tiny)
    check_tiny(load("tiny_imagenet", str(tiny.parent)), tiny)


@pytest.mark.parametrize(
    "suffix, parts", [("zip", 1), ("tar", 1), ("tar.gz", 1), ("tar.xz", 1), ("tar.xz", 3)]
)
def test_tiny_imagenet_archives(tiny, suffix, parts, load, pack, check_tiny):
    place = pack(tiny, suffix, parts)
    check_tiny(load("tiny_imagenet", place), tiny)
    check_tiny(load("tiny_imagenet", sorted(place.iterdir())[-1]), tiny)


def test_home_is_expanded(tiny, monkeypatch, load, check_tiny):
    monkeypatch.setenv("HOME", str(tiny.parent))
    check_tiny(load("tiny_imagenet", "~/tiny-imagenet-200"), tiny)


def test_boxes_follow_the_size(tiny, load):
    """A box over the last pixel still ends at the last pixel of the enlarged image."""
    dataset = load("tiny_imagenet", tiny, size=16)
    # First image: x 0 to 5 and y 3 to 7, both inside, of 8 pixels.
    assert dataset.train.boxes[0].tolist() == [0, 6, 11, 15]


def test_boxes_are_optional_for_all_or_none(tiny, load):
    for wnid in IDS[1:]:
        (tiny / "train" / wnid / f"{wnid}_boxes.txt").unlink()
    with pytest.raises(ValueError, match="has no train/n001/n001_boxes.txt"):
        load("tiny_imagenet", tiny)
    (tiny / "train" / IDS[0] / f"{IDS[0]}_boxes.txt").unlink()
    dataset = load("tiny_imagenet", tiny)
    assert dataset.train.boxes is None
    assert dataset.validation.boxes.shape == (6, 4)


def edit(path: pathlib.Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


ANNOTATIONS = "val/val_annotations.txt"
BROKEN = {
    "missing words": (lambda r: (r / "words.txt").unlink(), r"has no words\.txt"),
    "missing annotation": (lambda r: (r / ANNOTATIONS).unlink(), "has no val/val_annotations.txt"),
    "no classes": (lambda r: (r / "wnids.txt").write_text("\n"), "wnids.txt"),
    "class twice": (
        lambda r: (r / "wnids.txt").write_text("n001\nn002\nn001\n"),
        r"wnids.txt, line 3: n001 a second time",
    ),
    "class without name": (
        lambda r: edit(r / "words.txt", "n002\tcrane, a machine\n", ""),
        "words.txt has no name for n002",
    ),
    "folder without class": (
        lambda r: edit(r / "wnids.txt", "n002\n", ""),
        "train/n002/.* is not part of the layout: its class is not in wnids.txt",
    ),
    "empty class": (
        lambda r: [file.unlink() for file in (r / "train/n002/images").iterdir()],
        "class n002 has no images: train/n002/images is empty",
    ),
    "training image missing": (
        lambda r: (r / "train/n002/images/n002_10.JPEG").unlink(),
        "train/n002/images/n002_10.JPEG is missing",
    ),
    "training image without box": (
        lambda r: edit(r / "train/n002/n002_boxes.txt", "n002_0.JPEG\t0\t2\t5\t7\n", ""),
        "train/n002/n002_boxes.txt has no line for train/n002/images/n002_0.JPEG",
    ),
    "validation image missing": (
        lambda r: (r / "val/images/val_3.JPEG").unlink(),
        "val/images/val_3.JPEG is missing",
    ),
    "validation image without label": (
        lambda r: edit(r / ANNOTATIONS, "val_3.JPEG\tn001\t3\t0\t6\t7\n", ""),
        "val_annotations.txt has no line for val/images/val_3.JPEG",
    ),
    "label without class": (
        lambda r: edit(r / ANNOTATIONS, "n001\t3", "n009\t3"),
        "labels val_3.JPEG as n009, which is no class of wnids.txt",
    ),
    "class without validation": (
        lambda r: [edit(r / ANNOTATIONS, "n001", "n002") for _ in range(2)],
        "no validation images of class n001",
    ),
    "too few columns": (
        lambda r: edit(r / ANNOTATIONS, "n001\t3\t0", "n001"),
        r"val_annotations.txt, line 4: .* has 4 columns, not 6",
    ),
    "box without numbers": (
        lambda r: edit(r / ANNOTATIONS, "n001\t3\t0", "n001\tthree\t0"),
        r"val_annotations.txt: the box \['three'",
    ),
    "not text": (
        lambda r: (r / "words.txt").write_bytes(b"n001\t\xff\xfe"),
        "words.txt is not a text file",
    ),
    "corrupt image": (
        lambda r: (r / "train/n002/images/n002_10.JPEG").write_bytes(b"no JPEG at all"),
        r"1 of 12 images cannot be used:\n  .*n002_10.JPEG: not an image that Pillow can read",
    ),
    "truncated image": (
        lambda r: os.truncate(r / "val/images/val_3.JPEG", 300),
        r"1 of 6 images cannot be used:\n  .*val_3.JPEG: .*[Tt]runcated",
    ),
    "empty image": (
        lambda r: (r / "val/images/val_3.JPEG").write_bytes(b""),
        "val_3.JPEG: the file is empty",
    ),
    "image of another size": (
        lambda r: Image.new("RGB", (9, 8)).save(r / "val/images/val_3.JPEG"),
        r"val_3.JPEG is 9x8 pixels, but .*n003_0.JPEG is 8x8: give size \(--size\) to resize all",
    ),
    "link to nowhere": (
        lambda r: (r / "val/images/val_9.JPEG").symlink_to(r / "gone.JPEG"),
        "val_9.JPEG is a link to a file that is gone",
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_tiny_imagenet_broken(tiny, how, cache, load):
    damage, message = BROKEN[how]
    damage(tiny)
    with pytest.raises(ValueError, match=message):
        load("tiny_imagenet", tiny)
    # Nothing half-made is left.
    assert not cache.exists() or not list(cache.iterdir())


def test_every_unusable_image_is_counted(tiny, load):
    for file in (tiny / "train/n002/images").iterdir():
        file.write_bytes(b"")
    for file in sorted((tiny / "train/n001/images").iterdir())[:3]:
        file.write_bytes(b"")
    with pytest.raises(ValueError, match="(?s)7 of 12 images cannot be used.*and 2 more"):
        load("tiny_imagenet", tiny)


def test_the_first_image_is_no_exception(tiny, load):
    """The shape that all must have is that of the first image that can be decoded."""
    for number in (0, 30):
        (tiny / f"train/n003/images/n003_{number}.JPEG").write_bytes(b"")
    with pytest.raises(ValueError, match="(?s)2 of 12 images cannot be used.*003_0.*003_30"):
        load("tiny_imagenet", tiny)
    for file in tiny.rglob("*.JPEG"):
        file.write_bytes(b"")
    with pytest.raises(ValueError, match="none of 12 images can be used:\n.*003_0.JPEG: the file"):
        load("tiny_imagenet", tiny)


def test_litter_is_left_out(tiny, load, write, pack, check_tiny):
    for name in (".DS_Store", "train/n001/images/Thumbs.db", "val/images/._val_0.JPEG"):
        write(tiny / name, "left by a file manager")
    check_tiny(load("tiny_imagenet", tiny), tiny)
    place = pack(tiny, "zip")
    with zipfile.ZipFile(place / "tiny-imagenet-200.zip", "a") as archive:
        archive.writestr("__MACOSX/tiny-imagenet-200/._wnids.txt", "")
    check_tiny(load("tiny_imagenet", place), tiny)


def test_several_candidates(tiny, load, write, pack):
    ten = tiny.with_name("tiny-imagenet-10")
    tiny.rename(ten)
    place = pack(ten, "zip")
    write(place / "cifar10.zip", "not looked at: its name is another")
    assert len(load("tiny_imagenet", place).train) == 12
    (place / "tiny-imagenet-10.zip").rename(ten.parent / "tiny-imagenet-20.zip")
    with pytest.raises(ValueError, match="several data sets; .*imagenet-10, .*imagenet-20.zip"):
        load("tiny_imagenet", ten.parent)
    # A folder hides its archive, and the whole data set hides its subsets.
    write(ten.parent / "tiny-imagenet-10.zip", "not opened")
    (ten.parent / "tiny-imagenet-20.zip").rename(ten.parent / "tiny-imagenet-200.zip")
    assert "imagenet-200.zip" in load("tiny_imagenet", ten.parent).origin.read
