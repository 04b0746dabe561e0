"""Weights as they come with the zoo."""

import numpy as np
import pytest
from PIL import Image

import zoo
from experiments import recipes
from experiments.runs import Run
from experiments.studies import predict, ship
from experiments.training import train
from zoo import _shipped

ROW = {
    "kind": "train",
    "recipe": "test/sprint",
    "data": {"name": "digits"},
    "model": {"name": "sprint_s"},
    "epochs": 1,
    "share": {"holdout": 0.9},
    "precision": "float32",
}


@pytest.fixture
def shipped(place, tmp_path, monkeypatch):
    """Return a run of one epoch and the folder with what was shipped of it."""
    row = recipes.parse(ROW, "here")
    train.run(row, tmp_path / "run", place)
    monkeypatch.setattr(_shipped, "FOLDER", tmp_path / "weights")
    run = Run(tmp_path / "run")
    return run, ship.ship(run, place, tmp_path / "weights")


def test_weights_come_with_a_card_and_name_images(shipped, tmp_path):
    run, file = shipped
    assert file.name == "sprint_s-digits.safetensors"
    card = file.with_suffix(".md").read_text()
    assert "| plain |" in card and "| with mirror" in card
    assert run.dataset["digest"]["train"] in card
    file.rename(file.with_name("sprint_s-cifar10.safetensors"))  # a name that the zoo knows
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(tmp_path / "a.png")
    (told,) = predict.predict(zoo.shipped("sprint_s"), [tmp_path / "a.png"])
    assert set(told.classes) <= set(run.dataset["class_names"])
    assert told.size == (32, 32)
    assert not told.assumed
    (by_run,) = predict.predict(run.path, [tmp_path / "a.png"])
    np.testing.assert_allclose(told.probs, by_run.probs, atol=5e-3)  # float16


def test_a_network_with_overrides_is_refused(place, make_run, tmp_path):
    row = recipes.parse(ROW | {"model": {"name": "sprint_s", "widths": [8, 8]}}, "here")
    make_run(tmp_path / "run", row, epochs=2, images=20)
    with pytest.raises(ValueError, match="is no network of the zoo as `build` makes it: sprint_s"):
        ship.ship(Run(tmp_path / "run"), place, tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


@pytest.mark.parametrize("field", [{"crop": "boxes"}, {"background": "white"}], ids=str)
def test_what_a_file_cannot_become_is_refused(field, place, make_run, tmp_path):
    """Weights that come with the zoo are asked about files with nothing but a filter known."""
    row = recipes.parse(ROW | {"data": ROW["data"] | field}, "here")
    make_run(tmp_path / "run", row, epochs=2, images=20)
    with pytest.raises(ValueError, match="weights that come with the zoo are asked about whole im"):
        ship.ship(Run(tmp_path / "run"), place, tmp_path / "weights")
