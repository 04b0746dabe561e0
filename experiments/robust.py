"""Robustness: accuracy under attacks and common corruptions, of models and of their votes.

Attacks are white-box: each model is measured on images made against itself, FGSM and PGD within a
ball of epsilon grey levels. The votes of several models are attacked through the mean of their
probabilities, which has a gradient; the mode, which has none, is measured on the same images.
Corruptions are the same images for all. Everything drawn depends on the seed and the image.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

import augment
import stacking
from experiments import _robustness, bench, evaluate
from experiments.datasets import Dataset, Split

if TYPE_CHECKING:
    import keras

EPSILONS = (1.0, 2.0, 4.0, 8.0)
SEVERITIES = (1, 2, 3, 4, 5)
PGD_STEPS = 10
VOTES = ("mean", "mode")
BATCH = 64


def measure(
    models: Mapping[str, keras.Model],
    data: Dataset,
    out: pathlib.Path,
    *,
    epsilons: Sequence[float] = EPSILONS,
    limit: int | None = None,
    seed: int = 0,
    console: Console,
) -> list[dict]:
    """Measure models, and their votes if there are several, on validation images.

    Returns one row for each model and measure, with top1 in percent and its strength: grey levels
    of an attack, severity of a corruption, 0 for clean images. Writes them to `robustness.csv` in
    the folder `out` and prints it as a table. `limit` takes that many images, drawn by the seed.
    Raises ValueError for numbers and models that do not fit, before anything runs.
    """
    _check(models, epsilons, limit)
    split = _part(data.validation, limit, seed)
    images, labels = np.asarray(split.images), split.labels
    scores: dict[tuple[str, str, float], float] = {}

    def note(found: dict[str, np.ndarray], what: str, strength: float) -> None:
        for name, probs in found.items():
            scores[name, what, strength] = evaluate.accuracy(probs, labels)["top1"]

    for name, model in models.items():
        for what, strength, changed in _attacks(name, model, images, labels, epsilons, seed):
            note(_probs({name: model}, changed), what, strength)
    if len(models) > 1:
        together = f"the mean of {len(models)}", _mean(models)
        for what, strength, changed in _attacks(*together, images, labels, epsilons, seed):
            note(_votes(_probs(models, changed)), what, strength)
    for what, strength, changed in _corruptions(images, seed):
        probs = _probs(models, changed)
        note(probs | _votes(probs), what, strength)
    rows = [
        {"model": name, "measure": what, "strength": strength, "n": len(labels), "seed": seed}
        | {"top1": top1}
        for (name, what, strength), top1 in scores.items()
    ]
    path = pathlib.Path(out) / _robustness.FILE
    bench.write_csv(rows, path)
    console.print(table(rows))
    console.print(f"written to [bold]{path}[/]", soft_wrap=True)
    return rows


def table(rows: Sequence[dict]) -> Table:
    """Table of models by measure, top-1 in percent; of a corruption the mean over severities."""
    card = _robustness.Card(rows)
    caption = "attacks: grey levels of epsilon; corruptions: mean over severities"
    found = Table(title=f"top-1 %, n = {card.n:,}", caption=caption, box=box.SIMPLE_HEAD)
    found.add_column("measure", no_wrap=True)
    for model in card.models:
        found.add_column(model, justify="right")
    found.add_row("clean", *(f"{card.clean(m):.1f}" for m in card.models))
    for attack, epsilon in card.attacks:
        values = (f"{card.attacked(m, attack, epsilon):.1f}" for m in card.models)
        found.add_row(f"{attack} {epsilon:g}", *values)
    for kind in card.corruptions:
        found.add_row(kind, *(f"{card.corrupted(m, kind):.1f}" for m in card.models))
    return found


def _attacks(
    name: str,
    model: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    epsilons: Sequence[float],
    seed: int,
) -> Iterator[tuple[str, float, np.ndarray]]:
    """Yield the clean images, then those of each attack on the model."""
    yield "clean", 0.0, images
    gradient = augment.Gradient(model, batch_size=BATCH)
    for epsilon in track(epsilons, description=f"attacks on {name}"):
        yield "fgsm", epsilon, augment.fgsm(gradient, images, labels, epsilon=epsilon)
        # Steps that cross the ball from its middle two and a half times, as is usual.
        step = 2.5 * epsilon / PGD_STEPS
        options = {"epsilon": epsilon, "step": step, "steps": PGD_STEPS, "seed": seed}
        yield "pgd", epsilon, augment.pgd(gradient, images, labels, **options)


def _corruptions(images: np.ndarray, seed: int) -> Iterator[tuple[str, float, np.ndarray]]:
    for kind in track(augment.CORRUPTIONS, description="corruptions"):
        for severity in SEVERITIES:
            yield kind, float(severity), augment.corrupt(images, kind, severity, seed=seed)


def _probs(models: Mapping[str, keras.Model], images: np.ndarray) -> dict[str, np.ndarray]:
    return {name: evaluate.predict_probs(m, images, BATCH) for name, m in models.items()}


def _votes(probs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what the models decide together, nothing of a model alone."""
    if len(probs) == 1:
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


def _part(split: Split, limit: int | None, seed: int) -> Split:
    if limit is None or limit >= len(split):
        return split
    return split.take(np.sort(np.random.RandomState(seed).permutation(len(split))[:limit]))


def _check(models: Mapping[str, keras.Model], epsilons: Sequence[float], limit: int | None) -> None:
    if not epsilons or any(not 0 < epsilon <= 255 for epsilon in epsilons):
        raise ValueError(f"epsilons {list(epsilons)}: give grey levels above 0, at most 255")
    if limit is not None and limit < 1:
        raise ValueError(f"limit={limit}: give a number of images of 1 or more")
    shapes = {name: (model.input_shape, model.output_shape) for name, model in models.items()}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"models differ in images or classes, so they cannot vote: {listed}")
