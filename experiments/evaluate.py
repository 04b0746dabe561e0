"""What a model predicts on a split, scored, and kept in the run's folder.

A run's folder, written by training, stacking, votes (those of class experts among them) and this
module, read by `experiments.report` (accuracies in percent, times in seconds, every file written
whole or not at all):

    recipe.yaml       the resolved row, itself runnable
    environment.json  backend, versions, device, cores, commit, command, date
    dataset.json      name, class_names, class_ids, train and validation (counts), image_shape
    history.csv       one line an epoch, from 1: loss, top1, top3, top5, the same of validation
                      (val_), lr, seconds, images_per_second; not of a vote
    metrics.json      the result: top1, top3, top5, loss, times, size, seed, published values
    model.keras       functional model, raw pixels in, probabilities out, not compiled; not of a
                      vote
    predictions.npz   probs (n, classes) float32, of a vote float64, whose ties are broken in the
                      ninth decimal; labels (n,) int64: validation images, in order
    samples.npz       wrong_images (k, h, w, c) uint8, wrong_labels, wrong_predictions,
                      wrong_confidence (k,): the most confident mistakes, k <= 24; with a policy
                      also original (m, h, w, c), augmented (m, views, h, w, c) uint8
    state/            for resuming; gone after success
    plots/*.png       figures of the report, where asked for

Keras is imported inside functions.
"""

from __future__ import annotations

import pathlib
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from experiments._files import atomic, read_json

if TYPE_CHECKING:
    import keras

    from augment import Policy
    from experiments.datasets import Dataset

BATCH = 256
TOP = (1, 3, 5)
MISTAKES = 24  # kept for the report
ORIGINALS, VIEWS = 6, 5  # training images shown, augmented views of each
EXTREMES = 5  # best and worst classes printed


def predict_probs(model: keras.Model, images: np.ndarray, batch_size: int = BATCH) -> np.ndarray:
    """Return the probabilities (n, classes) float32 of images (n, h, w, c), raw pixels 0..255.

    `images` may be memory-mapped: one batch at a time is read. The last batch is filled up to the
    size of the others, so that every backend compiles once.
    Raises ValueError for images that do not fit the model.
    """
    _check_images(model, images)
    size = min(batch_size, len(images))
    parts = []
    for start in range(0, len(images), size):
        batch = np.asarray(images[start : start + size])
        if start == 0 and batch.dtype.kind == "f" and batch.max() <= 1:
            warnings.warn(
                f"float images between {batch.min():g} and {batch.max():g}: the model expects raw "
                "pixels, 0 to 255; multiply by 255",
                stacklevel=2,
            )
        count = len(batch)
        if count < size:
            batch = np.concatenate([batch, np.zeros((size - count, *batch.shape[1:]), batch.dtype)])
        parts.append(np.asarray(model.predict_on_batch(batch), np.float32)[:count])
    return np.concatenate(parts)


