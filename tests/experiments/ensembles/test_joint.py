"""Joint training: the weights by hand, the collapse, and runs like any other."""

import json
import math

import keras
import numpy as np
import pytest

import stacking
import zoo
from experiments import plan
from experiments.ensembles import correctness, joint
from experiments.place import Place
from experiments.recipes import fitting
from experiments.runs import Run
from experiments.training.predict import predict_probs
from stacking.joint import SAID

pytestmark = pytest.mark.backend

NET = {"name": "alphanet_v4", "filters": [4, 4], "kernels": [3, 3], "pools": [True, True]}
GROWTH = 0.5
FIELDS = {
    "kind": "joint",
    "members": {"wide": {**NET, "dense": 16}, "narrow": {**NET, "dense": 2}},
    "growth": GROWTH,
    "share": {"holdout": 0.0},
    "keep": "last",
    "data": {"name": "digits"},
    "batch_size": 128,
    "epochs": 3,
    "jit": "auto",
    "precision": "float32",
    "optimizer": {"name": "adam", "learning_rate": 0.02},
}


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Place:
    return Place(runs=tmp_path_factory.mktemp("joint"))


@pytest.fixture(scope="module")
def row(a_row):
    return a_row("joint", **FIELDS)


@pytest.fixture(scope="module")
def made(row, here) -> Run:
    joint.run(row, here.runs / "joint", here)
    return Run(here.runs / "joint")


def test_weights_grow_as_calculated_by_hand():
    """Of four images the first member gets three right, the second one; mixed labels count too."""
    targets = correctness.Together(fitting.Loss(), ["a", "b"], growth=2.0)
    labels, classes = np.array([0, 1, 2, 0]), 3
    decided = np.array([[0, 1, 2, 1], [1, 1, 0, 2]])
    said = np.eye(classes)[decided].transpose(1, 0, 2)
    outputs = np.concatenate([said[:, :1], said], axis=1).astype("float32")
    weights = np.array([0.25, 0.75], "float32")
    grown = keras.ops.convert_to_numpy(targets.grown(weights, labels, outputs))
    expected = weights * np.exp([2 * 3 / 4, 2 * 1 / 4])
    np.testing.assert_allclose(grown, expected / expected.sum(), rtol=1e-6)
    shares = np.array([1.0, 0.2, 1.0, 0.9])
    mixed = np.stack([labels, [2, 0, 1, 1], shares], axis=1).astype("float32")
    both = correctness.Together(fitting.Loss(), ["a", "b"], growth=2.0, mixed=True)
    # The second image shows class 0 for the most part, which neither says.
    expected = weights * np.exp([2 * 2 / 4, 0])
    grown = keras.ops.convert_to_numpy(both.grown(weights, mixed, outputs))
    np.testing.assert_allclose(grown, expected / expected.sum(), rtol=1e-6)


@pytest.mark.parametrize(
    ("weights", "left"),
    [([0.25] * 4, 4), ([1, 0, 0], 1), ([0.5, 0.5, 0], 2), ([2, 2], 2)],
)
def test_effective_members(weights, left):
    assert stacking.effective_members(np.array(weights)) == pytest.approx(left)


def test_the_weights_collapse_onto_the_member_that_is_right_more_often(made, row):
    history = made.check().history
    assert list(history["weight_wide"] + history["weight_narrow"]) == pytest.approx([1, 1, 1])
    assert history["effective_members"][0] > history["effective_members"][-1]
    assert history["weight_wide"][-1] > 0.9
    assert (history["top1_wide"] > history["top1_narrow"]).all()
    # Each step has the factor exp(growth * share of right ones). The last batch of an epoch is a
    # step as any other, but with fewer images it counts less in the epoch's accuracy.
    steps = math.ceil(made.dataset["train"] / row.batch_size)
    lead = (history["top1_wide"] - history["top1_narrow"]) / 100
    expected = GROWTH * steps * lead.sum()
    found = np.log(history["weight_wide"][-1] / history["weight_narrow"][-1])
    assert found == pytest.approx(expected, rel=0.05)


