"""One run folder, read when it is asked for."""

from __future__ import annotations

import functools
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments import recipes
from experiments._files import atomic, write_json
from experiments.recipes.kinds import KINDS, Kind
from experiments.recipes.schemas import Row
from experiments.runs import _reading, history, metrics, names, outputs, scores
from experiments.runs.dataset import describe, other_data, short_names

# metrics.json is computed from the same predictions; half a point leaves room for rounding
# and for another device, and none for the files of another run.
AGREEMENT = 0.5


class Run:
    """One run folder. Accuracies are percent, times seconds, images uint8 (n, h, w, c).

    Every property reads its file when it is first asked for, and raises ValueError that names the
    file where that is missing, damaged or of another run.
    """

    def __init__(self, path: pathlib.Path | str):
        self.path = pathlib.Path(path)

    @classmethod
    def all_below(cls, folder: pathlib.Path) -> list[Run]:
        """Return the finished runs below a folder, parts of others as well; none where none is."""
        return [cls(path.parent) for path in sorted(folder.rglob(names.METRICS))]

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def __str__(self) -> str:
        return str(self.path)

    @property
    def folder(self) -> str:
        """Name of the run's folder, also where it was given as `.`."""
        return self.path.resolve().name

    @property
    def begun(self) -> bool:
        """Whether there is a recipe."""
        return (self.path / names.RECIPE).is_file()

    @property
    def finished(self) -> bool:
        """Whether there is a result."""
        return (self.path / names.METRICS).is_file()

    @property
    def state(self) -> pathlib.Path:
        """Folder of what resuming needs."""
        return self.path / names.STATE

    @property
    def log(self) -> pathlib.Path:
        """File of what a run told that was one of several."""
        return self.path / names.LOG

    @property
    def plots(self) -> pathlib.Path:
        """Folder of figures."""
        return self.path / names.PLOTS

    @functools.cached_property
    def row(self) -> Row:
        """The resolved recipe."""
        return recipes.load(_reading.existing(self.path / names.RECIPE))

    @property
    def kind(self) -> Kind:
        """What its kind of row is."""
        return KINDS[self.row.kind]

    @property
    def name(self) -> str:
        """Name of its row, without the paper."""
        return self.row.name

    @functools.cached_property
    def metrics(self) -> dict[str, Any]:
        """The result; ValueError says how to make the run where it is not finished."""
        if not self.finished:
            name = self.row.recipe if self.begun else f"{self.path.parent.name}/{self.path.name}"
            raise ValueError(
                f"{self.path} is no finished run; make it first: python -m experiments run {name}"
            )
        return _reading.mapping(self.path / names.METRICS, metrics.REQUIRED)

    @functools.cached_property
    def dataset(self) -> dict[str, Any]:
        """What the images were, `experiments.runs.dataset.describe`."""
        return _reading.mapping(self.path / names.DATASET, ("name", "class_names"))

    @functools.cached_property
    def environment(self) -> dict[str, Any]:
        """Where it ran."""
        return _reading.mapping(self.path / names.ENVIRONMENT, ("backend",))

    @functools.cached_property
    def history(self) -> dict[str, np.ndarray]:
        """Columns of the history by name; empty where nothing was fitted."""
        if not self.kind.has_history:
            return {}
        return _reading.read(self.path / names.HISTORY, history.read)

    @functools.cached_property
    def progress(self) -> dict[str, np.ndarray]:
        """Columns of the lines within the epochs; empty where the row asked for none."""
        file = self.path / names.PROGRESS
        return _reading.read(file, history.read, history.PROGRESS) if file.is_file() else {}

    @functools.cached_property
    def predictions(self) -> dict[str, np.ndarray]:
        """Probabilities (n, classes) and labels (n,) of the validation images."""
        return _reading.read(self.path / names.PREDICTIONS, outputs.read, outputs.PREDICTIONS)

    @property
    def probs(self) -> np.ndarray:
        """Probabilities (n, classes) of the validation images."""
        return self.predictions["probs"]

    @property
    def labels(self) -> np.ndarray:
        """True classes (n,) of the validation images."""
        return self.predictions["labels"]

    @functools.cached_property
    def samples(self) -> dict[str, np.ndarray]:
        """Mistakes and augmented images, `experiments.runs.outputs`."""
        return _reading.read(self.path / names.SAMPLES, outputs.read, outputs.SAMPLES)

    @property
    def has_outputs(self) -> bool:
        """Whether the run kept more than its result: published copies leave both files out."""
        return any((self.path / name).is_file() for name in (names.PREDICTIONS, names.SAMPLES))

    @property
    def has_samples(self) -> bool:
        """Whether images were kept: copies of runs may leave them out."""
        return (self.path / names.SAMPLES).is_file()

    @property
    def model_file(self) -> pathlib.Path:
        """The model's file; ValueError where there is none, which says what to give instead."""
        file = self.path / names.MODEL
        if not file.is_file() and self.begun and not self.kind.has_model:
            raise ValueError(
                f"{self.path} is a run of kind {self.row.kind}, which has no model of its own: "
                f"name one of the runs that it is made of ({names.METRICS} has them), or make one "
                "model of them: python -m experiments stack"
            )
        if not file.is_file():
            raise ValueError(
                f"{file} does not exist: give a finished run's folder or a .keras file"
            )
        return file

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.dataset["class_names"])

    @property
    def expect(self) -> dict[str, Any]:
        """Published values of the row that was run; empty where nothing is published."""
        told = self.row.expect and self.row.expect.model_dump(exclude_none=True)
        return self.metrics.get("expect") or told or {}

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

    def check(self) -> Run:
        """Read all that a report shows and refuse files that contradict each other."""
        if not self.path.is_dir():
            raise ValueError(f"{self.path} is not a folder: give the folder of a finished run")
        if not self.finished:
            _reading.existing(self.path / names.METRICS)
        _ = self.row, self.environment, self.dataset, self.metrics, self.history, self.progress
        return self._check_outputs() if self.has_outputs else self

    def _check_outputs(self) -> Run:
        damaged = functools.partial(_reading.damaged, self.path / names.PREDICTIONS)
        _ = self.samples
        if self.probs.ndim != 2 or len(self.probs) != len(self.labels) or not len(self.labels):
            shapes = f"probs {self.probs.shape}, labels {self.labels.shape}"
            raise damaged(f"{shapes}: (n, classes) and (n,) are expected")
        if self.probs.shape[1] != self.classes:
            raise damaged(f"{self.probs.shape[1]} classes, dataset.json has {self.classes}")
        if self.labels.min() < 0 or self.labels.max() >= self.classes:
            raise damaged(f"labels reach {self.labels.min()} to {self.labels.max()}")
        if not np.isfinite(self.probs).all():
            raise damaged("some probabilities are not finite")
        said, top1 = self.metrics["top1"], 100 * np.mean(self.probs.argmax(axis=1) == self.labels)
        if not isinstance(said, int | float) or abs(top1 - said) > AGREEMENT:
            reason = f"top1 is {said}, predictions.npz gives {top1:.2f}: files of two runs"
            raise _reading.damaged(self.path / names.METRICS, reason)
        return self

    def check_data(self, data: Any) -> None:
        """Raise ValueError unless `data` is the data set that this run saw."""
        self.check_same(describe(data), data.name)
        # Of runs that kept no digest the order of the labels says most.
        if "digest" not in self.dataset and not np.array_equal(data.validation.labels, self.labels):
            self._refuse_data("the validation images have other labels", data.name)

    def check_same(self, described: Mapping[str, Any], other: str) -> None:
        """Raise ValueError unless a description (of `other`) is of the data that this run saw."""
        if differ := other_data(self.dataset, described, part=True):
            self._refuse_data(differ, other)

    def _refuse_data(self, reason: str, other: str) -> None:
        raise ValueError(
            f"{self.path} and {other} have other images or classes ({reason}): give the "
            "--data-dir that the run was made on"
        )

    def told(self) -> str:
        """Say when and on what a finished run was made."""
        found = self.environment
        return (
            f"{self.path}: already finished, {str(self.metrics.get('date', '?'))[:16]}, on "
            f"{self.dataset['name']} ({self.metrics['n']:,} validation images) with "
            f"{found.get('backend', '?')}"
        )

    def write_history(self, lines: list[dict[str, float]]) -> None:
        """Write the history anew."""
        history.write(self.path / names.HISTORY, lines)

    def write_progress(self, lines: list[dict[str, float]]) -> None:
        """Write the lines within the epochs anew; there is no file without any."""
        file = self.path / names.PROGRESS
        history.write(file, lines) if lines else file.unlink(missing_ok=True)

    def write_outputs(
        self, data: Any, probs: np.ndarray, views: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, float]:
        """Keep what was predicted of the validation images and `views`; return the scores."""
        labels = np.asarray(data.validation.labels, np.int64)
        found = scores.accuracy(probs, labels)
        samples = outputs.mistakes(data.validation.images, probs, labels)
        outputs.write(self.path / names.PREDICTIONS, probs=probs, labels=labels)
        outputs.write(self.path / names.SAMPLES, **samples, **(views or {}))
        return found

    def copy_outputs(self, other: Run) -> None:
        """Keep what another run predicted of the same images as this one's."""
        for name in (names.PREDICTIONS, names.SAMPLES):
            with atomic(self.path / name) as part:
                shutil.copyfile(other.path / name, part)

    def note(self, **facts: Any) -> None:
        """Add to what the run says of where it ran."""
        self.environment = self.environment | facts
        write_json(self.path / names.ENVIRONMENT, self.environment)

    def write_model(self, model: Any) -> None:
        """Keep a Keras model."""
        with atomic(self.path / names.MODEL) as part:
            model.save(part)

    def finish(self, found: dict, keep_state: bool = False) -> dict:
        """Write the metrics, which makes the run a finished one; return them."""
        write_json(self.path / names.METRICS, found)
        if not keep_state:
            shutil.rmtree(self.state, ignore_errors=True)
        return found
