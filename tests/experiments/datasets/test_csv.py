"""CSV files of paths and labels: splits, boxes, and what is wrong is told with its line."""

import pathlib
import shutil

import numpy as np
import pytest

SIDE = 9


@pytest.fixture
def root(tmp_path, picture, write) -> pathlib.Path:
    """Twelve images in two folders, each of noise of its own."""
    for number in range(12):
        folder = ("one", "two/deep")[number % 2]
        write(tmp_path / "set" / folder / f"{number}.png", picture(number, (SIDE, SIDE)))
    return tmp_path / "set"


def path_of(number: int) -> str:
    return f"{('one', 'two/deep')[number % 2]}/{number}.png"


def table(root: pathlib.Path, header: str, *rows: str, name: str = "labels.csv") -> pathlib.Path:
    (root / name).write_text("\n".join([header, *rows]) + "\n")
    return root / name


SPLIT = [
    f"{path_of(number)},{'cat' if number % 3 else 'dog'},{split}"
    for number, split in enumerate(["val", "train", "train", "test"] * 3)
]


def images_of(root: pathlib.Path, numbers, decoded) -> np.ndarray:
    return np.stack([decoded(root / path_of(number)) for number in numbers])


def test_splits_in_the_order_of_the_file(root, load, decoded):
    dataset = load("csv", table(root, "path,label,split", *SPLIT))
    assert dataset.class_names == dataset.class_ids == ("cat", "dog")
    train, validation = [1, 2, 5, 6, 9, 10], [0, 4, 8]
    assert np.array_equal(dataset.train.images, images_of(root, train, decoded))
    assert np.array_equal(dataset.validation.images, images_of(root, validation, decoded))
    assert dataset.train.labels.tolist() == [int(n % 3 == 0) for n in train]
    assert dataset.validation.labels.tolist() == [int(n % 3 == 0) for n in validation]
    assert dataset.train.boxes is None
    assert dataset.origin.notes == ("not read: 3 rows of the split test",)


def test_test_rows_are_for_validation_where_there_are_no_others(root, load):
    rows = [row for row in SPLIT if not row.endswith("val")]
    dataset = load("csv", table(root, "path,label,split", *rows))
    assert (len(dataset.train), len(dataset.validation)) == (6, 3)
    assert dataset.origin.notes == ()


@pytest.mark.parametrize(
    "header",
    ["path,label", "filename,class", " Path , Label", "\ufeffpath,label", '"path","label"'],
)
def test_names_of_columns(root, header, load):
    rows = [row.rpartition(",")[0] for row in SPLIT]
    dataset = load("csv", table(root, header, *rows), validation_share=0.25)
    assert np.bincount(dataset.train.labels).tolist() == [6, 3]
    assert np.bincount(dataset.validation.labels).tolist() == [2, 1]


def test_columns_in_any_order_and_quoted_fields(root, load):
    shutil.move(root / path_of(0), root / 'a "b", c.png')
    rows = ['val,"a, b","a ""b"", c.png"', *(f'train,"a, b",{path_of(n)}' for n in (1, 2))]
    rows += [f"{split},c,./{path_of(n)}" for n, split in ((3, "train"), (4, "val"))]
    dataset = load("csv", table(root, "split,label,path", *rows))
    assert dataset.class_names == ("a, b", "c")
    assert dataset.validation.labels.tolist() == [0, 1]


def test_labels_that_are_numbers_are_sorted_as_numbers(root, load):
    rows = [f"{path_of(number)},{(2, 10, 1)[number // 4]}" for number in range(12)]
    dataset = load("csv", table(root, "path,label", *rows))
    assert dataset.class_names == ("1", "2", "10")


