"""Principal components of a data set: colors, classes, tables and sheets."""

import numpy as np
import pytest
from PIL import Image

from experiments import spectrum
from experiments.datasets import Dataset, Split
from experiments.embeddings import components
from experiments.embeddings.asked import PIXELS, Asked, Flat, Space, Work

SIDE, NAMES = 6, ("goldfish, Carassius auratus", "$5 bill", "lemon")


def dataset(count=150, channels=3):
    random = np.random.default_rng(0)

    def split(n):
        images = random.integers(0, 256, (n, SIDE, SIDE, channels), np.uint8)
        return Split(images, np.arange(n) % 3)

    return Dataset("noise", split(count), split(9), NAMES, ("n1", "n2", "n3"))


def work(data, features=None, **asked):
    spaces = {PIXELS: Space(PIXELS, data, lambda split: Flat(split.images))}
    if features:
        spaces["network"] = Space("network", data, features)
    return Work(data, spaces, Asked(**{"rebuilt": (1, 3, 9)} | asked))


@pytest.mark.parametrize("count", [150, 40], ids=["more images", "more values"])
def test_colors_are_those_of_the_pixels(count):
    data = dataset(count)
    found = dict(components.spectra(work(data)))
    assert list(found) == ["pixels", "red", "green", "blue"]
    for color, name in enumerate(("red", "green", "blue")):
        alone = spectrum.of(data.train.images[..., color].reshape(count, -1), 1)
        np.testing.assert_allclose(found[name].singular, alone.singular, rtol=1e-9)
        np.testing.assert_allclose(found[name].mean, alone.mean, rtol=1e-6)
    whole = spectrum.of(data.train.images.reshape(count, -1), 9)
    np.testing.assert_allclose(found["pixels"].singular, whole.singular, rtol=1e-9)


def test_gray_images_have_no_colors_and_features_are_a_space():
    def features(split):
        return np.asarray(split.images, np.float32).reshape(len(split), -1)[:, :5]

    found = dict(components.spectra(work(dataset(channels=1), features)))
    assert list(found) == ["pixels", "network"] and len(found["network"].singular) == 5


def test_of_a_class_its_own_images_count():
    data = dataset()
    found = dict(components.of_classes(work(data, only=("lemon", "n1"))))
    assert list(found) == ["lemon", "goldfish"]
    rows = data.train.images[data.train.labels == 2].reshape(50, -1)
    np.testing.assert_allclose(found["lemon"].mean, rows.mean(axis=0), rtol=1e-6)
    assert found["lemon"].count == 50 and len(found["lemon"].vectors) == components.EIGEN_IMAGES


@pytest.mark.parametrize("channels", [1, 3])
def test_sheets_and_the_table_are_made(tmp_path, channels):
    given = work(dataset(channels=channels), classes=2)
    part = components.make(given, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {sheet.file for sheet in part.sheets}
    for sheet in part.sheets:
        with Image.open(tmp_path / sheet.file) as picture:
            assert picture.format == "PNG" and min(picture.size) > 100
    (table,) = part.tables
    keys = {column.key for column in table.columns}
    assert all(row.keys() == keys for row in table.rows) and not part.notes
    of = {(row["space"], row["of"]): row for row in table.rows}
    whole = spectrum.of(Flat(given.data.train.images), 1)
    assert of["pixels", "variance"]["0.9"] == whole.needed(0.9, "variance")
    assert of["pixels", "singular values"]["0.9"] == whole.needed(0.9, "values")
    assert of["pixels", "variance"]["0.9"] < of["pixels", "singular values"]["0.9"]


def test_where_images_are_drawn_a_note_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(spectrum, "MOST", 30)
    part = components.make(work(dataset(40, channels=1)), tmp_path)
    assert part.notes and part.notes[0].startswith("pixels: of 30 of 40 training images, drawn by")


def test_a_class_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="class 'cat': noise has 3 classes.* goldfish, .5 bill"):
        _ = work(dataset(), only=("cat",)).classes
