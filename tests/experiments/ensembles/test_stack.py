"""Stacks of finished runs: what they leave, what they go on from, whom they are fitted on."""

import shutil

import numpy as np
import pytest

import stacking
import zoo
from experiments import executor, plan, recipes
from experiments.ensembles import stack as stacks
from experiments.runs import Run
from experiments.training import train
from experiments.training.predict import predict_probs


@pytest.fixture
def row(a_row):
    """A stack of the three members."""
    return a_row("stack", kind="stack", members=["m0", "m1", "m2"], head=[16], epochs=2)


def weights(model):
    return [variable.copy() for variable in model.get_weights()]


def same(ours, theirs):
    return all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


# What it leaves ----------------------------------------------------------------------------------


@pytest.mark.backend
def test_members_are_bit_equal_before_and_after(stack, members):
    inside = stacking.members_of(zoo.load(stack.model_file))
    assert list(inside) == ["m0", "m1", "m2"]
    for run, member in zip(members, inside.values(), strict=True):
        assert same(weights(member), weights(zoo.load(run.model_file)))


def test_a_stack_is_a_run_like_any_other(stack, members, digits):
    run, metrics = stack.check(), stack.metrics
    assert metrics["kind"] == "stack" and metrics["model"] == "m0+m1+m2"
    # A deviation is 2 points; the members alone reach about 90.
    assert metrics["top1"] > 60 and metrics["n"] == len(digits.validation)
    assert len(run.history["epoch"]) == metrics["epochs"] == 4
    assert metrics["keep"] == "best" and metrics["last_top1"] == pytest.approx(
        run.history["val_top1"][-1], abs=1e-3
    )
    # The head: 3 x 10 probabilities, 16 hidden units, 10 classes, with biases.
    head = 31 * 16 + 17 * 10
    assert metrics["trainable"] == head
    assert metrics["parameters"] == head + sum(member.metrics["parameters"] for member in members)
    for member, told in zip(members, metrics["members"], strict=True):
        known = {key: member.metrics[key] for key in ("top1", "top3", "top5", "parameters")}
        assert told == {"name": member.name, "run": str(member), "changed": []} | known
    probs = predict_probs(zoo.load(run.model_file), digits.validation.images)
    np.testing.assert_array_equal(run.probs, probs)
    assert not run.state.exists()


def test_it_is_told_in_what_members_differ_from_the_paper_s(write_member, place, a_row, tmp_path):
    """Once for the stack, whose metrics keep it, and for those that it is of no use to."""
    fields = recipes.load("quickstart/member_a").model_dump(exclude_none=True)
    folder = write_member(tmp_path / "member_0", "member_0", **fields | {"epochs": 1}).path
    row = a_row("changed", kind="stack", members=[str(folder)], head=[], epochs=1)
    metrics = stacks.run(row, tmp_path / "stack", place)
    assert metrics["members"][0]["changed"] == ["epochs: 24 -> 1"]


def test_a_finished_stack_is_not_repeated(stack, place, monkeypatch):
    monkeypatch.setattr(stacking, "stack", lambda *_, **__: pytest.fail("stacked again"))
    assert stacks.run(stack.row, stack.path, place) == stack.metrics
    other = stack.row.model_copy(update={"epochs": 9})
    with pytest.raises(ValueError, match=r"another recipe \(epochs: 4 -> 9\)"):
        stacks.run(other, stack.path, place)


# The head ----------------------------------------------------------------------------------------


@pytest.mark.backend
@pytest.mark.parametrize("hidden", [[], [16, 8]])
def test_the_head_begins_as_its_seed_says(hidden, row, place, members, digits, tmp_path):
    """A rate that is 0 in float32. A linear head begins as the mean of the members."""
    still = {"optimizer": recipes.fitting.Optimizer(name="sgd", learning_rate=1e-60)}
    row = row.model_copy(update=still | {"head": hidden, "seed": 5, "epochs": 1})
    stacks.run(row, tmp_path / "run", place)
    made = zoo.load(Run(tmp_path / "run").model_file)
    loaded = {run.name: zoo.load(run.model_file) for run in members}
    begun = stacking.stack(loaded, classes=10, on="probs", head=tuple(hidden), seed=5)
    assert same(weights(stacking.head_of(made)), weights(stacking.head_of(begun)))
    if not hidden:
        mean = stacking.vote(np.stack([run.probs for run in members], axis=1), "mean")
        expected = np.exp(mean) / np.exp(mean).sum(axis=1, keepdims=True)
        # float32 products of ten numbers
        np.testing.assert_allclose(Run(tmp_path / "run").probs, expected, atol=1e-6)


