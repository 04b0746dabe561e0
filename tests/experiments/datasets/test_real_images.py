"""Real images: counts, labels, and pixels as PIL decodes them."""

import io
import json
import tarfile

import numpy as np
from PIL import Image

from experiments.datasets import cifar


def test_real_tiny_imagenet(tiny_imagenet_10, load, decoded):
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


def test_real_lanczos_is_pil(tiny_imagenet_10, shared, load):
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


def test_real_class_folders(shared, load):
    dataset = load("folder", shared / "data" / "cifar10-mini.tar.xz")
    assert dataset.image_shape == (32, 32, 3)
    assert np.bincount(dataset.train.labels).tolist() == [400] * 10
    assert np.bincount(dataset.validation.labels).tolist() == [100] * 10
    assert list(dataset.class_names) == cifar._NAMES["cifar10"]
    with tarfile.open(shared / "data" / "cifar10-mini.tar.xz") as archive:
        content = archive.extractfile("cifar10-mini/test/truck/0099.jpg").read()
    expected = np.asarray(Image.open(io.BytesIO(content)))
    assert np.array_equal(dataset.validation.images[-1], expected)


def test_real_mnist(shared, load):
    dataset = load("mnist", shared / "data")
    assert dataset.train.images.shape == (60000, 28, 28, 1)
    assert dataset.validation.images.shape == (10000, 28, 28, 1)
    # The first digits of the original files, and how often the test set shows each digit.
    assert dataset.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(dataset.validation.labels).tolist() == counts
    assert json.loads((dataset.origin.cache / "dataset.json").read_text())["converted"] == {}
