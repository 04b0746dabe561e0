"""Robustness: accuracy under attacks and common corruptions, of models and of their votes.

Attacks are white-box: each model is measured on images made against itself, FGSM and PGD within a
ball of epsilon grey levels. The votes of several models are attacked through the mean of their
probabilities, which has a gradient; the mode, which has none, is measured on the same images.
Corruptions are the same images for all. Everything drawn depends on the seed and the image's row
in the validation split, so that a limit changes no image.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import augment
import stacking
from experiments import _files
from experiments.datasets import Dataset
from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.runs import Run, scores, tables
from experiments.training.predict import check_finite, predict_probs

if TYPE_CHECKING:
    import keras

EPSILONS = (1.0, 2.0, 4.0, 8.0)
SEVERITIES = (1, 2, 3, 4, 5)
PGD_STEPS = 10
VOTES = ("mean", "mode")
BATCH = 64


@dataclasses.dataclass(frozen=True)
class Robustness:
    """What `measure` found, and the file that keeps it."""

    rows: list[dict[str, Any]]
    path: pathlib.Path


def of_runs(
    runs: Sequence[Run],
    place: Place,
    out: pathlib.Path,
    *,
    epsilons: Sequence[float] = EPSILONS,
    limit: int | None = None,
    seed: int = 0,
    listener: Listener = SILENT,
) -> Robustness:
    """Measure finished runs of the same images, and their votes if there are several.

    Rows are written into the folder `out`. Raises `ValueError`, before Keras is imported and
    images are decoded, for runs that cannot vote together, numbers that do not fit, data that is
    not there and a folder that cannot be written.
    """
    _check_numbers(epsilons, limit)
    by_name = _named(runs)
    place.check(runs[0].row.data)
    path = _files.check_writable(pathlib.Path(out) / tables.ROBUSTNESS)
    place.load_backend()

    import zoo

    data = place.dataset(runs[0].row.data, listener)
    for run in runs:
        run.check_data(data)
    models = {name: zoo.load(run.model_file) for name, run in by_name.items()}
    options = {"epsilons": epsilons, "limit": limit, "seed": seed, "listener": listener}
    rows = measure(models, data, **options)
    tables.write(rows, path)
    return Robustness(rows, path)


def measure(
    models: Mapping[str, keras.Model],
    data: Dataset,
    *,
    epsilons: Sequence[float] = EPSILONS,
    limit: int | None = None,
    seed: int = 0,
    listener: Listener = SILENT,
) -> list[dict[str, Any]]:
    """Measure models, and their votes if there are several, on validation images.

    Returns one row for each model and measure, with top1 in percent and its strength: grey levels
    of an attack, severity of a corruption, 0 for clean images. `limit` takes that many images,
    drawn by the seed. Raises ValueError for numbers and models that do not fit, before anything
    runs, and for a model whose answers are not finite.
    """
    _check_numbers(epsilons, limit)
    _check_models(models)
    chosen = _chosen(len(data.validation), limit, seed)
    images, labels = data.validation.batch(chosen), data.validation.labels[chosen]
    found: dict[tuple[str, str, float], float] = {}

    def note(probs: Mapping[str, np.ndarray], what: str, strength: float) -> None:
        for name, of_model in probs.items():
            found[name, what, strength] = scores.accuracy(of_model, labels)["top1"]

    clean = _probs(models, images)
    attacks = _Attacks(images, labels, chosen, epsilons, seed, listener)
    for name, model in models.items():
        note({name: clean[name]}, "clean", 0.0)
        for what, strength, changed in attacks.on(name, model):
            note(_probs({name: model}, changed), what, strength)
    if len(models) > 1:
        note(_votes(clean), "clean", 0.0)
        for what, strength, changed in attacks.on(f"the mean of {len(models)}", _mean(models)):
            note(_votes(_probs(models, changed)), what, strength)
    for what, strength, changed in _corruptions(images, chosen, seed, listener):
        probs = _probs(models, changed)
        note(probs | _votes(probs), what, strength)
    return [
        {"model": name, "measure": what, "strength": strength, "n": len(labels), "seed": seed}
        | {"top1": top1}
        for (name, what, strength), top1 in found.items()
    ]


@dataclasses.dataclass(frozen=True, eq=False)
class _Attacks:
    """Images with their labels and rows in the split, and how they are attacked."""

    images: np.ndarray
    labels: np.ndarray
    indices: np.ndarray
    epsilons: Sequence[float]
    seed: int
    listener: Listener

    def on(self, name: str, model: keras.Model) -> Iterator[tuple[str, float, np.ndarray]]:
        """Yield the images of each attack on the model."""
        gradient, pixels = augment.Gradient(model, batch_size=BATCH), (self.images, self.labels)
        for done, epsilon in enumerate(self.epsilons):
            self.listener.progress(f"attacks on {name}", done, len(self.epsilons))
            yield "fgsm", epsilon, augment.fgsm(gradient, *pixels, epsilon=epsilon)
            # Steps that cross the ball from its middle two and a half times, as is usual.
            options = {"epsilon": epsilon, "step": 2.5 * epsilon / PGD_STEPS, "steps": PGD_STEPS}
            options |= {"seed": self.seed, "indices": self.indices}
            yield "pgd", epsilon, augment.pgd(gradient, *pixels, **options)
        self.listener.progress(f"attacks on {name}", len(self.epsilons), len(self.epsilons))


def _corruptions(
    images: np.ndarray, indices: np.ndarray, seed: int, listener: Listener
) -> Iterator[tuple[str, float, np.ndarray]]:
    for done, kind in enumerate(augment.CORRUPTIONS):
        listener.progress("corruptions", done, len(augment.CORRUPTIONS))
        for severity in SEVERITIES:
            changed = augment.corrupt(images, kind, severity, seed=seed, indices=indices)
            yield kind, float(severity), changed
    listener.progress("corruptions", len(augment.CORRUPTIONS), len(augment.CORRUPTIONS))


def _probs(models: Mapping[str, keras.Model], images: np.ndarray) -> dict[str, np.ndarray]:
    found = {name: predict_probs(model, images, BATCH) for name, model in models.items()}
    for name, probs in found.items():
        if not np.isfinite(probs).all():
            raise ValueError(
                f"{name} answers with probabilities that are not finite: did its training diverge?"
            )
    return found


def _votes(probs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what the models decide together, nothing of a model alone."""
    if len(probs) < 2:
        return {}
    stacked = np.stack(list(probs.values()), axis=1)
    return {f"vote: {rule}": stacking.vote(stacked, rule) for rule in VOTES}


