"""Contracts of `flow_from_dataframe`; Keras' deprecated generator is the oracle."""

import warnings

import numpy as np
import pandas
import pytest
from PIL import Image

import augment


def keras_generator(**arguments):
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    return ImageDataGenerator(**arguments)


@pytest.fixture(scope="module")
def folder(images, tmp_path_factory):
    """Twelve PNG files."""
    root = tmp_path_factory.mktemp("files")
    for i, image in enumerate(images):
        Image.fromarray(image).save(root / f"{i:02}.png")
    return root


@pytest.fixture
def table(images):
    """Their names, a class and two numbers of each, and of some several classes."""
    n = len(images)
    return pandas.DataFrame(
        {
            "filename": [f"{i:02}.png" for i in range(n)],
            "class": ["cat" if i % 3 else "dog" for i in range(n)],
            "tags": [["cat"] if i % 2 else ["cat", "dog"] for i in range(n)],
            "age": np.arange(n) / 2,
            "size": np.arange(n)[::-1],
            "weight": np.linspace(0.5, 2, n),
        }
    )


CASES = {
    "categorical": {},
    "sparse": {"class_mode": "sparse"},
    "binary": {"class_mode": "binary", "color_mode": "grayscale"},
    "input": {"class_mode": "input"},
    "none": {"class_mode": None},
    "raw": {"class_mode": "raw", "y_col": "age"},
    "multi_output": {"class_mode": "multi_output", "y_col": ["age", "size"]},
    "several classes": {"y_col": "tags"},
    "chosen classes": {"classes": ["dog"]},
    "classes in an order": {"classes": ["dog", "cat"], "class_mode": "sparse"},
    "weights": {"weight_col": "weight"},
    "weights alone": {"weight_col": "weight", "class_mode": "raw", "y_col": "age"},
}


@pytest.mark.parametrize("subset", [None, "training", "validation"])
@pytest.mark.parametrize("case", CASES)
def test_flow_from_dataframe_equals_the_deprecated_generator(folder, table, case, subset, capsys):
    options = {"target_size": (20, 24), "batch_size": 5, "shuffle": False, "subset": subset}
    options |= {"interpolation": "bilinear"} | CASES[case]
    ours, theirs = (
        make(rescale=1 / 255, validation_split=0.25).flow_from_dataframe(table, folder, **options)
        for make in (augment.ImageDataGenerator, keras_generator)
    )
    first, second = capsys.readouterr().out.splitlines()
    assert first == second and ours.filenames == theirs.filenames
    if hasattr(theirs, "class_indices"):
        assert ours.class_indices == theirs.class_indices
        assert list(ours.classes) == list(theirs.classes)
    assert len(ours) == len(theirs) and ours.image_shape == theirs.image_shape
    for number in range(len(theirs)):
        for mine, other in zip(flat(ours[number]), flat(theirs[number]), strict=True):
            np.testing.assert_allclose(mine, other, atol=1e-6)


def flat(batch):
    """Return all arrays of a batch; Keras puts several targets into a list."""
    if isinstance(batch, np.ndarray):
        return [batch]
    return [array for part in batch for array in flat(part)]


def test_a_mapping_of_columns_is_a_table_too(folder, table):
    columns = {"filename": list(table["filename"]), "class": list(table["class"])}
    options = {"directory": folder, "target_size": (8, 8), "shuffle": False}
    ours, same = (
        augment.ImageDataGenerator().flow_from_dataframe(each, **options)
        for each in (columns, table)
    )
    for mine, other in zip(ours[0], same[0], strict=True):
        np.testing.assert_array_equal(mine, other)


def test_rows_without_an_image_are_told_and_left_out(folder, table):
    table.loc[[2, 5], "filename"] = ["absent.png", "notes.txt"]
    (folder / "notes.txt").write_text("not an image")
    flow = augment.ImageDataGenerator().flow_from_dataframe
    with pytest.warns(UserWarning, match="2 of 12 files in column 'filename'.*'absent.png' first"):
        found = flow(table, folder)
    assert found.samples == 10 and "absent.png" not in found.filenames
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = flow(table, folder, validate_filenames=False)
    assert kept.samples == 12


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"x_col": "file"}, "no column 'file', but filename, class"),
        ({"y_col": "label"}, "no column 'label'"),
        ({"y_col": "age"}, "column 'age', row 0: 0.0 is not a text or a list of them"),
        ({"x_col": "age"}, "column 'age', row 0: 0.0 is not a text"),
        ({"classes": ["cat", "bird"]}, "classes bird: column 'class' has none"),
        ({"classes": ["cat"], "class_mode": "binary"}, "'binary' needs two classes.*cat"),
        ({"class_mode": "multi"}, "class_mode must be one of"),
        ({"color_mode": "bgr"}, "color_mode must be one of"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_at_once(folder, table, options, told):
    with pytest.raises(ValueError, match=told):
        augment.ImageDataGenerator().flow_from_dataframe(table, folder, **options)
