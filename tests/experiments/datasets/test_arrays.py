"""CIFAR, MNIST and digits, which come as arrays."""

import gzip
import os
import pathlib
import pickle
import sys
import types

import numpy as np
import pytest
from PIL import Image

from experiments.datasets import cifar


def binary_cifar(root: pathlib.Path, name: str, count: int = 20) -> dict[str, tuple]:
    """Write the official binary layout; returns (images, labels) by file."""
    variant = cifar.VARIANTS[name]
    root.mkdir(parents=True)
    names = [f"thing{number}" for number in range(variant.classes)]
    (root / variant.names).write_text("\n".join(names) + "\n\n")
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
def test_cifar_binary_files(tmp_path, name, packed, load, pack):
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


def test_classes_without_images_are_noted(tmp_path, load):
    """Public data sets come in parts too; a class that nobody shows is at least named."""
    binary_cifar(tmp_path / "bin", "cifar10")
    shown = np.zeros((3, 3073), np.uint8)
    shown[:, 0] = 0, 9, 9
    shown.tofile(tmp_path / "bin" / "test_batch.bin")
    names = "thing1, thing2, thing3, thing4, thing5, ..."
    assert load("cifar10", tmp_path).origin.notes == (
        f"no validation images of 8 classes: {names}",
    )


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


@pytest.mark.parametrize("inside", [False, True])
def test_cifar_as_files_in_class_folders(tmp_path, inside, load):
    from PIL import Image

    names, rng = cifar._NAMES["cifar10"], np.random.default_rng(0)
    root = tmp_path / "CIFAR-10" if inside else tmp_path
    pixels = rng.integers(0, 256, (10, 2, 32, 32, 3), np.uint8)
    for label, name in enumerate(names):
        for number, part in enumerate(("train", "test")):
            (root / part / name).mkdir(parents=True)
            Image.fromarray(pixels[label, number]).save(root / part / name / "a.png")
    found = load("cifar10", tmp_path)
    assert list(found.class_names) == names
    np.testing.assert_array_equal(found.train.batch(range(10)), pixels[:, 0])
    np.testing.assert_array_equal(found.validation.batch(range(10)), pixels[:, 1])
    assert found.validation.labels.tolist() == list(range(10))
    for part in ("train", "test"):
        (root / part / "zebra").mkdir()
        Image.fromarray(pixels[0, 0]).save(root / part / "zebra" / "a.png")
    with pytest.raises(ValueError, match="is no cifar10: zebra differ"):
        load("cifar10", tmp_path)


@pytest.mark.parametrize("how", CIFAR_BROKEN)
def test_cifar_broken(tmp_path, how, load):
    damage, message = CIFAR_BROKEN[how]
    binary_cifar(tmp_path / "bin", "cifar10")
    damage(tmp_path / "bin")
    with pytest.raises(ValueError, match=message):
        load("cifar10", tmp_path)


def test_pickles_are_not_opened(tmp_path, load):
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
def test_through_keras_once(monkeypatch, name, shape, classes, load):
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


def test_failed_download(monkeypatch, load):
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
def test_mnist_original_files(tmp_path, packed, load):
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
    "no pixels": (
        lambda c: c.update(x_train=c["x_train"][:, :0]),
        r"images are \(7, 0, 28, 1\); expected",
    ),
    "splits of two sizes": (
        lambda c: c.update(x_test=c["x_test"][:, 1:]),
        r"7 of 7 images .*\n  validation image 0 is 28x27 pixels, but train image 0 is 28x28: give",
    ),
}


@pytest.mark.parametrize("how", MNIST_BROKEN)
def test_mnist_broken(tmp_path, how, load):
    damage, message = MNIST_BROKEN[how]
    content = small_mnist(7)
    damage(content)
    np.savez(tmp_path / "mnist.npz", **content)
    with pytest.raises(ValueError, match=message):
        load("mnist", tmp_path / "mnist.npz")


def test_digits(cache, load):
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
