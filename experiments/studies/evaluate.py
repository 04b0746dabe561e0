"""How well a finished run does on validation images: its own, or others with the same classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from experiments.datasets import Dataset
from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.runs import Run, scores
from experiments.runs.dataset import describe, other_data, same_pixels
from experiments.training import views as seen
from experiments.training.predict import BATCH, predict_probs


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a run's model scored on a data set; accuracies in percent.

    `other_images`: these are not the images on which the run was validated. `by_class` has no
    class without images. Where the model was asked with `views` as well, what it scored so stands
    in `with_views` and `by_class_with_views`, else these are empty.
    """

    run: str
    data: str
    n: int
    other_images: bool
    scores: dict[str, float]
    by_class: dict[str, float]
    views: str = "none"
    with_views: dict[str, float] = dataclasses.field(default_factory=dict)
    by_class_with_views: dict[str, float] = dataclasses.field(default_factory=dict)


def of_run(
    run: Run, place: Place, listener: Listener = SILENT, *, views: str = "none"
) -> Evaluation:
    """Evaluate a finished run again on the data set of its recipe, where `place` has it."""
    _ = run.model_file, run.dataset, seen.get(views)
    place.check(run.row.data)
    place.load_backend()
    return evaluate(run, place.dataset(run.row.data, listener), views=views)


def evaluate(
    run: Run, data: Dataset, *, batch_size: int = BATCH, views: str = "none"
) -> Evaluation:
    """Evaluate a finished run's model on a data set's validation split, plain and with views.

    The data set may be another one with the same classes; the run's folder is left as it is.
    Raises ValueError when the run has no model, the data set's classes or images do not fit, and
    for unknown views.
    """
    several = len(seen.get(views)) > 1
    import zoo

    check_classes(run.dataset["class_names"], data.class_names, f"{run} and {data.name}")
    model = zoo.load(run.model_file)
    labels = np.asarray(data.validation.labels)
    images, names = data.validation.images, data.class_names
    plain = predict_probs(model, images, batch_size)
    found = Evaluation(
        run=str(run),
        data=data.name,
        n=len(labels),
        other_images=_other_images(run, data),
        scores=scores.accuracy(plain, labels),
        by_class=_by_class(plain, labels, names),
    )
    if not several:
        return found
    probs = seen.predict_views(model, images, views, batch_size, plain=plain)
    return dataclasses.replace(
        found,
        views=views,
        with_views=scores.accuracy(probs, labels),
        by_class_with_views=_by_class(probs, labels, names),
    )


def _by_class(probs: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    right = probs.argmax(axis=1) == labels
    return {
        name: float(100 * right[labels == label].mean())
        for label, name in enumerate(names)
        if (labels == label).any()
    }


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
    same = same_pixels(run.dataset, described, "validation")
    return bool(other_data(run.dataset, described, part=True)) if same is None else not same
