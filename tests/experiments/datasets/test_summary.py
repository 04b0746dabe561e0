"""What is told and drawn of a data set."""

import numpy as np
import pytest
from PIL import Image

from experiments import datasets
from experiments.datasets import Dataset, Split, _sheet


def test_summary(tiny, load):
    dataset = load("tiny_imagenet", tiny)
    size = sum(path.stat().st_size for path in dataset.origin.cache.iterdir()) / 1e6
    facts, headers, rows = datasets.summary(dataset)
    assert facts == [
        ("data set", "tiny_imagenet"),
        ("read from", str(tiny)),
        ("images", "8x8, RGB, uint8"),
        ("classes", "3"),
        ("train", "12 images, 4 per class, each with a box"),
        ("validation", "6 images, 2 per class, each with a box"),
        ("converted to RGB", "1 grayscale images"),
        ("cache", f"{dataset.origin.cache} ({size:,.0f} MB)"),
    ]
    assert headers == ["label", "class", "id", "train", "validation"]
    assert rows == [
        ["0", "goldfish", "n003", "4", "2"],
        ["1", "crane, a bird", "n001", "4", "2"],
        ["2", "crane, a machine", "n002", "4", "2"],
    ]


def test_summary_of_many_uneven_classes():
    """Twelve classes of 1 to 12 gray images; nobody knows where they come from."""
    labels = np.repeat(np.arange(12), np.arange(1, 13))
    split = Split(np.zeros((len(labels), 6, 4, 1), np.uint8), labels)
    names = tuple("abcdefghijkl")
    facts, headers, rows = datasets.summary(Dataset("gray", split, split, names, names))
    assert dict(facts) == {
        "data set": "gray",
        "read from": "memory",
        "images": "4x6, grayscale, uint8",
        "classes": "12",
        "train": "78 images, 1 to 12 per class",
        "validation": "78 images, 1 to 12 per class",
        "cache": "none: made again in a moment each time",
    }
    assert headers == ["label", "class", "train", "validation"]
    assert rows[9:] == [["9", "j", "10", "10"], ["", "... and 2 more", "", ""]]


def test_summary_notes_what_was_left_out(tmp_path, load, tree):
    root = tree(tmp_path / "pets", ("train", "val", "test"))
    assert ("note", "not read: test") in datasets.summary(load("folder", root)).facts


def test_names_are_taken_as_they_are(tmp_path, load, tree):
    """Neither rich's markup nor matplotlib's TeX is made of the names of folders."""
    root = tree(tmp_path / "[bold]pets", classes=["[red]cat", "$d_{og$"])
    dataset = load("folder", root)
    facts, _, rows = datasets.summary(dataset)
    assert ("read from", str(root)) in facts
    assert [row[1] for row in rows] == ["$d_{og$", "[red]cat"]
    with Image.open(datasets.draw_sheet(dataset, tmp_path)) as sheet:
        sheet.load()


def test_sheet_goes_where_it_is_wanted(tmp_path, load, monkeypatch):
    dataset = load("digits")
    assert datasets.draw_sheet(dataset, tmp_path / "new") == tmp_path / "new" / "digits.png"
    assert datasets.draw_sheet(dataset, str(tmp_path / "my.PNG")) == tmp_path / "my.PNG"
    monkeypatch.chdir(tmp_path)
    assert datasets.draw_sheet(dataset).resolve() == tmp_path / "digits.png"
    for name in ("new/digits.png", "my.PNG", "digits.png"):
        with Image.open(tmp_path / name) as sheet:
            sheet.load()


def test_sheet_that_cannot_be_written(tmp_path, load, write):
    """Told by the path alone, before images are decoded for it."""
    write(tmp_path / "notes", "")
    (tmp_path / "folder.png").mkdir()
    refused = {
        tmp_path / "notes": r"out \(--out\) .*notes is a file: give a .png or a folder",
        tmp_path / "notes" / "a.png": "cannot write to .*notes/a.png .*a file stands where",
        tmp_path / "folder.png": "cannot write to .*folder.png .*it is a folder",
        "/dev/null/sheets": "cannot write to /dev/null/sheets/digits.png .*a file stands where",
    }
    for path, message in refused.items():
        with pytest.raises(ValueError, match=message):
            datasets.draw_sheet(load("digits"), path)
    with pytest.raises(ValueError, match="a file stands where"):
        datasets.sheet_path("digits", tmp_path / "notes" / "deep" / "down")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.png", "notes"]


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (300, 500, 3), (8, 16, 1)])
def test_sheet_shows_the_images(shape, tmp_path):
    """Twelve classes, of which ten are shown, each in its grey; the first has one image only."""
    labels = np.repeat(np.arange(12), [1, *[12] * 11])
    images = np.broadcast_to((20 * labels).astype(np.uint8)[:, None, None, None], (133, *shape))
    names = tuple(f"a class with a long name {number}" for number in range(12))
    split = Split(images, labels)
    path = datasets.draw_sheet(Dataset("grey", split, split, names, names), tmp_path / "sheet.png")
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet.convert("L"))
    # The last column of cells, read from top to bottom, is white where the class has one image.
    column = pixels[:, -_sheet.GAP - 10]
    seen = [value for value in dict.fromkeys(column.tolist()) if value != 255]
    assert seen == [20 * label for label in np.linspace(0, 11, 10).astype(int)[1:]]
