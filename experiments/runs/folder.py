"""A run's folder while it is made: its lock, and what it was begun with."""

import contextlib
import fcntl
import pathlib
from collections.abc import Iterator

from experiments import recipes
from experiments._files import sweep, write_json, write_text
from experiments.recipes.schemas import Row
from experiments.runs.names import DATASET, ENVIRONMENT, RECIPE

_LOCK = ".lock"
# What was begun in float32 goes on so, and `auto` may mean it. Once it was the default.
_THE_SAME = "precision: float32 -> auto"


@contextlib.contextmanager
def held(folder: pathlib.Path, row: Row) -> Iterator[None]:
    """Hold a run's folder for this process alone, and begin it with the row's recipe.

    Raises `ValueError` when another process holds it, or when it was begun by another recipe.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / _LOCK, "w")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise ValueError(
            f"{folder} cannot be a run's folder ({error}): choose another --run-dir or --runs"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"{folder} is in use by another run; wait for it, or choose another --run-dir"
            ) from None
        sweep(folder)
        if (folder / RECIPE).exists():
            check_recipe(folder, row)
        else:
            write_text(folder / RECIPE, recipes.dump(row))
        yield


def check_recipe(folder: pathlib.Path, row: Row) -> None:
    """Raise `ValueError` when the folder was begun by another recipe."""
    changed = recipes.differences(recipes.load(folder / RECIPE), row)
    if changed := [one for one in changed if one != _THE_SAME]:
        raise ValueError(
            f"{folder} was begun with another recipe ({'; '.join(changed)}); "
            "choose another --run-dir, or remove that folder"
        )


def write_start(folder: pathlib.Path, dataset: dict, environment: dict) -> None:
    """Note where and on what a run happens."""
    write_json(folder / DATASET, dataset)
    write_json(folder / ENVIRONMENT, environment)