def test_boxes_are_what_is_cropped(root, load, decoded):
    """Without resizing, where all boxes have one size: pixel by pixel."""
    boxes = {n: (n % 4, n % 3, n % 4 + 5, n % 3 + 6) for n in range(12)}
    rows = [f"{row},{','.join(map(str, boxes[n]))}" for n, row in enumerate(SPLIT)]
    place = table(root, "path,label,split,x1,y1,x2,y2", *rows)
    whole, cropped = load("csv", place), load("csv", place, crop="boxes")
    assert cropped.image_shape == (7, 6, 3)
    for split, numbers in (("train", [1, 2, 5, 6, 9, 10]), ("validation", [0, 4, 8])):
        assert getattr(whole, split).boxes.tolist() == [list(boxes[n]) for n in numbers]
        some = getattr(cropped, split)
        assert some.boxes.tolist() == [[0, 0, 5, 6]] * len(numbers)
        for image, n in zip(some.images, numbers, strict=True):
            x1, y1, x2, y2 = boxes[n]
            assert np.array_equal(image, decoded(root / path_of(n))[y1 : y2 + 1, x1 : x2 + 1])


def test_crop_needs_boxes(root, load):
    place = table(root, "path,label,split", *SPLIT)
    with pytest.raises(ValueError, match="crop .*'train_boxes': the train images of csv .* no box"):
        load("csv", place, crop="train_boxes")


@pytest.mark.parametrize("how", ["file", "folder", "parent", "zip", "tar.gz"])
def test_where_it_is_found(root, how, load, pack, tmp_path):
    place = table(root, "path,label,split", *SPLIT)
    given = {"file": place, "folder": root, "parent": tmp_path}
    dataset = load("csv", given[how] if how in given else pack(root, how))
    assert (len(dataset.train), len(dataset.validation)) == (6, 3)


def test_only_what_is_named_is_read(root, load, tmp_path, tree):
    """The folder may hold much else, and the cache is made again when the table changes."""
    place = table(root, "path,label,split", *SPLIT)
    (root / "other").mkdir()
    (root / "other" / "link").symlink_to("nowhere")
    first = load("csv", place)
    table(root, "path,label,split", *SPLIT[:-4])
    assert len(load("csv", place).train) == len(first.train) - 2


def test_share_and_seed_are_chosen(root, load, tree, tmp_path):
    """The same two options divide folders; what is drawn depends on the seed alone."""
    table(root, "path,label", *(f"{path_of(n)},{n % 2}" for n in range(12)))
    pets = tree(tmp_path / "pets", ("",), count=10)
    for name, given, counts in (("csv", root, [3, 3]), ("folder", pets, [5, 5])):
        drawn = [
            load(name, given, validation_share=0.5, validation_seed=seed) for seed in (0, 1, 1)
        ]
        for dataset in drawn:
            assert np.bincount(dataset.validation.labels).tolist() == counts
        assert drawn[1].digest == drawn[2].digest != drawn[0].digest
        assert drawn[0].digest == load(name, given, validation_share=0.5).digest


def test_a_tree_with_a_split_is_not_divided(root, load, tree, tmp_path):
    message = "leave out validation_share and validation_seed"
    with pytest.raises(ValueError, match=f"labels.csv has a column split: {message}"):
        load("csv", table(root, "path,label,split", *SPLIT), validation_seed=1)
    with pytest.raises(ValueError, match=f"pets has val/: {message}"):
        load("folder", tree(tmp_path / "pets"), validation_share=0.5)


