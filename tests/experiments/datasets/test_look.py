"""A first look at pictures, what cannot be read, and pictures that are there twice."""

import numpy as np
import pytest

from experiments import datasets


def test_a_look_tells_counts_sizes_and_color(tmp_path, tree, picture, write):
    root = tree(tmp_path / "pets", count=4)
    write(root / "train/b/wide.png", picture(5, size=(40, 12)))
    found = datasets.look(root)
    assert (found.name, found.class_names) == ("folder", ("a", "b"))
    assert (found.train, found.validation, found.divided) == ((4, 5), (4, 4), False)
    assert (found.smallest, found.largest) == (("a", 4), ("b", 5))
    assert (found.sizes, found.side, found.gray) == (((8, 8), (40, 12)), 8, False)


def test_pictures_of_which_none_has_a_color_are_gray(tmp_path, picture, write):
    for name in "ab":
        for number in range(5):
            gray = picture(number, mode="L")
            write(
                tmp_path / "x" / name / f"{number}.png", gray if number % 2 else gray.convert("RGB")
            )
    assert datasets.look(tmp_path / "x").gray
    write(tmp_path / "x/a/color.png", picture(0))
    assert not datasets.look(tmp_path / "x").gray


def test_it_is_divided_where_nothing_says_which_are_for_validation(tmp_path, tree, pack):
    found = datasets.look(pack(tree(tmp_path / "pets", ("train",), count=10), "zip"))
    assert found.divided and (found.train, found.validation) == ((8, 8), (2, 2))


def test_a_csv_file_is_taken_where_it_lies_alone(tmp_path, picture, write):
    lines = ["path,label"]
    for number in range(10):
        write(tmp_path / f"{number}.png", picture(number))
        lines.append(f"{number}.png,{'ab'[number % 2]}")
    write(tmp_path / "list.csv", "\n".join(lines))
    for place in (tmp_path, tmp_path / "list.csv"):
        found = datasets.look(place)
        assert (found.name, found.train, found.divided) == ("csv", (4, 4), True)


def test_one_class_is_refused(tmp_path, picture, write):
    for number in range(5):
        write(tmp_path / "x" / "only" / f"{number}.png", picture(number))
    with pytest.raises(ValueError, match=r"has one class \(only\): .*each class a folder of its"):
        datasets.look(tmp_path / "x")


def test_pictures_that_are_none_are_refused(tmp_path, write):
    for name in "ab":
        for number in range(5):
            write(tmp_path / "x" / name / f"{number}.png", "no picture")
    with pytest.raises(ValueError, match=r"none of 10 pictures can be read \(.*0.png: not an im"):
        datasets.look(tmp_path / "x")


@pytest.mark.parametrize("size", [None, 16, 4], ids=["stored", "enlarged", "shrunk"])
def test_what_cannot_be_read_is_left_out_by_name(tmp_path, tree, write, load, decoded, size):
    root = tree(tmp_path / "pets", count=4)
    whole = load("folder", root, size=size)
    data = (root / "train/a/1.png").read_bytes()
    (root / "train/a/1.png").write_bytes(data[: len(data) // 2])
    write(root / "val/b/3.png", "no picture")
    with pytest.raises(ValueError, match=r"train/a/1.png: .*\n.*--skip-unreadable"):
        load("folder", root, size=size)
    found = load("folder", root, size=size, unreadable="skip")
    assert [note.partition(":")[0] for note in found.origin.notes] == [
        "left out of train",
        "left out of validation",
    ]
    assert "train/a/1.png" in found.origin.notes[0] and "val/b/3.png" in found.origin.notes[1]
    keep = np.delete(np.arange(8), 1)
    assert np.array_equal(found.train.labels, whole.train.labels[keep])
    assert np.array_equal(np.asarray(found.train.images), whole.train.batch(keep))
    assert np.array_equal(np.asarray(found.validation.images), whole.validation.batch(range(7)))
    again = load("folder", root, size=size, unreadable="skip")
    assert again.digest == found.digest != whole.digest


def test_a_class_of_which_nothing_can_be_read_is_an_error(tmp_path, tree, write, load):
    root = tree(tmp_path / "pets")
    for number in range(2):
        write(root / f"val/b/{number}.png", "no picture")
    with pytest.raises(ValueError, match=r"class 'b' has no image that can be read \(.*b/0.png"):
        load("folder", root, unreadable="skip")


@pytest.mark.parametrize("size", [None, 16])
def test_the_same_pixels_in_both_parts_are_found(tmp_path, tree, load, size):
    root = tree(tmp_path / "pets", count=4)
    assert datasets.doubles(load("folder", root, size=size)) == []
    (root / "val/b/0.png").write_bytes((root / "train/a/2.png").read_bytes())
    assert datasets.doubles(load("folder", root, size=size)) == [(2, 4)]
