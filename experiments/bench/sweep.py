"""Memory of a sweep over its trials, beside Keras Tuner's search in one process.

Both search the rate of a tiny network on digits, an epoch a trial. What is measured is the resident
memory of the process that searches after each trial: here it conducts processes, there it builds
and trains every model itself. Of our trials' processes the largest total is told beside it.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from experiments.listener import SILENT, Listener
from experiments.recipes import write
from experiments.runs import names, trials

OURS, THEIRS = "smallzoo sweep", "Keras Tuner, one process"
_NETWORK = {"filters": [8, 8, 16], "kernels": [3, 3, 3], "pools": [True, True, True], "dense": 32}
_SPACE = {"min": 0.0001, "max": 0.01, "sampling": "log"}
_BATCH = 64
# Seconds between looks at processes.
_LOOK = 0.2
_MEGABYTE = 2**20


def run(
    trials_of: int = 50, workers: int = 1, backend: str | None = None, listener: Listener = SILENT
) -> list[dict]:
    """Return a row for each trial of both: how much memory its search had then, in MB.

    Raises `ValueError` where the system does not tell what processes have.
    """
    if not pathlib.Path("/proc/self/statm").exists():
        raise ValueError("bench sweep reads the memory of processes from /proc, which is Linux's")
    backend = backend or os.environ.get("KERAS_BACKEND") or "tensorflow"
    with tempfile.TemporaryDirectory() as folder:
        ours = list(_ours(pathlib.Path(folder), trials_of, workers, backend, listener))
    theirs = list(_theirs(trials_of, backend, listener))
    return ours + theirs


def summary(rows: list[dict]) -> list[dict]:
    """Return a row for each case: memory after its first and its last trial, and what it grew."""
    found = []
    for case in dict.fromkeys(row["case"] for row in rows):
        its = [row for row in rows if row["case"] == case]
        first, last = its[0]["search_mb"], its[-1]["search_mb"]
        found.append(
            {
                "case": case,
                "trials": len(its),
                "seconds": its[-1]["seconds"],
                "after the first, MB": first,
                "after the last, MB": last,
                "growth, MB": last - first,
                "most of all processes, MB": max(row["all_mb"] for row in its),
            }
        )
    return found


def draw(rows: list[dict], path: pathlib.Path) -> None:
    """Draw the memory of both searches over their trials as PNG."""
    import numpy as np

    from experiments._files import atomic
    from experiments.reports import plots, svg

    lines = [
        plots.Curve(
            case,
            np.array([row["trial"] for row in rows if row["case"] == case], float),
            np.array([row["search_mb"] for row in rows if row["case"] == case]),
            hue=hue,
        )
        for hue, case in enumerate((OURS, THEIRS))
    ]
    figure = plots.curves(lines, "Memory of the search, MB", xlabel="trial", spikes=False)
    figure.axes[0].set_ylim(bottom=0)
    with atomic(pathlib.Path(path)) as part:
        part.write_bytes(svg.png(figure))


def _ours(
    folder: pathlib.Path, count: int, workers: int, backend: str, listener: Listener
) -> Iterator[dict]:
    """Conduct a sweep in a process of its own, and look at it whenever a trial has ended."""
    data = {"name": "digits", "size": 28}
    base = {"recipe": "bench/base", "data": data, "model": {"name": "alphanet_v4", **_NETWORK}}
    base |= {"jit": False, "precision": "float32", "batch_size": _BATCH, "epochs": 1}
    row = {"kind": "sweep", "recipe": "bench/sweep", "data": data, "trials": count}
    row |= {"of": str(folder / "base.yaml"), "space": {"optimizer.learning_rate": _SPACE}}
    for name, content in (("base", base), ("sweep", row)):
        (folder / f"{name}.yaml").write_text(write(content), encoding="utf-8")
    command = ["sweep", str(folder / "sweep.yaml"), "--runs", str(folder / "runs")]
    command += ["--workers", str(workers), "--backend", backend]
    began, ended, most = time.perf_counter(), 0, 0.0
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "experiments", *command], stdout=log, stderr=subprocess.STDOUT
        )
    table = folder / "runs" / "bench" / "sweep" / names.TRIALS_TABLE
    while ended < count:
        if process.poll() is not None:
            raise RuntimeError((folder / "log.txt").read_text()[-2000:])
        time.sleep(_LOOK)
        memory = _memory(process.pid)
        most = max(most, sum(memory.values()))
        lines = trials.read(table) if table.is_file() else []
        for trial in range(ended + 1, 1 + sum(line.status != "running" for line in lines)):
            ended = trial
            yield {
                "case": OURS,
                "trial": trial,
                "seconds": time.perf_counter() - began,
                "search_mb": memory[process.pid],
                "all_mb": most,
            }
            listener.progress(OURS, ended, count)
    process.wait()


def _theirs(count: int, backend: str, listener: Listener) -> Iterator[dict]:
    """Search by Keras Tuner's own loop in a process of its own, which tells its memory."""
    told = json.dumps({"trials": count})
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.bench.sweep", told],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    with process:
        for line in process.stdout:
            if line.startswith(_TOLD):
                row = json.loads(line.removeprefix(_TOLD))
                yield {"case": THEIRS} | row
                listener.progress(THEIRS, row["trial"], count)
    if process.returncode:
        raise RuntimeError(f"Keras Tuner's search ended with exit code {process.returncode}")


_TOLD = "memory: "


def _memory(pid: int) -> dict[int, float]:
    """Return the resident memory of a process and all that it started, in MB."""
    parents, found = {}, {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            pages = int((stat.parent / "statm").read_text().split()[1])
        except (OSError, IndexError):  # it has just ended
            continue
        number = int(stat.parent.name)
        parents[number] = int(fields[1])
        found[number] = pages * os.sysconf("SC_PAGE_SIZE") / _MEGABYTE
    below = {pid}
    while more := {one for one, parent in parents.items() if parent in below} - below:
        below |= more
    return {one: found.get(one, 0.0) for one in below}


def _search(count: int) -> None:
    """Search by Keras Tuner in this process, and print its memory after each trial."""
    import keras_tuner

    import zoo
    from experiments import datasets

    data = datasets.load("digits", size=28)
    began, pid = time.perf_counter(), os.getpid()

    class Telling(keras_tuner.RandomSearch):
        """Tells what memory there is when a trial has ended."""

        def on_trial_end(self, trial):
            """Print the line."""
            super().on_trial_end(trial)
            memory = _memory(pid)[pid]
            row = {"trial": int(trial.trial_id) + 1, "seconds": time.perf_counter() - began}
            print(_TOLD + json.dumps(row | {"search_mb": memory, "all_mb": memory}), flush=True)

    with tempfile.TemporaryDirectory() as folder:
        shape = {"input_shape": data.image_shape, "classes": len(data.class_names)}
        network = {key: tuple(v) if isinstance(v, list) else v for key, v in _NETWORK.items()}
        model = zoo.hypermodel("alphanet_v4", {"learning_rate": _SPACE}, **network, **shape)
        options = {"objective": "val_accuracy", "max_trials": count, "seed": 1}
        tuner = Telling(model, directory=folder, **options)
        images, labels = data.train.images[:], data.train.labels[:]
        validation = data.validation.images[:], data.validation.labels[:]
        fitted = {"validation_data": validation, "epochs": 1, "batch_size": _BATCH, "verbose": 0}
        tuner.search(images, labels, **fitted)


if __name__ == "__main__":
    _search(json.loads(sys.argv[1])["trials"])
