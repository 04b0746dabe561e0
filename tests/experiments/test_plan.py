"""Rows in the order of what they need, carried out by an executor that only takes notes."""

import dataclasses
import pathlib

import pytest

from experiments import plan, progress, recipes
from experiments.plan import Done
from experiments.runs import names


def _order(steps: list[plan.Step]) -> list[str]:
    return [step.row.name for step in steps]


# The order ------------------------------------------------------------------------------------


def test_needs_come_before_rows_each_once(place):
    steps = plan.make(["quickstart/stack", "quickstart"], place)
    assert _order(steps) == ["member_a", "member_b", "member_c", "stack"]
    assert steps[-1].needs == tuple(place.runs / f"quickstart/member_{x}" for x in "abc")
    assert steps[0].folder == place.runs / "quickstart/member_a" and not steps[0].needs


def test_all_rows_of_every_paper_can_be_planned(place, monkeypatch):
    monkeypatch.setattr("zoo.check", lambda **_: None)  # weights may need a package more
    for paper in recipes.papers():
        steps = plan.make([paper], place)
        assert {step.row.name for step in steps} == set(recipes.rows(paper))
        done = set()
        for step in steps:
            assert set(step.needs) <= done, step.row.recipe
            done.add(step.folder)


def test_a_student_comes_after_the_members_of_its_teacher(place, write):
    files = [
        write("student", distill={"teacher": "both"}),
        write("both", kind="stack", members=["a", "b"], epochs=2, fit_on="train"),
        write("a"),
        write("b"),
    ]
    assert _order(plan.make(files, place)) == ["a", "b", "both", "student"]
    files = [write("split", kind="experts", member="a", experts=2, epochs=1), write("a")]
    assert _order(plan.make(files, place)) == ["a", "split"]


def test_a_folder_that_is_spelled_in_two_ways_is_one(place, write, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    both = write("both", kind="stack", members=["./runs/test/a", "b"], epochs=2, fit_on="train")
    steps = plan.make([both, write("a"), write("b")], place)
    assert _order(steps) == ["a", "b", "both"]
    assert steps[-1].needs == tuple(step.folder for step in steps[:2])


def test_circles_are_refused(place, write):
    files = [
        write(one, kind="stack", members=[other], epochs=1, fit_on="train")
        for one, other in (("a", "b"), ("b", "c"), ("c", "a"))
    ]
    with pytest.raises(ValueError, match="test/a needs itself: .*test/a -> .*test/b -> .*test/c"):
        plan.make(files, place)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("alphanett", "no recipes for paper 'alphanett'; did you mean alphanet"),
        ("quickstart/member_d", "no row 'member_d'; did you mean member_"),
        ("nowhere.yaml", "no recipe file nowhere.yaml"),
    ],
)
def test_rows_that_there_are_not_are_refused(name, told, place):
    with pytest.raises(ValueError, match=told):
        plan.make(["quickstart", name], place)


def test_members_that_there_are_not_are_told_with_their_row(place, write):
    stack = {"kind": "stack", "epochs": 1, "fit_on": "train"}
    with pytest.raises(ValueError, match="test/one: nowhere/run is no run's folder"):
        plan.make([write("one", members=["nowhere/run"], **stack)], place)
    with pytest.raises(ValueError, match="no recipes for paper 'test'"):
        plan.make([write("one", members=["other"], **stack)], place)


def test_two_rows_of_one_folder_are_refused(place, write):
    first = write("one", epochs=2)
    second = pathlib.Path(first).rename(pathlib.Path(first).with_name("first.yaml"))
    with pytest.raises(ValueError, match="test/one is another row's"):
        plan.make([str(second), write("one", epochs=3)], place)
    assert len(plan.make([str(second), str(second)], place)) == 1


# --set ----------------------------------------------------------------------------------------


def test_a_paper_s_rows_are_changed_where_they_have_the_field(place):
    steps = plan.make(["laptop"], place, {"share.holdout": 0.3, "tap": "probs"})
    rows = {step.row.name: step.row for step in steps}
    assert rows["ghostnet"].share.holdout == rows["experts"].share.holdout == 0.3
    assert rows["stack"].tap == "probs" and not hasattr(rows["mode"], "tap")


def test_a_field_that_no_row_has_is_refused(place):
    with pytest.raises(ValueError, match="--set rule: no row of quickstart has that field"):
        plan.make(["quickstart"], place, {"rule": "mean", "epochs": 3})


def test_of_rows_only_those_named_are_changed(place):
    steps = plan.make(["quickstart/member_b", "quickstart/stack"], place, {"epochs": 3})
    assert _epochs(steps) == {"member_a": 24, "member_b": 3, "member_c": 24, "stack": 3}


def _epochs(steps: list[plan.Step]) -> dict[str, int]:
    return {step.row.name: step.row.epochs for step in steps}


# What lies there already ----------------------------------------------------------------------


def test_finished_rows_are_skipped_and_told(place, finish, notes, hearing):
    finish("quickstart/member_a")
    finish("quickstart/member_c")
    steps = plan.make(["quickstart"], place)
    assert [step.status for step in steps] == ["finished", "to run", "finished", "to run"]
    executor = notes()
    outcome = progress.run(steps, executor, place, hearing)
    assert executor.done == ["member_b", "stack"] and executor.closed
    assert [run.name for run in outcome.runs] == _order(steps) and not outcome.failed
    assert [text.partition(":")[0] for text in hearing.said] == [
        str(place.runs / f"quickstart/member_{x}") for x in "ac"
    ]
    assert all("already finished, 2026-11-21T10:00, on digits" in text for text in hearing.said)
    again = progress.run(plan.make(["quickstart"], place), executor, place)
    assert len(again.runs) == 4 and len(executor.done) == 2


