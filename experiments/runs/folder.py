"""A run's folder while it is made: its names, its lock, what it was begun with.

    recipe.yaml       the resolved row, itself runnable
    environment.json  backend, versions, device, cores, commit, command, date
    dataset.json      name, class_names, class_ids, train and validation (counts), image_shape,
                      digest (of the images and labels of each split of the whole data set)
    history.csv       `experiments.runs.history`; not of a vote
    metrics.json      `experiments.runs.metrics`: the run is finished when it is there
    model.keras       functional model, raw pixels in, probabilities out, not compiled; not of a
                      vote
    predictions.npz, samples.npz      `experiments.runs.outputs`
    state/            for resuming; gone after success
    log.txt           what a run that was one of several told, or why it failed
    plots/*.png       figures of the report, where asked for

No other file of the project spells these names. Every file is written whole or not at all.
"""

import contextlib
import fcntl
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from experiments import recipes
from experiments._files import sweep, write_json, write_text
from experiments.recipes.schemas import Row

RECIPE, ENVIRONMENT, DATASET = "recipe.yaml", "environment.json", "dataset.json"
HISTORY, METRICS, MODEL = "history.csv", "metrics.json", "model.keras"
PREDICTIONS, SAMPLES = "predictions.npz", "samples.npz"
STATE, LOG, PLOTS = "state", "log.txt", "plots"
_LOCK = ".lock"


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
    if changed:
        raise ValueError(
            f"{folder} was begun with another recipe ({'; '.join(changed)}); "
            "choose another --run-dir, or remove that folder"
        )


def describe(data: Any) -> dict:
    """Return what is to be known of a data set without its images: what dataset.json says."""
    return {
        "name": data.name,
        "class_names": list(data.class_names),
        "class_ids": list(data.class_ids),
        "train": len(data.train.labels),
        "validation": len(data.validation.labels),
        "image_shape": list(data.image_shape),
        "digest": dict(data.digest),
    }


def other_data(known: Mapping[str, Any], given: Mapping[str, Any], part: bool = False) -> str:
    """Say in what two descriptions of data differ, empty where they are the same.

    What one of them does not have, such as an old one's digest, is not compared; with `part`, nor
    is how many of the training images were seen.
    """
    if len(known["class_names"]) != len(given["class_names"]):
        return f"{len(known['class_names'])} classes and {len(given['class_names'])}"
    for key in ("class_names", "class_ids"):
        pairs = zip(known.get(key) or (), given.get(key) or (), strict=False)
        for number, (one, other) in enumerate(pairs):
            if one != other:
                return f"class {number} is {one!r} and {other!r}"
    for key in ("name", "image_shape", "validation", *(() if part else ("train",))):
        if key in known and key in given and known[key] != given[key]:
            what = {"train": "training images", "validation": "validation images"}.get(key, key)
            return f"{what}: {known[key]} and {given[key]}"
    digests = known.get("digest") or {}, given.get("digest") or {}
    for split in digests[0].keys() & digests[1].keys():
        if digests[0][split] != digests[1][split]:
            return f"the {split} images or labels are others, by their digest"
    return ""


def write_start(folder: pathlib.Path, dataset: dict, environment: dict) -> None:
    """Note where and on what a run happens."""
    write_json(folder / DATASET, dataset)
    write_json(folder / ENVIRONMENT, environment)
