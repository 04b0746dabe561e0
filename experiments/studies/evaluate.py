"""How well a finished run does on validation images: its own, or others with the same classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from experiments.datasets import Dataset
from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.runs import Run, scores
from experiments.runs.dataset import describe, other_data
from experiments.training.predict import BATCH, predict_probs


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a run's model scored on a data set; accuracies in percent.

    `other_images`: these are not the images on which the run was validated. `by_class` has no
    class without images.
    """

    run: str
    data: str
    n: int
    other_images: bool
    scores: dict[str, float]
    by_class: dict[str, float]


def of_run(run: Run, place: Place, listener: Listener = SILENT) -> Evaluation:
    """Evaluate a finished run again on the data set of its recipe, where `place` has it."""
    _ = run.model_file, run.dataset
    place.check(run.row.data)
    place.load_backend()
    return evaluate(run, place.dataset(run.row.data, listener))


def evaluate(run: Run, data: Dataset, *, batch_size: int = BATCH) -> Evaluation:
    """Evaluate a finished run's model on a data set's validation split.

    The data set may be another one with the same classes; the run's folder is left as it is.
    Raises ValueError when the run has no model or the data set's classes or images do not fit.
    """
    import zoo

    check_classes(run.dataset["class_names"], data.class_names, f"{run} and {data.name}")
    model = zoo.load(run.model_file)
    labels = np.asarray(data.validation.labels)
    probs = predict_probs(model, data.validation.images, batch_size)
    found = scores.accuracy(probs, labels)
    right = probs.argmax(axis=1) == labels
    by_class = {
        name: float(100 * right[labels == label].mean())
        for label, name in enumerate(data.class_names)
        if (labels == label).any()
    }
    return Evaluation(str(run), data.name, len(labels), _other_images(run, data), found, by_class)


def check_classes(known: Sequence[str], given: Sequence[str], where: str) -> None:
    """Raise ValueError unless both are the same classes in the same order."""
    if len(known) != len(given):
        raise ValueError(f"{where} have other classes: {len(known)} and {len(given)} of them")
    for number, (one, other) in enumerate(zip(known, given, strict=True)):
        if one != other:
            raise ValueError(f"{where} have other classes: class {number} is {one!r} and {other!r}")


def _other_images(run: Run, data: Dataset) -> bool:
    """Whether the run was validated on other images, as far as it kept what tells them apart."""
    described = describe(data)
    known = (run.dataset.get("digest") or {}).get("validation")
    if known is not None:
        return known != described["digest"]["validation"]
    return bool(other_data(run.dataset, described, part=True))
