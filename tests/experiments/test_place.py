"""Where the data, its cache and the runs lie."""

import pathlib

import pytest

from experiments import recipes
from experiments.place import Place
from experiments.recipes import Images

ROW = recipes.load("quickstart/stack")
PLACE = Place(runs=pathlib.Path("somewhere"))


def test_a_row_s_folder_bears_its_name():
    assert PLACE.folder(ROW) == pathlib.Path("somewhere/quickstart/stack")
    assert Place().folder(ROW) == pathlib.Path("runs/quickstart/stack")


def test_a_run_is_named_by_its_row_or_its_folder():
    assert PLACE.named(ROW, "member_a") == pathlib.Path("somewhere/quickstart/member_a")
    assert PLACE.named(ROW, "./member_a") == pathlib.Path("member_a")
    assert PLACE.named(ROW, "/runs/x") == pathlib.Path("/runs/x")


def test_folders_are_called_by_their_rows_where_these_lie_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = ["somewhere/quickstart/member_b", "elsewhere/member_a", "member_c"]
    named = PLACE.names(ROW, [*map(pathlib.Path, folders), tmp_path / folders[0]])
    assert named == ["member_b", "elsewhere/member_a", "./member_c", "member_b"]
    back = [PLACE.named(ROW, name) for name in named[:3]]
    assert [folder.resolve() for folder in back] == [tmp_path / folder for folder in folders]


@pytest.mark.parametrize(
    ("name", "data_dir", "has"),
    [
        ("digits", None, True),
        ("tiny_imagenet", None, False),
        ("tiny_imagenet", pathlib.Path("x"), True),
        ("folder", None, False),
        ("folder", pathlib.Path("x"), True),
    ],
)
def test_images_are_there_when_built_in_or_their_folder_is_named(name, data_dir, has):
    assert Place(data_dir=data_dir).has(Images(name=name)) == has


def test_images_that_cannot_be_had_are_told(tmp_path):
    Place().check(Images(name="digits"))
    with pytest.raises(ValueError, match="--data-dir"):
        Place().check(Images(name="tiny_imagenet"))
    with pytest.raises(ValueError, match="no data set 'digit'; did you mean digits"):
        Place().check(Images(name="digit"))
    with pytest.raises(ValueError, match=f"leave out data_dir .* {tmp_path}"):
        Place(data_dir=tmp_path).check(Images(name="digits"))


def test_images_are_resized_as_they_say():
    data = Place().dataset(Images(name="digits", size=28, resample="nearest"))
    assert data.image_shape == (28, 28, 3)
