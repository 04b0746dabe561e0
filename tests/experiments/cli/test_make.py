"""The commands that make runs: what they do, skip, refuse and tell beforehand."""

import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from experiments import executor, progress, recipes
from experiments._files import write_json
from experiments.recipes import KINDS
from experiments.runs import Run, names

TINY = {
    "model": {
        "name": "alphanet_v4",
        "filters": [4, 4],
        "kernels": [3, 3],
        "pools": [True, True],
        "dense": 8,
    },
    "jit": False,
    "precision": "float32",
    "batch_size": 32,
    "epochs": 1,
}


@pytest.fixture
def pictures(tmp_path):
    """Return a function that writes a folder of small images in two classes."""

    def make(name: str, seed: int) -> pathlib.Path:
        rng = np.random.default_rng(seed)
        for split, count in (("train", 12), ("val", 4)):
            for label in "ab":
                folder = tmp_path / name / split / label
                folder.mkdir(parents=True)
                for number in range(count):
                    pixels = rng.integers(0, 256, (28, 28, 3), np.uint8)
                    Image.fromarray(pixels).save(folder / f"{number}.png")
        return tmp_path / name

    return make


@pytest.fixture
def nothing_runs(monkeypatch):
    """Fail where a job is done or a backend is loaded."""
    monkeypatch.setattr(executor, "do", None)
    monkeypatch.setattr("experiments.place.Place.load_backend", None)


@pytest.mark.backend
def test_a_row_is_trained_told_and_not_repeated(run, fails, pictures, write, tmp_path):
    file = write("tiny", **TINY, data={"name": "folder"})
    data, other = pictures("data", 0), pictures("other", 1)
    where = "--runs", tmp_path / "runs", "--cache-dir", tmp_path / "cache"
    command = "train", file, *where, "--data-dir"
    code, out, _ = run(*command, data)
    made = Run(tmp_path / "runs" / "test" / "tiny")
    assert code == 0 and made.check().metrics["n"] == 8
    assert f"run folder: {made.path}" in out and "epoch 1 of 1: loss" in out
    assert "n = 8 validation images; *: of the best epoch on these images" in " ".join(out.split())
    assert (
        made.metrics["command"] == f"python -m experiments {' '.join(map(str, (*command, data)))}"
    )
    before = (made.path / names.MODEL).stat().st_mtime_ns
    for again in ((*command, data), ("run", *command[1:], data), ("train", file, *where)):
        code, out, _ = run(*again)
        assert code == 0 and "already finished" in out and "epoch 1" not in out
    assert (made.path / names.MODEL).stat().st_mtime_ns == before
    backend = made.environment["backend"]
    another = next(name for name in ("jax", "torch", "tensorflow") if name != backend)
    for name in ("train", "run"):
        told = fails(name, file, *where, "--data-dir", other)
        assert "have other images or classes" in told and "by their digest" in told
        told = fails(name, file, *where, "--data-dir", data, "--backend", another)
        assert f"was begun on {backend}, this is {another}: go on with --backend {backend}" in told
        os.environ["KERAS_BACKEND"] = backend
        told = fails(name, file, *where, "--data-dir", data, "--set", "epochs=2")
        assert "begun with another recipe (epochs: 1 -> 2)" in told


def test_a_dry_run_tells_the_plan_and_runs_nothing(run, nothing_runs, finish, place):
    options = "run", "laptop", "--dry-run", "--runs", place.runs
    code, out, _ = run(*options)
    assert code == 0 and not place.runs.exists()
    lines = {line.split()[0]: line.split() for line in out.splitlines() if line.split()}
    assert lines.keys() >= set(recipes.rows("laptop"))
    assert lines["alphanet"][1:5] == ["to", "run", "90,000", "30"]
    assert float(lines["alphanet"][5].replace(",", "")) > 1 and "hours are told when" in out
    folder = finish("laptop/ghostnet", train=3600, macs=1e8, seconds=3600)
    write_json(folder / names.ENVIRONMENT, Run(folder).environment | {"cores": os.cpu_count()})
    code, out, _ = run(*options)
    lines = {line.split()[0]: line.split() for line in out.splitlines() if line.split()}
    assert lines["ghostnet"][1] == "finished" and float(lines["alphanet"][-1]) > 0
    assert "hours by the rate of 1 finished runs here" in " ".join(out.split())


def test_papers_rows_and_changes_are_planned_together(run, monkeypatch, place):
    seen = []
    none = progress.Outcome([], {})
    monkeypatch.setattr(progress, "run", lambda steps, *_: seen.extend(steps) or none)
    options = "--set", "epochs=3", "--runs", place.runs
    assert run("run", "quickstart", "alphanet/alphanet_v4", *options)[0] == 0
    assert [step.row.epochs for step in seen] == [3] * 5


