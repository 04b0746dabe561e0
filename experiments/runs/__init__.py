"""Run folders: what training, ensembles and votes leave behind, read when it is asked for.

No Keras: a report can be written on any machine from copied folders.
"""

import contextlib
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

from experiments.recipes.schemas import Row
from experiments.runs import names
from experiments.runs.dataset import class_number, describe, other_data, short_names
from experiments.runs.environment import environment
from experiments.runs.folder import held, write_start
from experiments.runs.history import images_until
from experiments.runs.run import Run

__all__ = [
    "Run",
    "check_backend",
    "class_number",
    "find",
    "images_until",
    "making",
    "of_model",
    "short_names",
]


@contextlib.contextmanager
def making(folder: pathlib.Path | str, row: Row, seen: Any) -> Iterator[Run]:
    """Hold a run's folder while it is made, on the data set `seen`; a finished one is as it is.

    Raises `ValueError` when another process holds it, or when it was begun with another recipe,
    on another backend or on other images: going on elsewhere would not end bit-equal.
    """
    run = Run(folder)
    with held(run.path, row):
        now, described = environment(), describe(seen)
        if (run.path / names.ENVIRONMENT).exists():
            check_backend(run, now["backend"])
            # Chosen once: a run does not change its precision midway.
            now |= {key: run.environment[key] for key in ("precision",) if key in run.environment}
            if differ := other_data(run.dataset, described):
                raise ValueError(
                    f"{run} was begun on other images ({differ}): give the --data-dir that it "
                    "began with, or choose another --run-dir"
                )
        if not run.finished:
            write_start(run.path, described, now)
            run = Run(folder)  # what was read above may be of an older start
        yield run


def check_backend(run: Run, backend: str) -> None:
    """Raise `ValueError` when a run was begun on another backend."""
    known = run.environment["backend"]
    if backend != known:
        raise ValueError(
            f"{run} was begun on {known}, this is {backend}: go on with --backend {known}, or "
            "choose another --run-dir"
        )


def find(folders: Iterable[pathlib.Path | str]) -> list[Run]:
    """Return the finished runs among folders, or within them but not within a run; each once."""
    found = {}
    for folder in map(pathlib.Path, folders):
        inside = sorted(
            path.parent
            for path in folder.rglob(names.METRICS)
            if not any(
                (parent / names.RECIPE).exists()
                for parent in path.parent.parents
                if parent.is_relative_to(folder)
            )
        )
        if not inside:
            raise ValueError(f"{folder} holds no finished run (a folder with {names.METRICS})")
        found |= {path.resolve(): Run(path) for path in inside}
    return list(found.values())


def of_model(path: pathlib.Path | str) -> tuple[pathlib.Path, Run]:
    """Return the `.keras` file of a run's folder, or the file given, and the run around it."""
    path = pathlib.Path(path)
    if path.is_dir():
        return Run(path).model_file, Run(path)
    if not path.is_file():
        raise ValueError(f"{path} does not exist: give a finished run's folder or a .keras file")
    return path, Run(path.parent)
