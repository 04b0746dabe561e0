"""Where the time of a step goes: what is counted, and that nothing is left out."""

import math

import keras
import numpy as np
import pytest

import zoo
from experiments import recipes
from experiments.bench import _calls, profile
from experiments.place import Place

ROW = {
    "recipe": "test/tiny",
    "data": {"name": "digits"},
    "model": {"name": "alphanet_v4", "filters": [4, 4], "kernels": [3, 3], "pools": [True, True]},
    "augment": "A",
    "jit": False,
    "precision": "float32",
    "batch_size": 8,
    "epochs": 1,
}


@pytest.fixture
def network() -> keras.Model:
    return zoo.build("alphanet_v4", input_shape=(32, 32, 3), classes=10, filters=(4,) * 5, dense=8)


@pytest.fixture(autouse=True)
def small_matrices(monkeypatch):
    monkeypatch.setattr(profile, "_LARGEST", 256)


@pytest.mark.backend
def test_a_step_is_divided_into_parts_that_add_up():
    rows = profile.run(recipes.parse(ROW, "test"), Place(), repeats=1)
    parts = {row["part"]: row for row in rows}
    step = parts["step"]
    assert step["images"] == "digits" and step["precision"] == "float32" and step["batch"] == 8
    assert step["images_s"] == pytest.approx(8e3 / step["ms"])
    assert parts["Conv2D 3x3"]["layers"] == 2 and parts["normalization"]["layers"] == 4
    assert {"Dense", "pooling", "dropout", "activation", "optimizer"} <= parts.keys()
    assert {"(beside) reading", "(beside) augmentation"} <= parts.keys()
    inside = [row["ms"] for row in rows[1:] if not row["part"].startswith("(")]
    assert sum(inside) == pytest.approx(step["ms"])
    top = parts["(peak) float32"]
    assert top["gflop_s"] > 0 and top["of_peak"] == pytest.approx(100) and top["ms"] == ""
    conv = parts["Conv2D 3x3"]
    assert conv["of_peak"] == pytest.approx(100 * conv["gflop_s"] / top["gflop_s"])
    assert conv["percent"] == pytest.approx(100 * conv["ms"] / step["ms"])


def test_without_images_there_is_noise_of_their_size(monkeypatch):
    monkeypatch.setattr(Place, "dataset", None)
    row = recipes.parse(ROW | {"data": {"name": "mnist"}, "augment": None}, "test")
    (step, *rest) = profile.run(row, Place(), repeats=1)
    assert (step["images"], step["size"]) == ("noise", "28x28x1")
    assert "(beside) augmentation" not in {row["part"] for row in rest}
    with pytest.raises(ValueError, match="the size of folder is not known: give its images"):
        profile.run(recipes.parse(ROW | {"data": {"name": "folder"}}, "test"), Place())


def test_a_row_without_a_network_is_refused():
    with pytest.raises(ValueError, match="laptop/mode trains no network of its own"):
        profile.run(recipes.load("laptop/mode"), Place())
    with pytest.raises(ValueError, match="--repeats"):
        profile.run(recipes.parse(ROW, "test"), Place(), repeats=0)


def test_calls_are_all_of_a_network_and_know_where_gradients_end(network):
    found = _calls.calls(network)
    parameters, macs = zoo.profile(network)
    assert sum(call.macs for call in found) == macs
    convolutions = [call for call in found if call.part.startswith("Conv2D")]
    factors = [call.flop(1) / call.macs for call in convolutions]
    # Nothing is learned before the first: no gradient of its images is needed.
    assert factors == [4, 6, 6, 6, 6]


@pytest.mark.backend
def test_equal_calls_are_one_case_and_others_are_not(network):
    first, second, *_ = [call for call in _calls.calls(network) if call.part == "normalization"]
    assert first.same() != second.same()  # maps of another size
    again = _calls.calls(keras.models.clone_model(network))
    assert first.same() in {call.same() for call in again}


@pytest.mark.backend
def test_a_call_alone_gives_the_gradients_of_what_it_learns(network):
    call = next(call for call in _calls.calls(network) if call.macs and any(call.learns))
    found = [
        np.asarray(keras.ops.convert_to_numpy(x)) for x in _leaves(_calls.training_step(call, 2)())
    ]
    expected = [(2, *call.inputs[0].shape[1:])] + [w.shape for w in call.operation.weights]
    assert sorted(x.shape for x in found) == sorted(map(tuple, expected))
    assert all(np.isfinite(x).all() and math.fsum(np.abs(x).ravel()) > 0 for x in found)


def _leaves(found) -> list:
    return [x for one in found for x in (_leaves(one) if isinstance(one, list | tuple) else [one])]
