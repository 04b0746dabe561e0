"""Jobs in this process and in spawned ones: results, failures, deadlines and ends."""

import dataclasses
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from experiments import executor, plan, recipes
from experiments import spawned as spawned_process
from experiments.executor import Here, Spawned
from experiments.plan import Job, Step
from experiments.runs import Run, names

ROOT = pathlib.Path(__file__).resolve().parents[2]
# An epoch takes less than a second; without XLA, whose compiling takes longer than all epochs.
TINY = {
    "data": {"name": "digits", "size": 28},
    "model": {
        "name": "alphanet_v4",
        "filters": [4, 4],
        "kernels": [3, 3],
        "pools": [True, True],
        "dense": 8,
    },
    "jit": False,
    "precision": "float32",
    "batch_size": 256,
    "epochs": 2,
}
LONG = TINY | {"epochs": 500}
# More seconds than any of these tests takes on a machine that does much else.
PATIENCE = 120


def _until(condition, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        return not pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].startswith(" Z")
    except FileNotFoundError:
        return False


@pytest.fixture
def job(place, write):
    """Return a job of a changed tiny row."""

    def make(name: str = "tiny", **changes) -> Job:
        row = recipes.load(write(name, **(TINY | changes)))
        return Job(row, place.folder(row), place)

    return make


@pytest.fixture
def spawned():
    """Return an executor of spawned processes, closed in the end."""
    made = []

    def make(*arguments, **options) -> Spawned:
        made.append(Spawned(*arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_spawned_process_gives_the_results_of_this_one(job, spawned, hearing):
    """On as many cores: these decide in which order sums are taken."""
    import zoo

    here, there = Here(), spawned(1, listener=hearing)
    ours, theirs = job(), job("other", recipe="test/other")
    here.submit(ours)
    there.submit(theirs)
    assert (here.wait().error, there.wait().error) == ("", "")
    runs = Run(ours.folder), Run(theirs.folder)
    weights = [zoo.load(run.model_file).get_weights() for run in runs]
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))
    assert np.array_equal(*(run.probs for run in runs))
    log = runs[1].log.read_text()
    assert "== test/other on digits at 28 px (lanczos)" in log and "epoch 2 of 2: loss" in log
    assert hearing.said == [f"test/other: begun, log in {runs[1].log}"]
    assert runs[1].metrics["command"] == runs[0].metrics["command"]


def test_why_a_row_failed_is_told_with_its_log(job, spawned, hearing):
    bad = {"optimizer": {"name": "nadamm", "learning_rate": 0.1}}
    here, there = Here(hearing), spawned(1)
    for hands in (here, there):
        hands.submit(job(**bad))
        error = hands.wait().error
        assert error.startswith("optimizer nadamm with {'learning_rate': 0.1}: ")
        assert error.endswith(f"(log: {Run(job().folder).log})")
        assert "Traceback" in Run(job().folder).log.read_text() and "\n" not in error


def test_other_errors_are_told_by_their_names(job, monkeypatch):
    def fail(*_):
        raise RuntimeError("it broke")

    monkeypatch.setattr(executor, "do", fail)
    here, one = Here(), job()
    here.submit(one)
    assert here.wait().error == f"RuntimeError: it broke (log: {Run(one.folder).log})"


def test_a_process_that_is_killed_is_told_by_its_signal(job, spawned):
    there = spawned(1)
    there.submit(job(**LONG))
    os.kill(there.running[0].process.pid, signal.SIGKILL)
    done = there.wait()
    error = done.error
    assert done.died
    assert error == f"its process ended by signal SIGKILL (log: {Run(job().folder).log})"


def test_a_deadline_ends_a_process(job, spawned):
    there = spawned(1, deadline=0.2)
    there.submit(job(**LONG))
    process = there.running[0].process
    error = there.wait().error
    assert error.startswith("ended at its deadline, ") and "(log: " in error
    assert not _lives(process.pid)


def test_a_job_may_have_a_deadline_of_its_own(job, spawned):
    there = spawned(1, deadline=1000.0)
    there.submit(dataclasses.replace(job(**LONG), deadline=0.2))
    done = there.wait()
    assert done.died and done.error.startswith("ended at its deadline, ")


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (RuntimeError("it broke\nloudly"), 1, "error: RuntimeError: it broke loudly"),
        (MemoryError("no room"), 1, "error: MemoryError: no room"),
        (ValueError("a slip"), 2, "error: a slip"),
    ],
)
def test_a_spawned_process_tells_every_error(job, monkeypatch, capsys, error, code, told):
    def fail(*_):
        raise error

    one = job()
    row, place = recipes.dump(one.row), {"data_dir": None, "cache_dir": None, "backend": None}
    line = {"row": row, "folder": str(one.folder), "place": place, "step": "run", "cores": [0]}
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(line | {"place": place}) + "\n"))
    # This process keeps its cores, its parent and its place where memory runs out.
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None)
    for name in ("_end_with_parent", "_offered_first"):
        monkeypatch.setattr(spawned_process, name, lambda: None)
    monkeypatch.setattr(spawned_process, "do", fail)
    with pytest.raises(SystemExit) as ended:
        spawned_process.main()
    out, err = capsys.readouterr()
    assert ended.value.code == code and out.strip() == told and "Traceback" in err