@pytest.mark.parametrize("finished", [True, False])
def test_a_folder_of_another_recipe_is_refused_before_anything_runs(finished, place, finish):
    folder = finish("quickstart/member_b")
    if not finished:
        (folder / names.METRICS).unlink()
    with pytest.raises(ValueError, match=r"begun with another recipe \(epochs: 24 -> 3\)"):
        plan.make(["quickstart/member_a", "quickstart/member_b"], place, {"epochs": 3})


def test_members_stay_as_they_were_begun(place, finish):
    """They are not named: their own recipe counts, and what the stack needs follows from it."""
    finish(recipes.load("quickstart/member_a", {"epochs": 7}))
    steps = plan.make(["quickstart/stack"], place)
    assert _epochs(steps) == {"member_a": 7, "member_b": 24, "member_c": 24, "stack": 40}
    finish(recipes.load("quickstart/member_b", {"share.holdout": 0.1}))
    with pytest.raises(ValueError, match="train them with the same share"):
        plan.make(["quickstart/stack"], place)


def test_a_finished_run_of_another_backend_or_other_images_is_refused(
    place, finish, notes, monkeypatch
):
    finish("quickstart/member_a")
    steps = plan.make(["quickstart/member_a"], place)
    with pytest.raises(ValueError, match="begun on tensorflow, this is jax"):
        progress.run(steps, notes(), dataclasses.replace(place, backend="jax"))
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(ValueError, match="begun on tensorflow, this is torch"):
        progress.run(steps, notes(), place)


def test_data_that_is_not_there_is_told_before_anything_runs(place, notes):
    executor, steps = notes(), plan.make(["quickstart/member_a", "laptop/alphanet"], place)
    with pytest.raises(ValueError, match="--data-dir"):
        progress.run(steps, executor, place)
    assert not executor.done and not place.runs.exists()


def test_folders_that_cannot_be_written_are_told_before_anything_runs(place, notes):
    place.runs.write_text("a file")
    executor, steps = notes(), plan.make(["quickstart"], place)
    with pytest.raises(ValueError, match="a file stands where a folder is needed"):
        progress.run(steps, executor, place)
    assert not executor.done


# Images and shares that do not fit ------------------------------------------------------------

OTHERS = [
    ({"kind": "stack", "members": ["a", "b"], "epochs": 1, "fit_on": "train"}, "an ensemble needs"),
    ({"kind": "vote", "members": ["a", "b"]}, "an ensemble needs"),
    ({"kind": "experts", "member": "b", "epochs": 1}, "an ensemble needs"),
    ({"distill": {"teacher": "b"}}, "distillation needs"),
]


@pytest.mark.parametrize(("row", "told"), OTHERS)
@pytest.mark.parametrize("finished", [False, True])
def test_runs_of_other_pixels_are_refused(row, told, finished, place, write, finish):
    """Only the filter differs: Lanczos on bicubic members would go unnoticed otherwise."""
    bicubic = {"name": "digits", "size": 28, "resample": "bicubic"}
    files = [write("a", data=bicubic | {"resample": "lanczos"}), write("b", data=bicubic)]
    files.append(write("x", data=bicubic | {"resample": "lanczos"}, **row))
    if finished:
        for file in files[:2]:
            finish(recipes.load(file))
        files = files[2:]
    with pytest.raises(ValueError, match=f"{told} the same images") as caught:
        plan.make(files, place)
    assert "at 28 px (lanczos)" in str(caught.value) and "(bicubic)" in str(caught.value)


def test_of_a_single_row_what_it_needs_must_be_finished(place, finish):
    row = recipes.load("quickstart/stack")
    finish("quickstart/member_a")
    with pytest.raises(ValueError, match="make it first: python -m experiments run") as caught:
        plan.one(row, place.folder(row), place)
    assert "member_b" in str(caught.value)
    finish("quickstart/member_b")
    finish("quickstart/member_c")
    assert plan.one(row, place.runs / "elsewhere", place).folder == place.runs / "elsewhere"


# Failures -------------------------------------------------------------------------------------


def test_a_row_that_fails_stops_only_what_needs_it(place, write, notes, hearing):
    stack = {"kind": "stack", "epochs": 1, "fit_on": "train"}
    files = [
        write("student", distill={"teacher": "both"}),
        write("both", members=["a", "b"], **stack),
        write("alone", members=["b"], **stack),
        write("a"),
        write("b"),
    ]
    executor = notes(a="it broke")
    outcome = progress.run(plan.make(files, place), executor, place, hearing)
    folder = place.runs / "test"
    assert {run.name for run in outcome.runs} == {"b", "alone"} and executor.closed
    assert outcome.failed == {
        folder / "a": f"it broke (log: {folder / 'a' / 'log.txt'})",
        folder / "both": f"not run, because it needs {folder / 'a'}",
        folder / "student": f"not run, because it needs {folder / 'both'}",
    }
    assert any(text.startswith("test/a failed: it broke (log: ") for text in hearing.said)


def test_executors_are_closed_whatever_happens(place, notes, monkeypatch):
    def interrupted(self) -> Done:
        raise KeyboardInterrupt

    executor = notes()
    monkeypatch.setattr(type(executor), "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        progress.run(plan.make(["quickstart"], place), executor, place)
    assert executor.closed and len(executor.jobs) == 3  # all that needs nothing was begun