def accuracy(probs: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return top1, top3, top5 in percent and loss, the mean negative log likelihood.

    Of classes with equal probability the one with the lower number ranks first, as in argmax: a
    model that says the same for all classes is not right five times out of five. k is at most the
    number of classes. Probabilities are clipped to the float32 epsilon before the logarithm.
    Raises ValueError for shapes, labels or probabilities that do not fit.
    """
    probs, labels = _checked(probs, labels)
    true = np.take_along_axis(probs, labels[:, None], axis=1)
    ahead = (probs > true) | ((probs == true) & (np.arange(probs.shape[1]) < labels[:, None]))
    rank = ahead.sum(axis=1)
    scores = {f"top{k}": float(100 * np.mean(rank < min(k, probs.shape[1]))) for k in TOP}
    smallest = np.finfo(np.float32).eps
    return scores | {"loss": float(-np.log(true.clip(smallest, 1), dtype=np.float64).mean())}


def calibration_error(probs: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Return the expected calibration error in percent points: how far accuracy is from confidence.

    Images are put into `bins` bins of equal width by confidence, the probability of the decision;
    a bin holds its upper edge, not its lower one. The error is the mean over images of the absolute
    difference of accuracy and mean confidence in their bin. Source: Guo et al., "On calibration of
    modern neural networks", ICML 2017, equation 3, with its 15 bins.
    Raises ValueError for shapes, labels or probabilities that do not fit and fewer than 1 bin.
    """
    if not isinstance(bins, int | np.integer) or bins < 1:
        raise ValueError(f"bins={bins!r}: give a whole number of 1 or more")
    probs, labels = _checked(probs, labels)
    confidence = probs.max(axis=1).astype(np.float64)
    gaps = (probs.argmax(axis=1) == labels) - confidence
    inner_edges = np.arange(1, bins) / bins
    by_bin = np.bincount(np.digitize(confidence, inner_edges, right=True), gaps)
    return float(100 * np.abs(by_bin).sum() / len(labels))


def write_outputs(
    run_dir: pathlib.Path,
    model: keras.Model | None,
    dataset: Dataset,
    policy: Policy | None = None,
    seed: int = 0,
    probs: np.ndarray | None = None,
) -> dict[str, float]:
    """Write predictions.npz and samples.npz of the validation split; return its `accuracy`.

    `probs`, where they are known already, are used as they are, and no model is needed. The
    augmented samples are those that `seed` draws for the first epochs.
    """
    run_dir, validation = pathlib.Path(run_dir), dataset.validation
    probs = predict_probs(model, validation.images) if probs is None else probs
    labels = np.asarray(validation.labels, np.int64)
    scores = accuracy(probs, labels)
    samples = _mistakes(validation.images, probs, labels)
    if policy is not None:
        samples |= _augmented(dataset.train.images, policy, seed)
    _write_arrays(run_dir / "predictions.npz", probs=probs, labels=labels)
    _write_arrays(run_dir / "samples.npz", **samples)
    return scores


def evaluate(
    run_dir: pathlib.Path,
    dataset: Dataset,
    *,
    batch_size: int = BATCH,
    console: Console | None = None,
) -> dict[str, float]:
    """Evaluate a finished run's model on a data set's validation split; print and return scores.

    The data set may be another one with the same classes; the run's folder is left as it is.
    Raises ValueError when the run has no model or the data set's classes or images do not fit.
    """
    import zoo

    run_dir = pathlib.Path(run_dir)
    known = read_json(run_dir / "dataset.json")
    check_classes(known["class_names"], dataset.class_names, f"{run_dir} and {dataset.name}")
    model = zoo.load(model_file(run_dir))
    labels = np.asarray(dataset.validation.labels)
    probs = predict_probs(model, dataset.validation.images, batch_size)
    scores = accuracy(probs, labels)
    right = probs.argmax(axis=1) == labels
    by_class = {
        name: 100 * right[labels == label].mean()
        for label, name in enumerate(dataset.class_names)
        if (labels == label).any()
    }
    console = console or Console()
    heading = f"[bold]{escape(str(run_dir))}[/] on {dataset.name}"
    console.print(f"{heading}, {len(labels):,} validation images", soft_wrap=True, highlight=False)
    console.print(_table(scores, by_class))
    return scores


def model_file(run_or_model: pathlib.Path) -> pathlib.Path:
    """Return the `.keras` file of a run's folder, or the file itself; ValueError without one."""
    path = pathlib.Path(run_or_model)
    file = path / "model.keras" if path.is_dir() else path
    metrics = file.parent / "metrics.json"
    kind = read_json(metrics).get("kind") if metrics.is_file() else None
    if not file.is_file() and kind in ("vote", "experts"):
        raise ValueError(
            f"{path} is a vote of its members and has no model: name one of them "
            "(metrics.json lists them), or make one model of them: python -m experiments stack"
        )
    if not file.is_file():
        raise ValueError(f"{file} does not exist: give a finished run's folder or a .keras file")
    return file


def check_classes(known: Sequence[str], given: Sequence[str], where: str) -> None:
    """Raise ValueError unless both are the same classes in the same order."""
    if len(known) != len(given):
        raise ValueError(f"{where} have other classes: {len(known)} and {len(given)} of them")
    for number, (one, other) in enumerate(zip(known, given, strict=True)):
        if one != other:
            raise ValueError(f"{where} have other classes: class {number} is {one!r} and {other!r}")


def _checked(probs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    probs, labels = np.asarray(probs), np.asarray(labels)
    if probs.ndim != 2 or labels.shape != (len(probs),) or not len(labels):
        raise ValueError(
            f"probs {probs.shape} and labels {labels.shape}: (n, classes) and (n,) are expected"
        )
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= probs.shape[1]:
        raise ValueError(
            f"labels of type {labels.dtype} from {labels.min()} to {labels.max()}: whole numbers "
            f"from 0 to {probs.shape[1] - 1} are expected"
        )
    if not np.isfinite(probs).all():
        raise ValueError("some probabilities are not finite: did the training diverge?")
    return probs, labels


def _check_images(model: keras.Model, images: np.ndarray) -> None:
    shape, expected = tuple(images.shape), tuple(model.input_shape[1:])
    if len(shape) != 4 or not shape[0]:
        raise ValueError(f"images of shape {shape}: (n, height, width, channels), n > 0, expected")
    if any(side not in (None, given) for side, given in zip(expected, shape[1:], strict=True)):
        raise ValueError(
            f"images are {shape[1:]}, {model.name} takes {expected}: load the data set with the "
            f"size and channels of the model"
        )


def _mistakes(images: np.ndarray, probs: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    predicted, confidence = probs.argmax(axis=1), probs.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    # One by one: a memory-mapped array need not take a list of indices.
    chosen = [np.asarray(images[index]) for index in wrong]
    return {
        "wrong_images": np.stack(chosen) if chosen else np.empty((0, *images.shape[1:]), np.uint8),
        "wrong_labels": labels[wrong],
        "wrong_predictions": predicted[wrong],
        "wrong_confidence": confidence[wrong],
    }


def _augmented(images: np.ndarray, policy: Policy, seed: int) -> dict[str, np.ndarray]:
    """Return some training images and their views of the first epochs, as training saw them."""
    import keras

    import augment

    count = min(ORIGINALS, len(images))
    indices = np.sort(np.random.default_rng(seed).choice(len(images), count, replace=False))
    original = np.stack([np.asarray(images[index]) for index in indices])
    views = [
        keras.ops.convert_to_numpy(
            augment.batch(original, policy, seed=seed, epoch=epoch, indices=indices)
        )
        for epoch in range(VIEWS)
    ]
    augmented = np.stack(views, axis=1).round().clip(0, 255).astype(np.uint8)
    return {"original": original, "augmented": augmented}


def _write_arrays(path: pathlib.Path, **arrays: np.ndarray) -> None:
    with atomic(path) as part:
        np.savez(part, **arrays)


def _table(scores: dict[str, float], by_class: dict[str, float]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("measure")
    table.add_column("value", justify="right", style="bold")
    for key, value in scores.items():
        unit = " %" if key.startswith("top") else ""
        table.add_row(key.replace("top", "top-"), f"{value:.2f}{unit}" if unit else f"{value:.4f}")
    ranked = sorted(by_class.items(), key=lambda item: -item[1])
    shown = min(EXTREMES, len(ranked) // 2)
    for place, part in (("best", ranked[:shown]), ("worst", ranked[len(ranked) - shown :])):
        table.add_section()
        for name, value in part:
            table.add_row(escape(f"{place} class: {name}"), f"{value:.2f} %")
    return table