def _mean(models: Mapping[str, keras.Model]) -> keras.Model:
    """Return one model whose output is the mean of the models' probabilities."""
    import keras

    frozen = [
        stacking.frozen_member(model, "probs", f"member_{i}")
        for i, model in enumerate(models.values())
    ]
    image = keras.Input(frozen[0].input_shape[1:], name="image")
    return keras.Model(image, keras.layers.Average()([member(image) for member in frozen]))


def _chosen(count: int, limit: int | None, seed: int) -> np.ndarray:
    """Return the rows of the split that are measured, in order."""
    if limit is None or limit >= count:
        return np.arange(count)
    return np.sort(np.random.RandomState(seed).permutation(count)[:limit])


def _named(runs: Sequence[Run]) -> dict[str, Run]:
    """Return runs that have a model and can vote, by the shortest name that tells them apart."""
    if not runs:
        raise ValueError("no runs given: name at least one finished run")
    first, folders = runs[0], {}
    for run in runs:
        _ = run.model_file
        if (other := folders.setdefault(run.path.resolve(), run)) is not run:
            raise ValueError(f"{run} is given twice (also as {other}): a run has one vote")
        if run.row.data != first.row.data:
            raise ValueError(
                f"{run} is for {run.row.data.told()}, {first} for {first.row.data.told()}: runs of "
                "other images cannot vote, measure them one by one"
            )
        first.check_same(run.dataset, str(run))
    names = [run.name for run in runs]
    names = names if len(set(names)) == len(names) else [str(run) for run in runs]
    return dict(zip(names, runs, strict=True))


def _check_numbers(epsilons: Sequence[float], limit: int | None) -> None:
    if not epsilons or any(not 0 < epsilon <= 255 for epsilon in epsilons):
        raise ValueError(f"epsilons {list(epsilons)}: give grey levels above 0, at most 255")
    if limit is not None and limit < 1:
        raise ValueError(f"limit={limit}: give a number of images of 1 or more")


def _check_models(models: Mapping[str, keras.Model]) -> None:
    shapes = {name: (model.input_shape, model.output_shape) for name, model in models.items()}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"models differ in images or classes, so they cannot vote: {listed}")
    for name, model in models.items():
        check_finite(model, name)
