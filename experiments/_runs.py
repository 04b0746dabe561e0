"""Run folders as data: what training, stacking and evaluation left behind, read and checked.

Nothing here needs Keras or a device: a report can be written on any machine from copied folders.
"""

from __future__ import annotations

import collections
import csv
import dataclasses
import functools
import json
import pathlib
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import yaml

METRICS = ("recipe", "kind", "model", "dataset", "n", "top1", "loss", "parameters")
SAMPLES = ("wrong_images", "wrong_labels", "wrong_predictions", "wrong_confidence")
HISTORY = ("epoch", "loss", "top1", "val_loss", "val_top1")
# metrics.json is computed from the same predictions; half a point leaves room for rounding
# and for another device, and none for the files of another run.
AGREEMENT = 0.5
UNTRAINED = ("vote", "experts")  # kinds of runs that are votes of others: without a history


@dataclasses.dataclass(frozen=True)
class Run:
    """One run folder. Accuracies are percent, times seconds, images uint8 (n, h, w, c).

    The history of a vote is empty: nothing is trained in it.
    """

    path: pathlib.Path
    name: str
    recipe: dict[str, Any]
    environment: dict[str, Any]
    dataset: dict[str, Any]
    metrics: dict[str, Any]
    history: dict[str, np.ndarray]
    probs: np.ndarray
    labels: np.ndarray
    samples: dict[str, np.ndarray]

    @property
    def folder(self) -> str:
        """Name of the run's folder, also where it was given as `.`."""
        return self.path.resolve().name

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.probs.shape[1]

    @property
    def expect(self) -> dict[str, Any]:
        """Published values of the row that was run; empty where nothing is published."""
        return self.metrics.get("expect") or self.recipe.get("expect") or {}

    @functools.cached_property
    def names(self) -> list[str]:
        """Class names for tables and figures: the first synonym, cut, told apart where equal."""
        return short_names(self.dataset["class_names"], self.dataset.get("class_ids") or ())

    @functools.cached_property
    def confusion(self) -> np.ndarray:
        """(true class, predicted class) -> number of validation images."""
        from sklearn.metrics import confusion_matrix

        predicted = self.probs.argmax(axis=1)
        return confusion_matrix(self.labels, predicted, labels=np.arange(self.classes))

    @functools.cached_property
    def class_accuracy(self) -> np.ndarray:
        """Top-1 of each class in percent; NaN for a class without validation images."""
        count = self.confusion.sum(axis=1)
        with np.errstate(invalid="ignore"):
            return 100 * self.confusion.diagonal() / np.where(count, count, np.nan)


def read_run(folder: pathlib.Path | str) -> Run:
    """Read a finished run folder whole.

    Raises ValueError that names the first file that is missing, damaged or of another run.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder: give the folder of a finished run")
    metrics = read_mapping(folder / "metrics.json", METRICS)
    predictions = read_arrays(folder / "predictions.npz", ("probs", "labels"))
    run = Run(
        path=folder,
        name=str(metrics["recipe"]).rpartition("/")[2],
        recipe=read_mapping(folder / "recipe.yaml"),
        environment=read_mapping(folder / "environment.json"),
        dataset=read_mapping(folder / "dataset.json", ("name", "class_names")),
        metrics=metrics,
        history={} if metrics["kind"] in UNTRAINED else _read_history(folder / "history.csv"),
        samples=read_arrays(folder / "samples.npz", SAMPLES),
        **predictions,
    )
    _check(run)
    return run


def short_names(names: Sequence[str], ids: Sequence[str] = (), length: int = 22) -> list[str]:
    """Return the first synonym of each name, cut to `length`; equal ones get their class id."""
    short = [name.partition(",")[0].strip() or name for name in names]
    short = [name if len(name) <= length else name[: length - 1].rstrip() + "…" for name in short]
    count = collections.Counter(short)
    keys = ids if len(ids) == len(names) else range(len(names))
    return [f"{s} ({key})" if count[s] > 1 else s for s, key in zip(short, keys, strict=True)]


def read_mapping(path: pathlib.Path, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read a JSON or YAML file that holds a mapping with the `required` keys."""
    _existing(path)
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(text)
    except (yaml.YAMLError, ValueError) as error:
        raise _damaged(path, error) from error
    if not isinstance(content, Mapping):
        raise _damaged(path, f"a mapping is expected, it holds a {type(content).__name__}")
    missing = [key for key in required if content.get(key) is None]
    if missing:
        raise _damaged(path, f"no value for {', '.join(missing)}")
    return dict(content)


