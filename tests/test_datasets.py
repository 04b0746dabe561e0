"""Data sets: what lies on disk is what `load` returns, and what does not fit is named."""

import gzip
import io
import json
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import tarfile
import time
import types
import zipfile

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from experiments import datasets
from experiments.datasets import _cache, _decode, _sheet, cifar
from experiments.datasets._dataset import Dataset, Origin, Split

IDS = ["n003", "n001", "n002"]
WORDS = {"n001": "crane, a bird", "n002": "crane, a machine", "n003": "goldfish, Carassius"}
TRAIN, VALIDATION = 4, 2


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> pathlib.Path:
    """A cache of its own for every test, never the user's."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SMALLZOO_CACHE", str(folder))
    return folder / "datasets"


def load(name, data_dir=None, **options) -> Dataset:
    return datasets.load(name, data_dir=data_dir, progress=False, **options)


def picture(seed: int, size=(8, 8), mode="RGB") -> Image.Image:
    channels = {"RGB": (3,), "RGBA": (4,), "CMYK": (4,), "L": ()}[mode]
    noise = np.random.default_rng(seed).integers(0, 256, (*size[::-1], *channels), np.uint8)
    return (
        Image.fromarray(noise, mode=None)
        if mode != "CMYK"
        else Image.frombytes("CMYK", size, noise.tobytes())
    )


def decoded(path: pathlib.Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def write(path: pathlib.Path, content: str | Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        path.write_text(content)
    else:
        content.save(path)


@pytest.fixture
def tiny(tmp_path) -> pathlib.Path:
    """A miniature of Tiny ImageNet: every image and box differs; n001_0 is grayscale."""
    root = tmp_path / "tiny-imagenet-200"
    write(root / "wnids.txt", "\n".join(IDS) + "\n")
    words = {"n000": "something else"} | WORDS
    write(root / "words.txt", "".join(f"{wnid}\t{name}\n" for wnid, name in words.items()))
    for wnid in IDS:
        lines = []
        for number in range(TRAIN):
            # Ten times the number: sorted by name, 10 and 20 would change places with 0.
            name = f"{wnid}_{10 * number}.JPEG"
            seed = 100 * int(wnid[1:]) + number
            mode = "L" if name == "n001_0.JPEG" else "RGB"
            write(root / "train" / wnid / "images" / name, picture(seed, mode=mode))
            lines.append(f"{name}\t{number}\t{int(wnid[1:])}\t5\t7\n")
        write(root / "train" / wnid / f"{wnid}_boxes.txt", "".join(lines))
    lines = []
    for number in range(VALIDATION * len(IDS)):
        wnid = sorted(IDS)[number % len(IDS)]
        write(root / "val" / "images" / f"val_{number}.JPEG", picture(number))
        lines.append(f"val_{number}.JPEG\t{wnid}\t{number}\t0\t6\t7\n")
    write(root / "val" / "val_annotations.txt", "".join(lines))
    write(root / "test" / "images" / "test_0.JPEG", picture(0))
    return root


def files_of(root: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def pack(root: pathlib.Path, suffix: str, parts: int = 1) -> pathlib.Path:
    """Archives of `root` in a folder of their own."""
    place = root.parent / f"as {suffix}"
    place.mkdir()
    for part in range(parts):
        files = files_of(root)[part::parts]
        number = f".part{part}" if parts > 1 else ""
        path = place / f"{root.name}{number}.{suffix}"
        if suffix == "zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                for file in files:
                    archive.write(file, file.relative_to(root.parent))
        else:
            with tarfile.open(path, f"w:{suffix.partition('.')[2]}") as archive:
                for file in files:
                    archive.add(file, f"./{file.relative_to(root.parent)}")
    return place


def tree(root: pathlib.Path, splits=("train", "val"), classes="ab", count=2, **options):
    """A tree of class folders; an empty split name leaves the level out."""
    for split in splits:
        for number, name in enumerate(classes):
            for image in range(count):
                seed = 1000 * number + 10 * image + len(split)
                write(root / split / name / f"{image}.png", picture(seed, **options))
    return root


# --- names and arguments ---------------------------------------------------------------------


def test_unknown_name_gets_close_matches():
    with pytest.raises(ValueError, match="no data set 'tinyimagenet'; did you mean tiny_imagenet"):
        load("tinyimagenet")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"size": 0}, "size 0"),
        ({"size": 32.0}, "size 32.0"),
        ({"size": True}, "size True"),
        ({"resample": "cubic"}, "resample 'cubic': choose of nearest"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        load("digits", **options)


@pytest.mark.parametrize("name", ["tiny_imagenet", "folder"])
def test_data_dir_is_asked_for(name):
    with pytest.raises(ValueError, match=f"{name} needs data_dir"):
        load(name)


@pytest.mark.parametrize(
    "name, hint",
    [
        ("tiny_imagenet", "wnids.txt.*CS231n's tiny-imagenet-200.zip"),
        ("cifar10", "cifar-10-binary.tar.gz.*pickles"),
        ("cifar100", "cifar-100-binary.tar.gz.*pickles"),
        ("mnist", "mnist.npz.*keras.datasets"),
        ("folder", "one folder of images per class"),
    ],
)
def test_nothing_there_says_what_was_wanted(name, hint, tmp_path):
    with pytest.raises(ValueError, match=rf"none does not exist\. {name} is .*{hint}"):
        load(name, tmp_path / "none")
    with pytest.raises(ValueError, match=rf"holds no {name}\. .*{hint}"):
        load(name, tmp_path)
    write(tmp_path / "notes.doc", "")
    with pytest.raises(ValueError, match=rf"neither a folder nor an archive\. .*{hint}"):
        load(name, tmp_path / "notes.doc")


def test_import_is_light():
    """Backends, scikit-learn and matplotlib take seconds to import: only where they are used."""
    code = (
        "import sys, experiments.datasets as d; d.names();"
        "print([m for m in ('keras', 'tensorflow', 'sklearn', 'matplotlib', 'joblib')"
        " if m in sys.modules])"
    )
    assert run(code).stdout.strip() == "[]"


def run(code: str, *arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        check=True,
        capture_output=True,
        text=True,
        cwd=pathlib.Path(__file__).parent.parent,
        **options,
    )


# --- Tiny ImageNet ---------------------------------------------------------------------------


def check_tiny(dataset: Dataset, root: pathlib.Path) -> None:
    """Compare with the files, read here by the simplest means."""
    assert dataset.class_ids == tuple(IDS)
    # Two classes share their first synonym: these are told apart by all of them.
    assert dataset.class_names == ("goldfish", "crane, a bird", "crane, a machine")
    assert dataset.image_shape == (8, 8, 3)
    assert len(dataset.train) == TRAIN * len(IDS)
    assert dataset.train.labels.dtype == dataset.validation.labels.dtype == np.int64
    for row in range(len(dataset.train)):
        wnid, number = IDS[row // TRAIN], row % TRAIN
        path = root / "train" / wnid / "images" / f"{wnid}_{10 * number}.JPEG"
        assert np.array_equal(dataset.train.images[row], decoded(path))
        assert dataset.class_ids[dataset.train.labels[row]] == wnid
        assert dataset.train.boxes[row].tolist() == [number, int(wnid[1:]), 5, 7]
    lines = (root / "val" / "val_annotations.txt").read_text().splitlines()
    assert len(dataset.validation) == len(lines)
    for row, line in enumerate(lines):
        name, wnid, *box = line.split("\t")
        image = dataset.validation.images[row]
        assert np.array_equal(image, decoded(root / "val" / "images" / name))
        assert dataset.class_ids[dataset.validation.labels[row]] == wnid
        assert dataset.validation.boxes[row].tolist() == [int(number) for number in box]
    assert dataset.origin.converted == {"grayscale": 1}


def test_tiny_imagenet_folder(tiny):
    check_tiny(load("tiny_imagenet", tiny), tiny)
    check_tiny(load("tiny_imagenet", str(tiny.parent)), tiny)


@pytest.mark.parametrize(
    "suffix, parts", [("zip", 1), ("tar", 1), ("tar.gz", 1), ("tar.xz", 1), ("tar.xz", 3)]
)
def test_tiny_imagenet_archives(tiny, suffix, parts):
    place = pack(tiny, suffix, parts)
    check_tiny(load("tiny_imagenet", place), tiny)
    check_tiny(load("tiny_imagenet", sorted(place.iterdir())[-1]), tiny)


def test_home_is_expanded(tiny, monkeypatch):
    monkeypatch.setenv("HOME", str(tiny.parent))
    check_tiny(load("tiny_imagenet", "~/tiny-imagenet-200"), tiny)


def test_boxes_follow_the_size(tiny):
    """A box over the last pixel still ends at the last pixel of the enlarged image."""
    dataset = load("tiny_imagenet", tiny, size=16)
    # First image: x 0 to 5 and y 3 to 7, both inside, of 8 pixels.
    assert dataset.train.boxes[0].tolist() == [0, 6, 11, 15]


def test_boxes_are_optional_for_all_or_none(tiny):
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
        r"1 of 12 images cannot be used:\n  .*n002_10.JPEG cannot be read as an image",
    ),
    "truncated image": (
        lambda r: os.truncate(r / "val/images/val_3.JPEG", 300),
        r"1 of 6 images cannot be used:\n  .*val_3.JPEG cannot be read as an image",
    ),
    "empty image": (
        lambda r: (r / "val/images/val_3.JPEG").write_bytes(b""),
        "val_3.JPEG cannot be read as an image",
    ),
    "image of another size": (
        lambda r: write(r / "val/images/val_3.JPEG", picture(0, size=(9, 8))),
        r"val_3.JPEG is 9x8 pixels, but .*n003_0.JPEG is 8x8: give size to resize all",
    ),
    "link to nowhere": (
        lambda r: (r / "val/images/val_9.JPEG").symlink_to(r / "gone.JPEG"),
        "val_9.JPEG is a link to a file that is gone",
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_tiny_imagenet_broken(tiny, how, cache):
    damage, message = BROKEN[how]
    damage(tiny)
    with pytest.raises(ValueError, match=message):
        load("tiny_imagenet", tiny)
    # Nothing half-made is left.
    assert not cache.exists() or not list(cache.iterdir())


def test_every_unusable_image_is_counted(tiny):
    for file in (tiny / "train/n002/images").iterdir():
        file.write_bytes(b"")
    for file in sorted((tiny / "train/n001/images").iterdir())[:3]:
        file.write_bytes(b"")
    with pytest.raises(ValueError, match="(?s)7 of 12 images cannot be used.*and 2 more"):
        load("tiny_imagenet", tiny)


def test_litter_is_left_out(tiny):
    for name in (".DS_Store", "train/n001/images/Thumbs.db", "val/images/._val_0.JPEG"):
        write(tiny / name, "left by a file manager")
    check_tiny(load("tiny_imagenet", tiny), tiny)
    place = pack(tiny, "zip")
    with zipfile.ZipFile(place / "tiny-imagenet-200.zip", "a") as archive:
        archive.writestr("__MACOSX/tiny-imagenet-200/._wnids.txt", "")
    check_tiny(load("tiny_imagenet", place), tiny)


def test_several_candidates(tiny):
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


# --- archives --------------------------------------------------------------------------------


def test_missing_part(tiny):
    place = pack(tiny, "tar.xz", parts=3)
    (place / "tiny-imagenet-200.part1.tar.xz").unlink()
    with pytest.raises(ValueError, match="but not tiny-imagenet-200.part1.tar.xz"):
        load("tiny_imagenet", place)


def test_file_in_two_parts(tiny):
    place = pack(tiny, "tar.gz", parts=2)
    first, second = sorted(place.iterdir())
    second.write_bytes(first.read_bytes())
    with pytest.raises(ValueError, match=r"part1.tar.gz holds .*, which .*part0.tar.gz: .*already"):
        load("tiny_imagenet", place)


@pytest.mark.parametrize("share", [0.3, 0.7])
@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz", "tar.xz", "tar.bz2"])
def test_cut_archive(tmp_path, suffix, share):
    """Also where the cut falls between two files: a class folder cannot show what is missing."""
    (path,) = pack(tree(tmp_path / "pets", count=5), suffix).iterdir()
    os.truncate(path, int(path.stat().st_size * share) // 512 * 512)
    with pytest.raises(ValueError, match=f"pets.{suffix} is damaged or incomplete"):
        load("folder", path)


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_no_archive_at_all(tmp_path, suffix):
    path = tmp_path / f"pets.{suffix}"
    path.write_bytes(b"<html>404 not found</html>" * 100)
    with pytest.raises(ValueError, match="is damaged or incomplete"):
        load("folder", path)


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
@pytest.mark.parametrize(
    "name", ["../outside.png", "a/../../outside.png", "/outside.png", "..\\outside.png", "C:x.png"]
)
def test_unsafe_names_are_refused(tmp_path, suffix, name, cache):
    path = tmp_path / "set" / f"pets.{suffix}"
    path.parent.mkdir()
    if suffix == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, b"content")
    else:
        with tarfile.open(path, "w:gz") as archive:
            member = tarfile.TarInfo(name)
            member.size = 7
            archive.addfile(member, io.BytesIO(b"content"))
    with pytest.raises(ValueError, match="holds the unsafe name .*: refused"):
        load("folder", path)
    assert files_of(tmp_path) == [path]
    assert not list(cache.iterdir())


def test_links_in_archives_are_refused(tmp_path):
    path = tmp_path / "pets.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("pets/a/0.png")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(ValueError, match="pets/a/0.png is a link or a device"):
        load("folder", path)


def test_encrypted_zip(tmp_path):
    (path,) = pack(tree(tmp_path / "pets"), "zip").iterdir()
    content = bytearray(path.read_bytes())
    # The flags of the first entry of the central directory, 8 bytes behind its signature.
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is encrypted"):
        load("folder", path)


# --- class folders ---------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("splits", [("train", "val"), ("training", "test"), ("train", "valid")])
def test_folder_with_its_own_split(tmp_path, splits, packed):
    root = tree(tmp_path / "pets", splits)
    dataset = load("folder", pack(root, "zip") if packed else root)
    assert dataset.class_names == dataset.class_ids == ("a", "b")
    for name, split in zip(splits, (dataset.train, dataset.validation), strict=True):
        assert split.labels.tolist() == [0, 0, 1, 1]
        paths = [root / name / letter / f"{i}.png" for letter in "ab" for i in range(2)]
        assert np.array_equal(split.images, np.stack([decoded(path) for path in paths]))


@pytest.mark.parametrize("splits", [("",), ("train",)])
def test_folder_is_divided(tmp_path, splits):
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


def test_folder_below_a_parent(tmp_path):
    tree(tmp_path / "pets")
    assert load("folder", tmp_path).class_names == ("a", "b")
    tree(tmp_path / "cars")
    with pytest.raises(ValueError, match="several data sets; give one of them: .*cars, .*pets"):
        load("folder", tmp_path)


def test_folder_says_what_it_left_out(tmp_path):
    root = tree(tmp_path / "pets", ("train", "val", "test"))
    write(root / "README.txt", "")
    assert load("folder", root).origin.notes == ("not read: README.txt", "not read: test")


def test_folder_images_of_differing_size(tmp_path):
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
        lambda r: write(r / "train/c/0.png", picture(0)),
        "class 'c' is in train/, but not in val/",
    ),
    "class only in val": (
        lambda r: write(r / "val/c/0.png", picture(0)),
        "class 'c' is in val/, but not in train/",
    ),
    "image without class": (
        lambda r: write(r / "train/0.png", picture(0)),
        "train/0.png lies in no class folder",
    ),
    "too deep": (
        lambda r: write(r / "train/a/more/0.png", picture(0)),
        "more/0.png lies deeper than its class folder 'a'",
    ),
    "no image": (lambda r: write(r / "train/a/0.txt", ""), "train/a/0.txt is no image"),
    "16 bits": (
        lambda r: Image.fromarray(np.zeros((8, 8), np.uint16)).save(r / "train/a/0.png"),
        "train/a/0.png cannot be read as an image .*8 bits per channel",
    ),
}


@pytest.mark.parametrize("how", FOLDERS)
def test_folder_broken(tmp_path, how):
    root = tree(tmp_path / "pets")
    damage, message = FOLDERS[how]
    damage(root)
    with pytest.raises(ValueError, match=message):
        load("folder", root)


def test_folder_class_too_small_to_divide(tmp_path):
    root = tree(tmp_path / "pets", ("",), count=2)
    with pytest.raises(ValueError, match="class 'a' has 2 images, too few to set a fifth aside"):
        load("folder", root)


def test_every_kind_of_image_becomes_rgb(tmp_path):
    root = tree(tmp_path / "pets")
    pictures = {
        "train/a/0.jpg": picture(1, mode="L"),
        "train/a/1.jpg": picture(2, mode="CMYK"),
        "train/b/0.png": picture(3, mode="RGBA"),
        "train/b/1.gif": picture(4).quantize(),
    }
    for file in files_of(root / "train"):
        file.unlink()
    for name, image in pictures.items():
        write(root / name, image)
    dataset = load("folder", root)
    assert dataset.origin.converted == {"grayscale": 1, "other": 1, "transparent": 1, "palette": 1}
    for row, name in enumerate(pictures):
        assert np.array_equal(dataset.train.images[row], decoded(root / name))


def test_photographs_are_upright(tmp_path):
    root = tree(tmp_path / "pets", size=(6, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: turned by 90 degrees
    image = picture(5, size=(8, 6))
    image.save(root / "train/a/0.png", exif=exif)
    expected = np.asarray(image.transpose(Image.Transpose.ROTATE_270))
    assert np.array_equal(load("folder", root).train.images[0], expected)


# --- CIFAR, MNIST, digits --------------------------------------------------------------------


def binary_cifar(root: pathlib.Path, name: str, count: int = 20) -> dict[str, tuple]:
    """Write the official binary layout; returns (images, labels) by file."""
    variant = cifar.VARIANTS[name]
    root.mkdir(parents=True)
    names = [f"thing{number}" for number in range(variant.classes)]
    write(root / variant.names, "\n".join(names) + "\n\n")
    content = {}
    for seed, file in enumerate((*variant.train, variant.test)):
        random = np.random.default_rng(seed)
        images = random.integers(0, 256, (count, 32, 32, 3), np.uint8)
        labels = random.integers(0, variant.classes, count, np.uint8)
        coarse = np.zeros((count, variant.label_bytes - 1), np.uint8)
        planes = images.transpose(0, 3, 1, 2).reshape(count, -1)
        np.hstack([coarse, labels[:, None], planes]).tofile(root / file)
        content[file] = images, labels
    return content


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_binary_files(tmp_path, name, packed):
    root = tmp_path / f"{name}-batches-bin"
    content = binary_cifar(root, name)
    *train, test = content.values()
    place = tmp_path
    if packed:
        place = pack(root, "tar.gz")
        (path,) = place.iterdir()
        path.rename(place / f"{cifar.VARIANTS[name].archive}.tar.gz")
    dataset = load(name, place)
    assert dataset.class_names[3] == "thing3"
    assert np.array_equal(dataset.train.images, np.concatenate([images for images, _ in train]))
    assert np.array_equal(dataset.train.labels, np.concatenate([labels for _, labels in train]))
    assert np.array_equal(dataset.validation.images, test[0])
    assert np.array_equal(dataset.validation.labels, test[1])


CIFAR_BROKEN = {
    "cut": (lambda r: os.truncate(r / "test_batch.bin", 5000), "test_batch.bin is cut"),
    "empty": (lambda r: os.truncate(r / "test_batch.bin", 0), "test_batch.bin: 0 images"),
    "missing": (lambda r: (r / "data_batch_3.bin").unlink(), "has no data_batch_3.bin"),
    "no class": (
        lambda r: (r / "test_batch.bin").write_bytes(b"\x0b" + bytes(3072)),
        "label 11 is none of the 10 classes",
    ),
    "names": (lambda r: (r / "batches.meta.txt").write_text("cat\n"), "names 1 classes, not 10"),
}


@pytest.mark.parametrize("how", CIFAR_BROKEN)
def test_cifar_broken(tmp_path, how):
    damage, message = CIFAR_BROKEN[how]
    binary_cifar(tmp_path / "bin", "cifar10")
    damage(tmp_path / "bin")
    with pytest.raises(ValueError, match=message):
        load("cifar10", tmp_path)


def test_pickles_are_not_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    root = tmp_path / "cifar-10-batches-py"
    root.mkdir()
    for name in ("data_batch_1", "test_batch", "batches.meta"):
        (root / name).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match="pickles, which can run code, and are not opened"):
        load("cifar10", root)
    np.savez(tmp_path / "mnist.npz", x_train=np.array([Trap()], dtype=object))
    with pytest.raises(ValueError, match="mnist.npz"):
        load("mnist", tmp_path)
    assert not (tmp_path / "sprung").exists()


def fake_keras(monkeypatch, name, load_data) -> None:
    module = types.SimpleNamespace(**{name: types.SimpleNamespace(load_data=load_data)})
    monkeypatch.setitem(sys.modules, "keras", types.SimpleNamespace(datasets=module))


@pytest.mark.parametrize(
    "name, shape, classes",
    [("cifar10", (32, 32, 3), 10), ("cifar100", (32, 32, 3), 100), ("mnist", (28, 28, 1), 10)],
)
def test_through_keras_once(monkeypatch, name, shape, classes):
    """keras.datasets gives labels as a column, MNIST without channels; then the cache serves."""
    stored = shape if shape[-1] == 3 else shape[:2]
    images = np.random.default_rng(0).integers(0, 256, (classes, *stored), np.uint8)
    labels = np.arange(classes)[::-1, None]
    fake_keras(monkeypatch, name, lambda: ((images, labels), (images[:2], labels[:2])))
    load(name)
    fake_keras(monkeypatch, name, None)
    dataset = load(name)
    assert dataset.image_shape == shape
    assert np.array_equal(dataset.train.images, images.reshape(-1, *shape))
    assert np.array_equal(dataset.train.labels, labels[:, 0])
    assert len(set(dataset.class_names)) == classes
    # The names are in Keras' order, that is sorted, except the digits' own.
    assert list(dataset.class_names) == sorted(dataset.class_names)


def test_failed_download(monkeypatch):
    def offline():
        raise Exception("URL fetch failure on ...: None -- [Errno -2]")

    fake_keras(monkeypatch, "cifar10", offline)
    with pytest.raises(ValueError, match="could not get cifar10 .*without network, give data_dir"):
        load("cifar10")


def small_mnist(count: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        f"{axis}_{split}": random.integers(0, high, (count, *shape), np.uint8)
        for split in ("train", "test")
        for axis, high, shape in (("x", 256, (28, 28)), ("y", 10, ()))
    }


@pytest.mark.parametrize("packed", [False, True])
def test_mnist_original_files(tmp_path, packed):
    content = small_mnist(7)
    for split, prefix in (("train", "train"), ("test", "t10k")):
        for axis, kind in (("x", "images-idx3"), ("y", "labels-idx1")):
            array = content[f"{axis}_{split}"]
            data = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            data += array.tobytes()
            path = tmp_path / "raw" / f"{prefix}-{kind}-ubyte{'.gz' * packed}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(gzip.compress(data) if packed else data)
    dataset = load("mnist", tmp_path)
    assert np.array_equal(dataset.train.images[..., 0], content["x_train"])
    assert np.array_equal(dataset.validation.labels, content["y_test"])
    os.truncate(path, path.stat().st_size - 3)
    with pytest.raises(ValueError, match="t10k-labels-idx1-ubyte.* no MNIST file or damaged"):
        load("mnist", tmp_path)


MNIST_BROKEN = {
    "missing array": (lambda c: c.pop("y_test"), "no MNIST file or damaged .*y_test"),
    "label without class": (lambda c: c.update(y_test=c["y_test"] + 10), "is none of the 10"),
    "too few labels": (lambda c: c.update(y_test=c["y_test"][1:]), "7 images, but 6 labels"),
    "float images": (lambda c: c.update(x_train=c["x_train"] / 255), "images are float64"),
}


@pytest.mark.parametrize("how", MNIST_BROKEN)
def test_mnist_broken(tmp_path, how):
    damage, message = MNIST_BROKEN[how]
    content = small_mnist(7)
    damage(content)
    np.savez(tmp_path / "mnist.npz", **content)
    with pytest.raises(ValueError, match=message):
        load("mnist", tmp_path / "mnist.npz")


def test_digits(cache):
    from sklearn.datasets import load_digits

    dataset, again = load("digits"), load("digits")
    assert dataset.image_shape == (32, 32, 3)
    assert len(dataset.train) + len(dataset.validation) == 1797
    assert np.array_equal(dataset.train.images, again.train.images)
    assert not cache.exists()
    # The sizes of the classes differ by at most 9; of each a fifth is set aside, rounded.
    counts = np.bincount(load_digits().target)
    assert np.array_equal(np.bincount(dataset.validation.labels), np.round(counts / 5))
    native = load("digits", size=8)
    assert native.train.images.max() == 255
    enlarged = Image.fromarray(native.train.images[0]).resize((32, 32), Image.Resampling.LANCZOS)
    assert np.array_equal(dataset.train.images[0], enlarged)
    with pytest.raises(ValueError, match="digits is built in"):
        load("digits", "somewhere")


# --- cache -----------------------------------------------------------------------------------


@pytest.fixture
def reads(monkeypatch) -> list:
    """Grows by one with each decode."""
    calls, build = [], _cache._build
    monkeypatch.setattr(_cache, "_build", lambda *a: (calls.append(a[0]), build(*a)))
    return calls


def test_cache_serves_the_second_call(tiny, reads, cache):
    first, second = load("tiny_imagenet", tiny), load("tiny_imagenet", tiny)
    assert len(reads) == 1
    assert [path.name for path in cache.iterdir()] == [second.origin.cache.name]
    assert isinstance(second.train.images.base, np.memmap)
    assert not second.train.images.flags.writeable
    for key in ("images", "labels", "boxes"):
        assert np.array_equal(getattr(first.train, key), getattr(second.train, key))
    assert first.origin == second.origin


def test_cache_dir_comes_before_the_environment(tiny, tmp_path, cache):
    assert (
        tmp_path / "mine"
        in load("tiny_imagenet", tiny, cache_dir=tmp_path / "mine").origin.cache.parents
    )
    assert not cache.exists()


CHANGES = {
    "content": lambda r: write(r / "train/n001/images/n001_0.JPEG", picture(77)),
    "time": lambda r: os.utime(r / "words.txt", (1, 1)),
    "added": lambda r: write(r / "val/extra.txt", ""),
    "empty folder": lambda r: (r / "train/n009").mkdir(),
}


@pytest.mark.parametrize("how", CHANGES)
def test_changed_folder_is_read_again(tiny, reads, how):
    load("tiny_imagenet", tiny)
    CHANGES[how](tiny)
    try:
        load("tiny_imagenet", tiny)
    except ValueError:
        assert how == "added"  # a file outside the layout, found only by reading again
    assert len(reads) == 2


def test_changed_archive_is_read_again(tiny, reads):
    (path,) = pack(tiny, "zip").iterdir()
    load("tiny_imagenet", path)
    load("tiny_imagenet", path.parent)
    assert len(reads) == 1
    os.utime(path, (1, 1))
    load("tiny_imagenet", path)
    assert len(reads) == 2


def test_size_and_filter_are_part_of_the_key(tiny, reads):
    load("tiny_imagenet", tiny)
    load("tiny_imagenet", tiny, resample="nearest")  # decides nothing without a size
    assert len(reads) == 1
    load("tiny_imagenet", tiny, size=9)
    load("tiny_imagenet", tiny, size=9, resample="nearest")
    assert len(reads) == 3


def test_failed_decode_leaves_nothing(tiny, monkeypatch, cache):
    monkeypatch.setattr(_decode, "_TASK_IMAGES", 1)

    def interrupt(start, *rest, block=_decode._block):
        if start == 5:
            raise KeyboardInterrupt
        return block(start, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(_decode, "_block", interrupt)
        with pytest.raises(KeyboardInterrupt):
            load("tiny_imagenet", tiny)
    assert not list(cache.iterdir())
    check_tiny(load("tiny_imagenet", tiny), tiny)


WAITING = """
import sys
from experiments import datasets
from experiments.datasets import _decode
_decode._TASK_IMAGES, block = 1, _decode._block
def wait(start, *task):
    if start == 5:
        print("decoding", flush=True)
        sys.stdin.readline()
    return block(start, *task)