def test_what_has_ended_by_itself_is_not_late(job, spawned, monkeypatch):
    """It is looked at after its deadline, as when the listener was slow."""
    monkeypatch.setattr(sys, "executable", "/bin/true")
    there = spawned(1, deadline=0.0)
    there.submit(job())
    there.running[0].process.wait()
    assert there.wait().error == ""


def test_closing_ends_all_processes_and_what_waits(job, spawned):
    there = spawned(2)
    for number in range(3):
        there.submit(job(f"row{number}", **LONG))
    assert len(there.running) == 2 and len(there.jobs) == 1
    processes = [one.process for one in there.running]
    there.close()
    assert not any(_lives(process.pid) for process in processes)
    assert [process.returncode for process in processes] == [-signal.SIGTERM] * 2
    assert not there.running and not there.jobs


def test_cores_are_shared_out(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(5)))
    assert [executor._share(number, 2) for number in range(2)] == [[0, 2, 4], [1, 3]]
    # More processes than cores: each has one.
    assert [executor._share(number, 7) for number in range(7)] == [
        *([0], [1], [2], [3], [4]),
        *([0], [1]),
    ]


def test_a_process_has_its_share_of_the_cores_for_its_threads(job, spawned, monkeypatch):
    started = []

    class Popen(subprocess.Popen):
        def __init__(self, command, **options):
            started.append(options["env"])
            super().__init__(["/bin/cat"], **options)

    monkeypatch.setattr(executor.os, "sched_getaffinity", lambda _: {0, 1, 2})
    monkeypatch.setattr(executor.subprocess, "Popen", Popen)
    there = spawned(2)
    there.submit(job("a"))
    there.submit(job("b"))
    assert [env["OMP_NUM_THREADS"] for env in started] == ["2", "1"]
    assert {env["SMALLZOO_COMMAND"][:6] for env in started} == {"python"}


@pytest.mark.parametrize("count", [0, -1])
def test_jobs_are_one_or_more(count):
    with pytest.raises(ValueError, match=f"--jobs {count}: give 1 or more"):
        Spawned(count)


# One row, carried out here ----------------------------------------------------------------------


def test_a_finished_row_is_told_or_refused(place, finish, hearing):
    row = recipes.load("quickstart/member_a")
    folder = finish(row)
    metrics = executor.carry_out(Step(row, folder), place, hearing)
    assert metrics == Run(folder).metrics
    assert hearing.said[0].startswith(f"{folder}: already finished")
    other = recipes.load("quickstart/member_a", {"epochs": 3})
    with pytest.raises(ValueError, match="epochs: 24 -> 3"):
        executor.carry_out(Step(other, folder), place)


def test_a_folder_that_cannot_be_written_is_told_before_keras(place, write, monkeypatch):
    monkeypatch.setattr("experiments.place.Place.load_backend", None)
    row = recipes.load(write("tiny", **TINY))
    place.runs.write_text("a file")
    with pytest.raises(ValueError, match="a file stands where a folder is needed"):
        executor.carry_out(plan.one(row, place.folder(row), place), place)


# Ends from outside ------------------------------------------------------------------------------


def _children(pid: int) -> list[int]:
    """Processes whose parent has this number."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


@pytest.fixture
def start(write):
    """Return a function that starts `run` on rows, two at once."""
    files = {name: write(name, **(TINY | {"epochs": 6, "seed": ord(name)})) for name in "ab"}

    def run(names: str, runs: pathlib.Path) -> subprocess.Popen:
        options = ["run", *(files[name] for name in names), "--runs", str(runs), "--jobs", "2"]
        return subprocess.Popen(
            [sys.executable, "-m", "experiments", *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell starts what it puts into the background deaf to Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    return run


def test_a_process_ends_with_the_one_that_spawned_it(start, tmp_path):
    parent = start("ab", tmp_path)
    _until(lambda: len(_children(parent.pid)) == 2)
    children = _children(parent.pid)
    parent.kill()
    parent.communicate()
    _until(lambda: not any(map(_lives, children)))
    assert not any(Run(tmp_path / "test" / name).finished for name in "ab")


def test_ctrl_c_ends_all_and_the_same_command_goes_on_bit_equal(start, tmp_path):
    import zoo

    broken, whole = (Run(tmp_path / runs / "test" / "a") for runs in ("broken", "whole"))
    parent = start("ab", tmp_path / "broken")
    _until((broken.path / names.HISTORY).exists)
    children = _children(parent.pid)
    assert children
    parent.send_signal(signal.SIGINT)
    told = parent.communicate()[1]
    assert (parent.returncode, told.count("\n")) == (130, 1)
    assert "stopped: the same command goes on from here" in told
    assert not any(map(_lives, children)) and not broken.finished
    assert len(broken.history["epoch"]) < 6
    for process in (start("ab", tmp_path / "broken"), start("a", tmp_path / "whole")):
        said = process.communicate()
        assert process.returncode == 0, said
    broken = Run(broken.path)
    weights = [zoo.load(run.model_file).get_weights() for run in (broken, whole)]
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))
    assert np.array_equal(broken.history["val_loss"], whole.history["val_loss"])
    assert Run(broken.path.with_name("b")).finished