def read_arrays(path: pathlib.Path, required: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """Read all arrays of an .npz file without pickle."""
    _existing(path)
    try:
        # NumPy closes a file of its own only where that is whole.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    # What numpy and zipfile raise on a cut or foreign file, of which OSError is one.
    except (zipfile.BadZipFile, EOFError, OSError, KeyError, AttributeError, ValueError) as error:
        raise _damaged(path, error) from error
    missing = [key for key in required if key not in arrays]
    if missing:
        raise _damaged(path, f"no array {', '.join(missing)}")
    return arrays


def read_table(
    path: pathlib.Path, numbers: Sequence[str], texts: Sequence[str], fix: str
) -> list[dict[str, Any]]:
    """Read a CSV file with at least these columns; an empty number stays an empty text.

    Raises ValueError that names the file where it is damaged, and `fix`.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        missing = {*numbers, *texts} - (rows[0].keys() if rows else set())
        if missing:
            raise ValueError(f"no {', '.join(sorted(missing))}")
        return [row | {key: float(row[key]) if row[key] else "" for key in numbers} for row in rows]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be used ({error}): {fix}") from error


def _read_history(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Read `history.csv` by column; an empty cell is NaN."""
    with _existing(path).open(newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    missing = [name for name in HISTORY if name not in header]
    if missing or not rows:
        raise _damaged(path, f"no column {', '.join(missing)}" if missing else "no epochs")
    values = np.empty((len(rows), len(header)))
    for number, row in enumerate(rows):
        try:
            values[number] = [float(cell) if cell else np.nan for cell in row]
        except ValueError as error:
            raise _damaged(path, f"line {number + 2}: {error}") from error
    return dict(zip(header, values.T, strict=True))


def _check(run: Run) -> None:
    """Refuse files that contradict each other."""
    predictions, names = run.path / "predictions.npz", run.dataset["class_names"]
    if run.probs.ndim != 2 or len(run.probs) != len(run.labels) or not len(run.labels):
        shapes = f"probs {run.probs.shape}, labels {run.labels.shape}"
        raise _damaged(predictions, f"{shapes}: (n, classes) and (n,) are expected")
    if run.classes != len(names):
        raise _damaged(predictions, f"{run.classes} classes, dataset.json has {len(names)}")
    if run.labels.min() < 0 or run.labels.max() >= run.classes:
        raise _damaged(predictions, f"labels reach {run.labels.min()} to {run.labels.max()}")
    if not np.isfinite(run.probs).all():
        raise _damaged(predictions, "some probabilities are not finite")
    said, top1 = run.metrics["top1"], 100 * np.mean(run.probs.argmax(axis=1) == run.labels)
    if not isinstance(said, int | float) or abs(top1 - said) > AGREEMENT:
        reason = f"top1 is {said}, predictions.npz gives {top1:.2f}: files of two runs"
        raise _damaged(run.path / "metrics.json", reason)


def _existing(path: pathlib.Path) -> pathlib.Path:
    if not path.is_file():
        raise ValueError(
            f"{path} is missing: the run has not finished, or its folder was not copied whole; "
            "start the same command again to finish it, or leave the folder out"
        )
    return path


def _damaged(path: pathlib.Path, reason: object) -> ValueError:
    return ValueError(f"{path} cannot be used ({reason}): run it again, or leave the folder out")
