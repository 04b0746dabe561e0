"""How long a run may train, what ended it, and what of its time is counted."""

import itertools
import types

import numpy as np
import pytest

from experiments import recipes
from experiments.runs import Run, names
from experiments.training import budget, callbacks, feed

# Four batches make an epoch.
STEPS = 6


class Seconds:
    """Stands for the module `time`: a second passes whenever it is asked for."""

    def __init__(self):
        self.perf_counter = itertools.count().__next__


@pytest.fixture
def cut_at_the_end(train, monkeypatch):
    """Train a row up to its final evaluation, and forbid that it is trained again."""

    def run(row, folder, data) -> Run:
        with monkeypatch.context() as patch:
            patch.setattr(Run, "write_model", _raise)
            with pytest.raises(RuntimeError, match="cut"):
                train(row, folder, data)
        monkeypatch.setattr(feed, "batches", _raise)
        return Run(folder)

    return run


def _raise(*_, **__) -> None:
    raise RuntimeError("cut")


@pytest.mark.backend
def test_training_ends_after_exactly_so_many_steps_and_no_cut_changes_that(
    parse, train, cut_at_the_end, assert_same, stripes, tmp_path
):
    row = parse(max_steps=STEPS, augment="C", epochs=5, early_stop={"patience": 9})
    unbroken = train(row, tmp_path / "unbroken", stripes)
    assert unbroken.metrics["ended_by"] == "max_steps" and unbroken.metrics["epochs"] == 2
    assert list(unbroken.history["images"]) == [64, 96]
    assert unbroken.metrics["images"] == 96
    assert np.isfinite(unbroken.history["val_top1"]).all()
    train(row, tmp_path / "broken", stripes, cut=2)
    broken = cut_at_the_end(row, tmp_path / "broken", stripes)
    with np.load(broken.state / "last.npz") as state:
        (counted,) = (state[key] for key in state.files if key.endswith("/iteration"))
    assert counted == STEPS
    (broken.path / names.HISTORY).unlink()
    assert_same(train(row, broken.path, stripes), unbroken)


@pytest.mark.parametrize(
    ("changes", "ended_by", "images"),
    [
        ({}, "epochs", [64, 128, 192]),
        ({"max_steps": 12}, "epochs", [64, 128, 192]),
        ({"max_steps": 100}, "epochs", [64, 128, 192]),
        ({"max_steps": 8}, "max_steps", [64, 128]),
        ({"max_steps": 1}, "max_steps", [16]),
        ({"early_stop": {"patience": 1, "min_delta": 100.0}}, "early_stop", [64, 128]),
        ({"early_stop": {"patience": 2, "min_delta": 100.0}}, "epochs", [64, 128, 192]),
    ],
)
def test_metrics_say_what_ended_a_run(changes, ended_by, images, parse, train, stripes, tmp_path):
    run = train(parse(**changes), tmp_path, stripes)
    assert run.metrics["ended_by"] == ended_by
    assert list(run.history["images"]) == images


def test_a_last_batch_that_holds_what_is_left_counts_as_what_it_holds():
    plan = feed.Plan(images=70, batch_size=16, seed=0)
    assert [plan.seen_in(steps) for steps in range(6)] == [0, 16, 32, 48, 64, 70]
    mixed = feed.Plan(images=30, batch_size=16, seed=0, extra=7, per_batch=4)
    assert [mixed.seen_in(steps) for steps in range(4)] == [0, 16, 32, 42]
    assert sum(map(len, mixed.epoch(0))) == mixed.seen == 42


# Hours ----------------------------------------------------------------------------------------


def test_training_ends_with_the_first_step_after_its_hours(
    parse, train, cut_at_the_end, stripes, tmp_path, monkeypatch
):
    """Asked once a step, at the epoch's end and for the state, the time is 6 s after an epoch."""
    monkeypatch.setattr(budget, "time", Seconds())
    row = parse(max_hours=8 / 3600)
    run = cut_at_the_end(row, tmp_path, stripes)
    run = train(row, run.path, stripes)
    assert run.metrics["ended_by"] == "max_hours"
    assert list(run.history["images"]) == [64, 96]


def test_hours_of_earlier_parts_count(parse, train, stripes, tmp_path, monkeypatch):
    monkeypatch.setattr(budget, "time", Seconds())
    row = parse(max_hours=8 / 3600, epochs=9)
    train(row, tmp_path, stripes, cut=2)
    run = train(row, tmp_path, stripes)
    assert run.metrics["ended_by"] == "max_hours"
    # The second part begins at 6 s, its second step is 2 s later.
    assert list(run.history["images"]) == [64, 96]


def test_hours_that_validation_uses_up_begin_no_other_epoch(
    parse, train, stripes, tmp_path, monkeypatch
):
    monkeypatch.setattr(budget, "time", Seconds())
    run = train(parse(max_hours=5 / 3600), tmp_path, stripes)
    assert run.metrics["ended_by"] == "max_hours"
    assert list(run.history["images"]) == [64]


# The whole time -------------------------------------------------------------------------------


def test_the_whole_time_holds_that_of_the_epochs_and_of_earlier_parts(
    parse, train, finished, stripes, tmp_path, monkeypatch
):
    assert finished.metrics["wall_seconds"] > finished.metrics["seconds"]
    with monkeypatch.context() as patch:
        patch.setattr(callbacks.Stopwatch, "state", lambda watch: {"earlier": 1e6})
        train(parse(), tmp_path, stripes, cut=2)
    assert 1e6 < train(parse(), tmp_path, stripes).metrics["wall_seconds"] < 2e6


def test_a_stopwatch_goes_on_from_what_it_showed(monkeypatch):
    monkeypatch.setattr(callbacks, "time", Seconds())
    first, second = callbacks.Stopwatch(), callbacks.Stopwatch()
    assert first.state() == {"earlier": 2.0}
    second.restore({"earlier": 10.0})
    assert second.seconds == 12.0


# What a row may say ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields", [{"max_steps": 0}, {"max_steps": 1.5}, {"max_hours": 0}, {"max_hours": "2"}]
)
def test_a_budget_is_more_than_nothing(fields, parse):
    with pytest.raises(ValueError, match=f"{next(iter(fields))}: "):
        parse(**fields)


def test_experts_have_their_own_epochs_not_the_budget_of_the_clean_run(tmp_path, parse):
    from experiments.ensembles import parts

    clean = types.SimpleNamespace(row=parse(max_steps=9, max_hours=1), model_file="model")
    fields = {"recipe": "test/experts", "kind": "experts", "member": "tiny", "epochs": 2}
    row = recipes.parse(fields | {"data": {"name": "stripes"}, "experts": 2}, "test")
    expert = parts._expert(row, clean, tmp_path, 1, [0, 1])
    assert (expert.epochs, expert.max_steps, expert.max_hours) == (2, None, None)
