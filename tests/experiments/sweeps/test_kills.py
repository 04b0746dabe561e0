"""Real trials, really killed: a sweep of two on digits."""

import os
import pathlib
import signal
import subprocess
import sys
import time

from experiments import recipes
from experiments.runs import Run, names, trials

ROOT = pathlib.Path(__file__).resolve().parents[3]
# More seconds than this test takes on a machine that does much else.
PATIENCE = 300


def _until(condition, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def _children(pid: int) -> dict[int, str]:
    """Return the command lines of the living processes whose parent has this number."""
    found = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            line = (stat.parent / "cmdline").read_text()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found[int(stat.parent.name)] = line
    return found


def _lives(pid: int) -> bool:
    try:
        return not pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].startswith(" Z")
    except FileNotFoundError:
        return False


def test_a_killed_trial_and_a_killed_sweep_go_on(sweep, tmp_path):
    row = sweep(base={"epochs": 6}, epochs=None, trials=2, retries=1)
    file = tmp_path / "sweep.yaml"
    file.write_text(recipes.dump(row))
    folder = tmp_path / "runs" / "test" / "sweep"
    first, second = (Run(folder / names.TRIALS / f"00{number}") for number in (1, 2))

    def start() -> subprocess.Popen:
        command = ["sweep", str(file), "--runs", str(tmp_path / "runs")]
        return subprocess.Popen(
            [sys.executable, "-m", "experiments", *command, "--backend", "tensorflow"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    parent = start()
    _until((first.path / names.HISTORY).exists)
    (trial,) = (pid for pid, line in _children(parent.pid).items() if "spawned" in line)
    os.kill(trial, signal.SIGKILL)
    _until((second.path / names.HISTORY).exists)
    children = _children(parent.pid)
    assert len(children) == 2  # a trial, and the oracle
    parent.kill()
    said = parent.communicate()[0]
    assert "trial 1: its process ended by signal SIGKILL" in said and "attempt 2" in said
    assert "trial 1 of 2: val_top1" in said
    _until(lambda: not any(map(_lives, children)))
    assert first.finished and not second.finished
    ended, begun = (one.path / names.METRICS for one in (first, second))
    at, proposed = ended.stat().st_mtime_ns, Run(second.path).row

    again = start()
    said = again.communicate()[0]
    assert again.returncode == 0, said
    assert "1 trials have ended, 1 go on" in said and "trial 1 of 2" not in said
    assert ended.stat().st_mtime_ns == at and begun.exists()
    assert Run(second.path).row == proposed
    lines = trials.read(folder / names.TRIALS_TABLE)
    assert [(one.trial, one.status, one.attempts) for one in lines] == [
        (1, "finished", 2),
        (2, "finished", 1),
    ]
    assert all(len(run.history["epoch"]) == 6 for run in (first, Run(second.path)))
    found = Run(folder).check().metrics
    assert found["top1"] == max(Run(one.path).metrics["top1"] for one in (first, second))
    assert found["sweep"]["failed"] == 0 and found["sweep"]["trials"] == 2