def test_the_best_head_is_kept_or_the_last_and_that_is_recorded(row, place, tmp_path):
    """At such a rate the head of a later epoch is worse than the best."""
    wild = {"optimizer": recipes.fitting.Optimizer(name="sgd", learning_rate=5.0), "epochs": 6}
    found = {}
    for keep in ("best", "last"):
        asked = row.model_copy(update=wild | {"keep": keep})
        found[keep] = stacks.run(asked, tmp_path / keep, place)
        history = Run(tmp_path / keep).history["val_top1"]
        kept = history.max() if keep == "best" else history[-1]
        assert found[keep]["keep"] == keep
        assert found[keep]["top1"] == pytest.approx(kept, abs=1e-3)
    assert found["best"]["top1"] > found["last"]["top1"]
    assert found["best"]["last_top1"] == pytest.approx(found["last"]["top1"], abs=1e-3)


def test_a_head_is_fitted_on_images_that_the_members_held_out(row, place, digits, told, tmp_path):
    listener = told()
    stacks.run(row, tmp_path / "held", place, listener)
    held = len(digits.holdout(0.2)[1])
    assert f"head on {held} images, 1 views each" in listener.texts


def test_a_head_on_the_members_own_images_warns_and_takes_views(row, place, digits, told, tmp_path):
    own, listener = {"fit_on": "train", "augment": "C", "views": 2}, told()
    with pytest.warns(UserWarning, match="fit_on='train'"):
        stacks.run(row.model_copy(update=own), tmp_path / "run", place, listener)
    assert f"head on {len(digits.holdout(0.2)[0].train):,} images, 2 views each" in listener.texts
    assert Run(tmp_path / "run").samples["augmented"].shape == (6, 5, 32, 32, 3)


@pytest.mark.backend
def test_a_fresh_view_in_every_epoch_is_as_many_views_as_epochs(row, place, digits, told, tmp_path):
    """Cut off between two passes, it goes on with the next one, and ends bit-equal."""
    many = row.model_copy(update={"augment": "C", "epochs": 3})
    stacks.run(many.model_copy(update={"views": 3}), tmp_path / "three", place)
    fresh, folder = many.model_copy(update={"views": "fresh"}), tmp_path / "fresh"

    def third_view(texts: list[str]) -> bool:
        return texts[-1].endswith("view 2")

    with pytest.raises(RuntimeError, match="cut"):
        stacks.run(fresh, folder, place, told(third_view))
    listener = told()
    stacks.run(fresh, folder, place, listener)
    passes = [text for text in listener.texts if text.startswith("m0, m1, m2, view")]
    assert passes == ["m0, m1, m2, view 2"]
    held = len(digits.holdout(0.2)[1])
    size = 4 * held * 30 * 3 / 1e9
    head = f"head on {held} images, a fresh view in each epoch: {size:.2g} GB of outputs"
    assert any(text.startswith(head) for text in listener.texts)
    models = [zoo.load(Run(tmp_path / name).model_file) for name in ("three", "fresh")]
    assert same(*map(weights, models))


def test_a_cut_stack_goes_on_from_its_members_outputs(row, place, tmp_path, monkeypatch):
    stacks.run(row, tmp_path / "whole", place)

    def cut(*_):
        raise RuntimeError("cut")

    folder, times = tmp_path / "cut", []
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="cut"):
        patch.setattr(Run, "write_model", cut)
        stacks.run(row, folder, place)
    assert not Run(folder).finished

    def noted():
        return {path.name: path.stat().st_mtime_ns for path in Run(folder).state.iterdir()}

    kept, write = noted(), Run.write_model
    monkeypatch.setattr(Run, "write_model", lambda *a: times.append(noted()) or write(*a))
    stacks.run(row, folder, place)
    # One file for each member's outputs of the held-out images, one of the validation images.
    assert times == [kept] and len(kept) == 6
    models = [zoo.load(Run(tmp_path / name).model_file) for name in ("whole", "cut")]
    assert same(*map(weights, models))
    np.testing.assert_array_equal(Run(folder).probs, Run(tmp_path / "whole").probs)


# Members -----------------------------------------------------------------------------------------


def test_members_are_given_as_folders_and_told_apart_by_them(row, place, members, tmp_path):
    names = place.names(row, [member.path for member in members])
    assert names == ["m0", "m1", "m2"]
    twin = shutil.copytree(members[0].path, tmp_path / "twin")
    names = place.names(row, [members[0].path, twin])
    given = recipes.kinds.with_needed(row, names)
    assert given.members == ["m0", str(twin)]
    metrics = executor.carry_out(plan.one(given, tmp_path / "run", place), place)
    # The rows of both are called m0.
    assert [member["name"] for member in metrics["members"]] == ["m0", "twin"]
    with pytest.raises(ValueError, match="two have the same name; give folders .* each once"):
        stacks.run(row.model_copy(update={"members": ["m0", "m0"]}), tmp_path / "two", place)


def test_no_stack_trains_its_members(row, place, tmp_path, monkeypatch):
    for name in ("run", "train"):
        monkeypatch.setattr(train, name, lambda *_, **__: pytest.fail("a row was trained"))
    assert executor.carry_out(plan.one(row, tmp_path / "run", place), place)["epochs"] == 2