@pytest.mark.parametrize("command", ["sweep", "run"])
def test_a_sweep_has_processes_even_one_at_a_time(command, run, monkeypatch, place, finish):
    seen = []
    found = {"best": 2, "score": 91.25, "objective": "val_top1", "values": {"batch_size": 32}}
    found |= {"trials": 6, "failed": 1, "run": "somewhere/002"}
    found |= {"retrained": {"epochs": 30, "top1": 95.5}}
    folder = finish("sweeps/quick", sweep=found)

    def carry_out(steps, hands, *_):
        seen.extend([*steps, hands])
        return progress.Outcome([Run(folder)], {})

    monkeypatch.setattr(progress, "run", carry_out)
    many = ["--workers", 3] if command == "sweep" else []
    code, out, _ = run(command, "sweeps/quick", "--runs", place.runs, *many)
    assert code == 0 and [step.row.name for step in seen[:-1]] == ["quick"]
    assert isinstance(seen[-1], executor.Spawned) and seen[-1].room == (3 if many else 1)
    told = "best of 6 trials (1 failed): trial 2, val_top1 91.25 with batch_size 32: somewhere/002"
    assert told in out and "trained anew for 30 epochs: top-1 95.50 %" in out


def test_mistakes_of_sweeps_are_told(run, place):
    for options, told in (
        (["sweeps/quick", "--workers", 0], "--workers 0: give 1 or more"),
        (["sweeps/quick", "--set", "space.x=[1, 2]"], "space.x: 1 is refused"),
        (["quickstart/stack"], "quickstart/stack is of kind stack: python -m experiments stack"),
    ):
        code, _, error = run("sweep", *options, "--runs", place.runs)
        assert code == 2 and told in error, error
    assert not place.runs.exists()


@pytest.mark.parametrize("jobs", [1, 3])
def test_failures_are_told_at_the_end_with_exit_code_1(jobs, run, monkeypatch, place, finish):
    folder = finish("quickstart/member_a")
    reason = "it broke [loudly] (log: log.txt)"
    outcome = progress.Outcome([Run(folder)], {place.runs / "quickstart" / "member_b": reason})
    hands = []

    def carry_out(steps, hand, *_):
        hands.append(hand)
        return outcome

    monkeypatch.setattr(progress, "run", carry_out)
    code, out, _ = run("run", "quickstart", "--runs", place.runs, "--jobs", jobs)
    assert code == 1 and "member_a" in out and f"run folders: {place.runs}" in out
    assert f"failed: {place.runs / 'quickstart' / 'member_b'}: {reason}" in out
    assert isinstance(hands[0], executor.Here if jobs == 1 else executor.Spawned)


@pytest.mark.parametrize(
    "row", ["laptop/mode", "laptop/experts", "laptop/stack", "laptop/alphanet"]
)
def test_a_row_of_another_kind_is_told_with_its_command(row, fails, nothing_runs):
    kind = recipes.load(row).kind
    for other in KINDS.keys() - {kind}:
        told = fails(other, row)
        assert f"{row} is of kind {kind}: python -m experiments {kind} {row}" in told


def test_a_single_row_needs_its_members(fails, finish, place, nothing_runs):
    finish("quickstart/member_a")
    told = fails("stack", "quickstart/stack", "--runs", place.runs)
    assert "member_b is no finished run; make it first: python -m experiments run" in told


def test_members_are_named_on_the_command_line(run, fails, monkeypatch, place, finish):
    seen = []

    def carry_out(step, *_):
        seen.append(step.row)
        return Run(step.needs[0]).metrics

    monkeypatch.setattr(executor, "carry_out", carry_out)
    folders = [finish(f"laptop/{name}") for name in ("alphanet", "ghostnet")]
    code, out, _ = run("vote", "laptop/mode", *folders, "--runs", place.runs)
    assert code == 0 and seen[0].members == ["alphanet", "ghostnet"] and "ghostnet" in out
    told = fails("train", "laptop/alphanet", folders[0], "--runs", place.runs / "else")
    assert "laptop/alphanet needs 0 finished runs, not 1" in told


@pytest.mark.parametrize("name", ["vote", "experts", "compare"])
def test_ensembles_work_by_their_former_names(name, run, fails):
    code, out, _ = run("ensemble", name, "--help")
    assert code == 0 and f"Example: python -m experiments {name}" in out
    assert "ensemble" not in run("--help")[1].partition("Commands")[2].split()
    if name != "compare":
        assert "is of kind train" in fails("ensemble", name, "laptop/alphanet")


def test_the_quick_start_is_a_paper_and_its_report(run, monkeypatch, place, make_run):
    steps = []

    def carry_out(given, *_):
        steps.extend(given)
        members = []
        for step in given:
            members += [{"name": step.row.name, "run": str(step.folder), "top1": 40.0}]
            own = {"members": members[:3]} if step.row.kind == "stack" else {}
            make_run(step.folder, step.row, images=20, epochs=2, **own)
        return progress.Outcome([step.run for step in given], {})

    monkeypatch.setattr(progress, "run", carry_out)
    monkeypatch.setattr(
        "experiments.reports.report",
        lambda folders, page: type("Written", (), {"page": page, "folders": folders}),
    )
    code, out, _ = run("quickstart", "--runs", place.runs)
    assert code == 0 and [step.row.name for step in steps][-1] == "stack"
    assert f"Open {place.runs / 'quickstart' / 'report.html'} in a browser" in out