_decode._block = wait
datasets.load("tiny_imagenet", data_dir=sys.argv[1], progress=False)
"""


def start_waiting(tiny: pathlib.Path) -> subprocess.Popen:
    """Start a process that loads `tiny` and, amid decoding, waits for a line from us."""
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING, str(tiny)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=pathlib.Path(__file__).parent.parent,
    )
    assert process.stdout.readline() == "decoding\n"
    return process


def test_killed_decode_is_not_taken_for_a_cache(tiny, cache):
    process = start_waiting(tiny)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (part,) = cache.iterdir()
    # An old one is swept away, since nobody holds its lock any more.
    os.utime(part, (time.time() - 3600,) * 2)
    check_tiny(load("tiny_imagenet", tiny), tiny)
    assert not part.exists()
    assert len(list(cache.iterdir())) == 1


def test_two_at_once(tiny, cache):
    """The slow one keeps its folder while the fast one finishes, and then takes what it finds."""
    process = start_waiting(tiny)
    (part,) = cache.iterdir()
    os.utime(part, (time.time() - 3600,) * 2)
    check_tiny(load("tiny_imagenet", tiny), tiny)
    assert part.exists()
    process.communicate("go on\n" * 2)
    assert process.returncode == 0
    assert len(list(cache.iterdir())) == 1
    check_tiny(load("tiny_imagenet", tiny), tiny)


def test_damaged_cache_says_so(tiny):
    place = load("tiny_imagenet", tiny).origin.cache
    os.truncate(place / "train_images.npy", 500)
    with pytest.raises(ValueError, match=f"{place.name} are damaged .*delete that folder"):
        load("tiny_imagenet", tiny)


def test_cache_that_cannot_be_written(tiny, tmp_path):
    write(tmp_path / "file", "")
    with pytest.raises(ValueError, match="cannot write to .*set SMALLZOO_CACHE"):
        load("tiny_imagenet", tiny, cache_dir=tmp_path / "file")


def test_full_disk(tiny, monkeypatch, cache):
    monkeypatch.setattr(_cache.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=1000))
    with pytest.raises(ValueError, match="disk of .* is full .*set SMALLZOO_CACHE"):
        load("tiny_imagenet", tiny)
    assert not list(cache.iterdir())


def test_workers_do_the_same(tiny, monkeypatch):
    """Decoding in other processes gives the same arrays and the same errors."""
    monkeypatch.setattr(_decode, "_PARALLEL_BYTES", 0)
    monkeypatch.setattr(_decode, "_TASK_IMAGES", 5)
    check_tiny(load("tiny_imagenet", tiny), tiny)
    (tiny / "val/images/val_3.JPEG").write_bytes(b"")
    with pytest.raises(ValueError, match="val_3.JPEG cannot be read as an image"):
        load("tiny_imagenet", tiny)


# --- splits ----------------------------------------------------------------------------------


@pytest.fixture
def dataset() -> Dataset:
    """Ten classes of 10 to 19 images; pixel 0 of image i is i."""
    labels = np.repeat(np.arange(10), np.arange(10, 20))[np.arange(145) * 37 % 145]
    images = np.zeros((len(labels), 4, 6, 3), np.uint8)
    images[:, 0, 0, 0] = np.arange(len(labels))
    boxes = np.arange(4 * len(labels), dtype=np.float32).reshape(-1, 4)
    names = tuple("abcdefghij")
    split = Split(images, labels, boxes)
    return Dataset("letters", split, split.take(slice(20)), names, names, Origin("memory", None))


@pytest.mark.parametrize("indices", [[3, 1, 1], slice(2, 9, 3), np.arange(145) % 7 == 0, [-1]])
def test_take(dataset, indices):
    split = dataset.train
    rows = np.arange(len(split))[indices]
    part = split.take(indices)
    assert len(part) == len(part.images) == len(rows)
    assert part.images.shape == (len(rows), 4, 6, 3)
    assert np.array_equal(part.images, split.images[rows])
    assert np.array_equal(part.labels, split.labels[rows])
    assert np.array_equal(part.boxes, split.boxes[rows])
    assert np.array_equal(part.images[0], split.images[rows[0]])
    assert np.array_equal(part.images[-1:], split.images[rows[-1:]])
    assert np.array_equal(part.take([0]).images, split.images[rows[:1]])


def test_take_copies_no_images(dataset):
    part = dataset.train.take(slice(100)).take([5, 7])
    assert np.shares_memory(part.images.base, dataset.train.images)
    assert isinstance(part.images.base, np.ndarray)


@pytest.mark.parametrize("lazy", [False, True])
def test_batch_is_a_copy(dataset, lazy):
    split = dataset.train.take(np.arange(145)) if lazy else dataset.train
    batch = split.batch([140, 3, 3])
    assert batch.flags.c_contiguous and batch.flags.writeable
    assert batch[:, 0, 0, 0].tolist() == [140, 3, 3]
    batch[:] = 0
    assert dataset.train.images[140, 0, 0, 0] == 140
    with pytest.raises(IndexError):
        split.batch([145])


def test_holdout_is_stratified_and_disjoint(dataset):
    rest, held = dataset.holdout(0.3, seed=1)
    before = np.bincount(dataset.train.labels)
    assert np.array_equal(np.bincount(held.labels), np.floor(0.3 * before + 0.5))
    assert np.array_equal(np.bincount(rest.train.labels) + np.bincount(held.labels), before)
    numbers = [np.asarray(split.images)[:, 0, 0, 0] for split in (rest.train, held)]
    assert sorted(np.concatenate(numbers)) == list(range(145))
    assert all(np.array_equal(part, sorted(part)) for part in numbers)
    assert rest.validation is dataset.validation
    assert rest.class_names == dataset.class_names


KNOWN_HOLDOUT = [8, 19, 22, 30, 36, 62, 77, 90, 96, 107, 112, 114, 123, 129, 139]


def test_holdout_depends_on_the_seed_alone(dataset):
    held = [dataset.holdout(0.3, seed)[1].images.rows for seed in (1, 1, 2)]
    assert np.array_equal(held[0], held[1])
    assert not np.array_equal(held[0], held[2])
    # Known answer: a later version must hold out the same images.
    assert dataset.holdout(0.1, seed=0)[1].images.rows.tolist() == KNOWN_HOLDOUT


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5])
def test_holdout_outside_its_range(dataset, fraction):
    with pytest.raises(ValueError, match="must lie between 0 and 1"):
        dataset.holdout(fraction)


def test_holdout_that_empties_a_class(dataset):
    with pytest.raises(ValueError, match="class 'a' has 10 training images and would be left"):
        dataset.holdout(0.02)


# --- summary and contact sheet ---------------------------------------------------------------


def test_prepare(tiny, tmp_path, cache):
    console = Console(file=io.StringIO(), width=300)
    dataset = datasets.prepare("tiny_imagenet", tiny, tmp_path / "out", console, progress=False)
    check_tiny(dataset, tiny)
    text = console.file.getvalue()
    for expected in (
        str(tiny),
        "8x8, RGB, uint8",
        "12 images, 4 per class, each with a box",
        "6 images, 2 per class, each with a box",
        "1 grayscale images",
        str(dataset.origin.cache),
        "crane, a machine",
        "n002",
        str(tmp_path / "out" / "tiny_imagenet.png"),
    ):
        assert expected in text
    with Image.open(tmp_path / "out" / "tiny_imagenet.png") as sheet:
        sheet.load()


def test_prepare_takes_names_as_they_are(tmp_path):
    """Neither rich's markup nor matplotlib's TeX is made of the names of folders."""
    root = tree(tmp_path / "[bold]pets", classes=["[red]cat", "$d_{og$"])
    console = Console(file=io.StringIO(), width=300)
    datasets.prepare("folder", root, tmp_path, console, progress=False)
    text = console.file.getvalue()
    assert all(name in text for name in ("[bold]pets", "[red]cat", "$d_{og$"))


def test_prepare_refuses_a_file_for_its_sheet(tmp_path):
    write(tmp_path / "notes", "")
    with pytest.raises(ValueError, match="notes is a file: give a .png or a folder"):
        datasets.prepare("digits", out=tmp_path / "notes")


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (300, 500, 3), (8, 16, 1)])
def test_sheet_shows_the_images(shape, tmp_path):
    """Twelve classes, of which ten are shown, each in its grey; the first has one image only."""
    labels = np.repeat(np.arange(12), [1, *[12] * 11])
    images = np.broadcast_to((20 * labels).astype(np.uint8)[:, None, None, None], (133, *shape))
    names = tuple(f"a class with a long name {number}" for number in range(12))
    split = Split(images, labels)
    _sheet.draw(Dataset("grey", split, split, names, names), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("L"))
    # The last column of cells, read from top to bottom, is white where the class has one image.
    column = pixels[:, -_sheet._GAP - 10]
    seen = [value for value in dict.fromkeys(column.tolist()) if value != 255]
    assert seen == [20 * label for label in np.linspace(0, 11, 10).astype(int)[1:]]


# --- real images -----------------------------------------------------------------------------


def test_real_tiny_imagenet(tiny_imagenet_10):
    """All 5,500 images: counts, labels by the annotation file, pixels as PIL decodes them."""
    dataset = load("tiny_imagenet", tiny_imagenet_10)
    assert dataset.image_shape == (64, 64, 3)
    assert np.bincount(dataset.train.labels).tolist() == [500] * 10
    assert np.bincount(dataset.validation.labels).tolist() == [50] * 10
    assert dataset.class_ids == tuple((tiny_imagenet_10 / "wnids.txt").read_text().split())
    assert dataset.class_names[:3] == ("goldfish", "monarch", "school bus")
    lines = (tiny_imagenet_10 / "val" / "val_annotations.txt").read_text().splitlines()
    gray = 0
    for row, (name, wnid, *box) in enumerate(line.split("\t") for line in lines):
        assert dataset.class_ids[dataset.validation.labels[row]] == wnid
        assert dataset.validation.boxes[row].tolist() == [int(number) for number in box]
        path = tiny_imagenet_10 / "val" / "images" / name
        assert np.array_equal(dataset.validation.images[row], decoded(path))
    for path in tiny_imagenet_10.rglob("*.JPEG"):
        with Image.open(path) as image:
            gray += image.mode == "L"
    assert dataset.origin.converted == {"grayscale": gray}


def test_real_lanczos_is_pil(tiny_imagenet_10, shared):
    """From the archive and at the 72 pixels of alphanet_v3, decoded by workers or not."""
    archive = shared / "data" / "tiny-imagenet-10.tar.xz"
    dataset = load("tiny_imagenet", archive, size=72, resample="lanczos")
    lines = (tiny_imagenet_10 / "val" / "val_annotations.txt").read_text().splitlines()
    for row in range(0, 500, 25):
        path = tiny_imagenet_10 / "val" / "images" / lines[row].split("\t")[0]
        with Image.open(path) as image:
            expected = image.convert("RGB").resize((72, 72), Image.Resampling.LANCZOS)
        assert np.array_equal(dataset.validation.images[row], expected)
    assert dataset.train.boxes[:, :2].min() >= 0 and dataset.train.boxes[:, 2:].max() == 71


def test_real_class_folders(shared):
    dataset = load("folder", shared / "data" / "cifar10-mini.tar.xz")
    assert dataset.image_shape == (32, 32, 3)
    assert np.bincount(dataset.train.labels).tolist() == [400] * 10
    assert np.bincount(dataset.validation.labels).tolist() == [100] * 10
    assert list(dataset.class_names) == cifar._NAMES["cifar10"]
    with tarfile.open(shared / "data" / "cifar10-mini.tar.xz") as archive:
        content = archive.extractfile("cifar10-mini/test/truck/0099.jpg").read()
    expected = np.asarray(Image.open(io.BytesIO(content)))
    assert np.array_equal(dataset.validation.images[-1], expected)


def test_real_mnist(shared):
    dataset = load("mnist", shared / "data")
    assert dataset.train.images.shape == (60000, 28, 28, 1)
    assert dataset.validation.images.shape == (10000, 28, 28, 1)
    # The first digits of the original files, and how often the test set shows each digit.
    assert dataset.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(dataset.validation.labels).tolist() == counts
    assert json.loads((dataset.origin.cache / "dataset.json").read_text())["converted"] == {}