GOOD = SPLIT[:6]
BROKEN = {
    "unknown column": ("path,label,size", GOOD, "line 1: unknown column 'size': there are path, "),
    "unnamed column": ("path,label,", GOOD, "line 1: unknown column ''"),
    "no label": ("path,split", GOOD, "line 1: no column label: there are"),
    "empty file": ("", [], "line 1: no column label and path"),
    "two paths": ("path,filename,label", GOOD, "line 1: two columns are the path"),
    "half a box": ("path,label,x1", GOOD, "line 1: a box needs x1, y1, x2, y2"),
    "too few fields": ("path,label,split", [*GOOD, "a.png,cat"], "line 8: 2 fields for 3 columns"),
    "missing image": (
        "path,label,split",
        [*GOOD, "one/no.png,cat,train"],
        r"labels.csv, line 8: one/no.png is not in .*set",
    ),
    "image twice": (
        "path,label,split",
        [*GOOD, GOOD[1].replace("train", "val")],
        r"line 8: two/deep/1.png a second time: it is in .*labels.csv, line 3",
    ),
    "empty label": (
        "path,label,split",
        [*GOOD, f"{path_of(7)},  ,train"],
        "line 8: the label is empty",
    ),
    "empty path": ("path,label,split", [*GOOD, ",cat,train"], "line 8: the path is empty"),
    "unknown split": (
        "path,label,split",
        [*GOOD, f"{path_of(7)},cat,dev"],
        "line 8: split 'dev' is none of train, val and test",
    ),
    "no training": (
        "path,label,split",
        [row for row in SPLIT if not row.endswith("train")],
        "labels.csv: no row has split train",
    ),
    "no validation": (
        "path,label,split",
        [row for row in SPLIT if row.endswith("train")],
        "labels.csv: no row has split val or test: add some, or leave out the column",
    ),
    "label for validation only": (
        "path,label,split",
        [*SPLIT[1:7], f"{path_of(7)},cow,val"],
        "line 8: no row of split train has the label 'cow'",
    ),
    "absolute": (
        "path,label,split",
        [*GOOD, "/etc/passwd,cat,train"],
        "line 8: /etc/passwd does not lie in the folder of the CSV file",
    ),
    "drive": ("path,label,split", [*GOOD, "C:\\a.png,cat,train"], "line 8: C:.a.png does not lie"),
    "outside": (
        "path,label,split",
        [*GOOD, "one/../../a.png,cat,train"],
        "line 8: one/../../a.png does not lie in the folder",
    ),
    "open quote": ("path,label,split", [*GOOD, '"a.png,cat,train'], "labels.csv, line 8: unexp"),
    "too few to divide": (
        "path,label",
        [f"{path_of(n)},{n % 2}" for n in range(4)],
        "labels.csv: class '0' has 2 images, too few to set 20% aside .*validation_share",
    ),
    "one class": (
        "path,label",
        [f"{path_of(n)},cat" for n in range(8)],
        r"has 1 class \(cat\)",
    ),
    "box of words": (
        "path,label,x1,y1,x2,y2",
        [f"{path_of(0)},cat,0,0,5,", f"{path_of(1)},dog,0,0,1,1"],
        "line 2: the box 0, 0, 5,  is not four whole numbers of pixels",
    ),
    "swapped corners": (
        "path,label,x1,y1,x2,y2",
        [f"{path_of(0)},cat,5,0,0,5"],
        r"line 2: the box from \(5, 0\) to \(0, 5\) is empty, or its corners are swapped",
    ),
    "box outside": (
        "path,label,split,x1,y1,x2,y2",
        [f"{row},0,0,{SIDE - (n != 3)},3" for n, row in enumerate(SPLIT[3:] + SPLIT[:3])],
        r"6.png .*labels.csv, line 5.*reaches outside of the image, which is 9x9 pixels",
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_broken(root, how, load):
    header, rows, message = BROKEN[how]
    with pytest.raises(ValueError, match=message):
        load("csv", table(root, header, *rows))


def test_not_text(root, load):
    (root / "labels.csv").write_bytes("path,label\nüber.png,cat\n".encode("latin-1"))
    with pytest.raises(ValueError, match="labels.csv is no text in UTF-8"):
        load("csv", root)


def test_a_broken_image_is_told_with_its_line(root, load):
    (root / path_of(1)).write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"1.png \(.*labels.csv, line 3\): not an image"):
        load("csv", table(root, "path,label,split", *SPLIT))


def test_several_tables(root, load):
    table(root, "path,label,split", *SPLIT)
    table(root, "path,label,split", *SPLIT, name="more.csv")
    with pytest.raises(ValueError, match="several CSV files: labels.csv, more.csv; give one"):
        load("csv", root)
    assert len(load("csv", root / "more.csv").train) == 6
