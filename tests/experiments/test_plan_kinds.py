"""A new kind of row is a schema, a runner and a line in a table; rows with parts of their own."""

import dataclasses
import pathlib
from typing import ClassVar, Literal

import pytest

from experiments import plan, progress, recipes
from experiments.cost import Work
from experiments.listener import Listener
from experiments.place import Place
from experiments.plan import Job
from experiments.recipes import KINDS, Row
from experiments.recipes.kinds import Kind
from experiments.runs import Run


class Chain(Row):
    """A kind of these tests, which has all that a kind may have."""

    kind: Literal["chain"] = "chain"
    links: int = 2
    after: list[str] = []
    model_name: ClassVar = "chain"


def prepare(row: Chain, folder: pathlib.Path, place: Place, listener: Listener) -> None:
    (folder / "links").write_text(str(row.links))


def parts(row: Chain, folder: pathlib.Path, place: Place) -> list[tuple[Row, pathlib.Path]]:
    """Known only when it was prepared."""
    links = int((folder / "links").read_text())
    link = recipes.load("quickstart/member_a")
    return [
        (link.model_copy(update={"recipe": f"test/link_{i}"}), folder / f"{i}")
        for i in range(links)
    ]


def run(row: Chain, folder: pathlib.Path, place: Place, listener: Listener) -> dict:
    raise AssertionError("the executor of these tests runs nothing")


def check(row: Chain, rows: dict[str, Row], place: Place) -> None:
    if row.links < 1:
        raise ValueError(f"{row.recipe}: links {row.links}")


def work(row: Chain, rows: dict[str, Row], size: object) -> Work:
    return Work(10 * row.links, 2, 5.0)


@pytest.fixture
def chain(monkeypatch):
    """Add the kind to the table; its functions are found by their names."""
    functions = {f"test:{f.__name__}": f for f in (prepare, parts, run, check, work)}
    find = plan.function
    monkeypatch.setattr(plan, "function", lambda name: functions.get(name) or find(name))
    kind = Kind(
        schema=Chain,
        about="Link",
        example="x",
        needs=("after",),
        has_model=False,
        has_history=False,
        **{name.partition(":")[2]: name for name in functions},
    )
    monkeypatch.setitem(KINDS, "chain", kind)


@pytest.fixture
def linked(make_run, notes):
    """Return an executor that prepares chains, and finishes the rest."""

    def finish(job: Job) -> None:
        job.folder.mkdir(parents=True, exist_ok=True)
        if job.step == "prepare":
            prepare(job.row, job.folder, job.place, Listener())
        else:
            make_run(job.folder, job.row, epochs=2, images=20)

    return lambda **fail: notes(finish, **fail)


def test_a_kind_is_prepared_then_has_its_parts_run_side_by_side_then_itself(
    chain, place, write, linked
):
    files = [write("end", kind="chain", links=1, after=["begin"]), write("begin", kind="chain")]
    steps = plan.make(files, place)
    assert [step.row.name for step in steps] == ["begin", "end"]
    executor = linked()
    outcome = progress.run(steps, executor, place)
    assert executor.done == [
        *("prepare begin", "link_1", "link_0", "begin"),
        *("prepare end", "link_0", "end"),
    ]
    assert executor.most == 2 and len(outcome.runs) == 2 and not outcome.failed
    file = write("new", kind="chain", links=3)
    (estimate,) = plan.estimates(plan.make([file], place), place)
    assert estimate.work == Work(30, 2, 5.0)
    with pytest.raises(ValueError, match="test/bad: links 0"):
        plan.make([write("bad", kind="chain", links=0)], place)


def test_parts_that_are_finished_are_not_repeated_and_one_that_fails_ends_the_row(
    chain, place, write, linked
):
    file = write("row", kind="chain", links=3)
    executor = linked(link_1="it broke")
    outcome = progress.run(plan.make([file], place), executor, place)
    folder = place.runs / "test" / "row"
    assert executor.done == ["prepare row", "link_2", "link_1", "link_0"]
    assert outcome.failed == {folder: f"it broke (log: {folder / '1' / 'log.txt'})"}
    again = linked()
    assert not progress.run(plan.make([file], place), again, place).failed
    assert again.done == ["prepare row", "link_1", "row"]


def test_parts_that_cannot_be_told_fail_the_row(chain, place, write, linked, monkeypatch):
    def broken(*_):
        raise ValueError("links cannot be read")

    monkeypatch.setitem(KINDS, "chain", dataclasses.replace(KINDS["chain"], parts="test:broken"))
    find = plan.function
    monkeypatch.setattr(plan, "function", lambda n: broken if n == "test:broken" else find(n))
    outcome = progress.run(
        plan.make([write("row", kind="chain"), write("a")], place), linked(), place
    )
    assert outcome.failed == {place.runs / "test" / "row": "links cannot be read"}
    assert [run.name for run in outcome.runs] == ["a"]


def test_folds_are_trained_before_their_stack(place, write, notes):
    files = [write("s", kind="stack", members=["a"], epochs=1, fit_on="out_of_fold", folds=3)]
    files.append(write("a"))
    executor = notes()
    outcome = progress.run(plan.make(files, place), executor, place)
    assert not outcome.failed and executor.done == ["a", "a", "a", "a", "s"] and executor.most == 3
    folds = [Run(place.runs / f"test/s/folds/a_{fold}").row.share for fold in range(3)]
    assert [(share.folds, share.fold) for share in folds] == [(3, 0), (3, 1), (3, 2)]