def test_equal_weights_stay_equal(row, here):
    equal = row.model_copy(update={"weights": "equal", "epochs": 1})
    joint.run(equal, here.runs / "equal", here)
    run = Run(here.runs / "equal")
    assert run.history["weight_wide"] == pytest.approx(0.5, abs=1e-6)
    assert run.metrics["effective_members"] == pytest.approx(2)


def test_it_is_a_run_like_any_other_with_its_members_told(made, digits):
    metrics, model = made.metrics, zoo.load(made.model_file)
    assert metrics["kind"] == "joint" and metrics["model"] == "wide+narrow"
    probs = predict_probs(model, digits.validation.images)
    np.testing.assert_array_equal(made.probs, probs)
    each = keras.Model(model.input, model.get_layer(SAID).output)
    said, weights = predict_probs(each, digits.validation.images), stacking.weights_of(model)
    # float32 through a logarithm and back
    np.testing.assert_allclose(probs, np.einsum("nmc,m->nc", said, weights), atol=1e-6)
    members = {member["name"]: member for member in metrics["members"]}
    assert list(members) == ["wide", "narrow"]
    for place, (name, member) in enumerate(members.items()):
        right = said[:, place].argmax(axis=1) == digits.validation.labels
        assert member["top1"] == pytest.approx(100 * right.mean())
        assert member["top1"] == pytest.approx(made.history[f"val_top1_{name}"][-1], abs=1e-3)
        assert member["weight"] == pytest.approx(made.history[f"weight_{name}"][-1], rel=1e-5)
    of_members = sum(member["parameters"] for member in members.values())
    assert metrics["parameters"] == metrics["trainable"] + 2 == of_members + 2


def test_a_run_that_was_cut_off_ends_like_an_unbroken_one(made, row, here, told):
    folder = here.runs / "cut"
    with pytest.raises(RuntimeError, match="cut"):
        joint.run(row, folder, here, told(lambda texts: texts[-1].startswith("epoch 2 of")))
    assert not Run(folder).finished
    joint.run(row, folder, here)
    ours, theirs = (zoo.load(run.model_file).get_weights() for run in (Run(folder), made))
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    for key in made.history:
        if key not in ("seconds", "images_per_second"):
            np.testing.assert_array_equal(made.history[key], Run(folder).history[key], key)


def test_a_stack_or_a_student_can_ask_it(made):
    model, images = zoo.load(made.model_file), np.zeros((2, *made.dataset["image_shape"]), "uint8")
    said = stacking.frozen_member(model, "logits", "teacher").predict_on_batch(images)
    probs = np.asarray(model.predict_on_batch(images))
    np.testing.assert_allclose(np.exp(said), probs, rtol=1e-5)


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"one": NET}, "at least 2"),
        ({"one": NET, "two": {"name": "alphanet"}}, "members.two: .*alphanet"),
        ({"one": NET, "two": {**NET, "classes": 3}}, "members.two: classes cannot be set"),
    ],
)
def test_members_are_networks_two_at_least(members, told, a_row):
    with pytest.raises(ValueError, match=told):
        a_row("joint", **FIELDS | {"members": members})


def test_no_two_variables_share_a_path(row, digits):
    """Where they do, Keras on torch adds up gradients of several steps of all but one of them."""
    paths = [variable.path for variable in joint.build(row, digits).trainable_variables]
    assert len(paths) == len(set(paths))


def test_names_that_the_graph_needs_are_refused(a_row, digits):
    row = a_row("joint", **FIELDS | {"members": {"logits": NET, "two": NET}})
    with pytest.raises(ValueError, match="members are called logits"):
        joint.build(row, digits)


def test_weights_of_members_are_looked_for_before_anything_runs(a_row, here):
    missing = {"one": NET, "two": {**NET, "weights": "nowhere.keras"}}
    row = a_row("joint", **FIELDS | {"members": missing})
    with pytest.raises(ValueError, match=r"no file nowhere\.keras"):
        plan.one(row, here.runs / "missing", here)


def test_metrics_can_be_read_as_json(made):
    found = json.loads((made.path / "metrics.json").read_text())
    assert found["effective_members"] == pytest.approx(made.history["effective_members"][-1], 1e-5)
