"""Small data sets on disk, and the plain means to write and read them."""

import functools
import importlib.util
import pathlib
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from experiments import datasets

IDS = ["n003", "n001", "n002"]
WORDS = {"n001": "crane, a bird", "n002": "crane, a machine", "n003": "goldfish, Carassius"}
TRAIN, VALIDATION = 4, 2
ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> pathlib.Path:
    """A cache of its own for every test, never the user's."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SMALLZOO_CACHE", str(folder))
    return folder / "datasets"


@pytest.fixture
def load():
    return lambda name, data_dir=None, **options: datasets.load(name, data_dir=data_dir, **options)


@pytest.fixture
def run():
    """Run code in a process of its own in which warnings are errors."""
    return lambda code, *arguments: subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


@pytest.fixture
def picture():
    return _picture


@pytest.fixture
def write():
    return _write


@pytest.fixture
def files_of():
    return _files_of


def _picture(seed: int, size=(8, 8), mode="RGB") -> Image.Image:
    channels = {"RGB": (3,), "RGBA": (4,), "CMYK": (4,), "LA": (2,), "L": ()}[mode]
    noise = np.random.default_rng(seed).integers(0, 256, (*size[::-1], *channels), np.uint8)
    return Image.frombytes(mode, size, noise.tobytes())


def _write(path: pathlib.Path, content: str | Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        path.write_text(content)
    else:
        content.save(path)


def _files_of(root: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


@pytest.fixture
def decoded():
    """Pixels of a file without transparency, by the simplest means."""

    def read(path: pathlib.Path) -> np.ndarray:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))

    return read


@pytest.fixture
def tree():
    """Write a tree of class folders; an empty split name leaves the level out."""

    def build(root: pathlib.Path, splits=("train", "val"), classes="ab", count=2, **options):
        for split in splits:
            for number, name in enumerate(classes):
                for image in range(count):
                    seed = 1000 * number + 10 * image + len(split)
                    _write(root / split / name / f"{image}.png", _picture(seed, **options))
        return root

    return build


@pytest.fixture
def pack():
    """Write archives of a folder to a folder of their own."""

    def build(root: pathlib.Path, suffix: str, parts: int = 1) -> pathlib.Path:
        place = root.parent / f"as {suffix}"
        place.mkdir()
        for part in range(parts):
            files = _files_of(root)[part::parts]
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

    return build


@pytest.fixture
def tiny(tmp_path) -> pathlib.Path:
    """A miniature of Tiny ImageNet: every image and box differs; n001_0 is grayscale."""
    root = tmp_path / "tiny-imagenet-200"
    _write(root / "wnids.txt", "\n".join(IDS) + "\n")
    words = {"n000": "something else"} | WORDS
    _write(root / "words.txt", "".join(f"{wnid}\t{name}\n" for wnid, name in words.items()))
    for wnid in IDS:
        lines = []
        for number in range(TRAIN):
            # Ten times the number: sorted by name, 10 and 20 would change places with 0.
            name = f"{wnid}_{10 * number}.JPEG"
            seed = 100 * int(wnid[1:]) + number
            mode = "L" if name == "n001_0.JPEG" else "RGB"
            _write(root / "train" / wnid / "images" / name, _picture(seed, mode=mode))
            lines.append(f"{name}\t{number}\t{int(wnid[1:])}\t5\t7\n")
        _write(root / "train" / wnid / f"{wnid}_boxes.txt", "".join(lines))
    lines = []
    for number in range(VALIDATION * len(IDS)):
        wnid = sorted(IDS)[number % len(IDS)]
        _write(root / "val" / "images" / f"val_{number}.JPEG", _picture(number))
        lines.append(f"val_{number}.JPEG\t{wnid}\t{number}\t0\t6\t7\n")
    _write(root / "val" / "val_annotations.txt", "".join(lines))
    _write(root / "test" / "images" / "test_0.JPEG", _picture(0))
    return root


@pytest.fixture
def check_tiny(decoded):
    """Compare a data set with the files of `tiny`."""
    return functools.partial(_check_tiny, decoded)


def _check_tiny(decoded, dataset: datasets.Dataset, root: pathlib.Path) -> None:
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


@pytest.fixture(scope="session")
def written_cars():
    """The module that writes a small Stanford Cars: no package holds the tests."""
    path = pathlib.Path(__file__).parent / "written_cars.py"
    spec = importlib.util.spec_from_file_location("written_cars", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["written_cars"] = module  # NamedTuple looks its module up
    spec.loader.exec_module(module)
    return module
