"""Generated images as files: what is asked for, where it lies, and that nothing is lost."""

import dataclasses

import numpy as np
import pytest

from experiments import datasets
from experiments.generate.ask import Asked
from experiments.generate.export import export, folders, to_array
from experiments.place import Place
from experiments.training import generated


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(Place, "load_backend", lambda _: None)
    return Place(runs=tmp_path / "runs", cache_dir=tmp_path / "cache")


@pytest.mark.parametrize(
    ("asked", "labels"),
    [
        (Asked(images=6), [0, 1, 2, 3, 0, 1]),
        (Asked(per_class=2), [0, 1, 2, 3, 0, 1, 2, 3]),
        (Asked(images=3, of_class="c", seed=4), [2, 2, 2]),
        (Asked(per_class=2, of_class="1"), [1, 1]),
    ],
)
def test_files_are_the_images(asked, labels, maker, place, tmp_path):
    run, out = maker(), tmp_path / "out"
    found = export(run, asked, out, place)
    assert np.array_equal(to_array(out), generated.make(run, np.array(labels), asked.seed))
    lie_in = {path.name: path.parent.name for path in out.rglob("*.png")}
    assert lie_in == {f"{number:06}.png": "abcd"[label] for number, label in enumerate(labels)}
    assert found.images == len(labels) and found.folders == sorted(set(lie_in.values()))


def test_they_are_a_data_set_of_class_folders(maker, place, tmp_path):
    export(maker(), Asked(per_class=5), tmp_path / "out", place)
    options = {"data_dir": tmp_path / "out", "cache_dir": tmp_path / "cache", "channels": 1}
    data = datasets.load("folder", validation_share=0.2, **options)
    assert data.class_names == tuple("abcd") and len(data.train) == 16
    assert (data.train.images[:][:, 9, 9, 0] == 60 * data.train.labels).all()


def test_images_of_no_class_lie_in_the_folder_itself(maker, place, tmp_path):
    run = maker(conditional=False)
    found = export(run, Asked(images=3), tmp_path / "out", place)
    assert found.folders == [] and len(list((tmp_path / "out").glob("*.png"))) == 3
    for asked in (Asked(per_class=3), Asked(images=3, of_class="a")):
        with pytest.raises(ValueError, match="unconditional generator.*has no class"):
            export(run, asked, tmp_path / "other", place)


def test_names_that_no_file_may_have_are_told_apart(maker, stripes):
    ids = ("a/b", "a:b", "..", "con")
    run = maker(on=dataclasses.replace(stripes, class_ids=ids))
    assert folders(run) == ["0000_a_b", "0001_a_b", "0002__", "0003_con"]
    assert folders(maker("other")) == list("abcd")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "give one of them"),
        ({"images": 3, "per_class": 3}, "give one of them"),
        ({"images": 0}, "0 images asked for"),
        ({"images": 3, "seed": -1}, "seed .*-1"),
    ],
)
def test_what_is_asked_for_must_be_clear(fields, told):
    with pytest.raises(ValueError, match=told):
        Asked(**fields)


@pytest.mark.parametrize("name", ["e", "4", "-1", "²"])
def test_a_class_that_there_is_not_is_told(name, maker, place, tmp_path):
    with pytest.raises(ValueError, match=f"class .--class. {name!r}: .*from 0 to 3: a, b, c, d"):
        export(maker(), Asked(images=3, of_class=name), tmp_path / "out", place)
    assert not (tmp_path / "out").exists()


def test_a_run_that_makes_no_images_and_a_full_folder_are_refused(maker, make_run, place, tmp_path):
    plain = make_run(tmp_path / "plain", "quickstart/member_a", images=20, epochs=2)
    from experiments.runs import Run

    with pytest.raises(ValueError, match="plain is of kind train, which makes no images"):
        export(Run(plain), Asked(images=3), tmp_path / "out", place)
    with pytest.raises(ValueError, match="nowhere is no finished run"):
        export(Run(tmp_path / "nowhere"), Asked(images=3), tmp_path / "out", place)
    with pytest.raises(ValueError, match="is there already: give a new folder"):
        export(maker(), Asked(images=3), plain, place)
    (tmp_path / "empty").mkdir()
    assert export(maker(), Asked(images=3), tmp_path / "empty", place).images == 3
