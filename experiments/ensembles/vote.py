"""Votes of finished runs: a row of a paper's table that trains nothing.

Members' probabilities of validation images are those that their runs kept. What is fitted, the
weights, is fitted on the training images that all members held out, and on nothing else.
"""

import pathlib
from collections.abc import Callable, Mapping

import numpy as np

import stacking
import zoo
from experiments.datasets import Dataset
from experiments.ensembles import members
from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.recipes import Vote
from experiments.runs import Run, making, metrics
from experiments.training.part import held_out

# Names of `weights` in recipes -> what fits them, given probabilities and labels.
WEIGHTS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "accuracy": stacking.accuracy_weights,
    "boosted": stacking.boosted_weights,
    "selected": stacking.select,
}


def run(row: Vote, folder: pathlib.Path, place: Place, listener: Listener = SILENT) -> dict:
    """Let a row's members vote where they lie; return the run's metrics."""
    runs = members.of(row, place)
    return vote(row, folder, runs, place.dataset(row.data, listener), listener)


def vote(
    row: Vote,
    folder: pathlib.Path,
    runs: Mapping[str, Run],
    data: Dataset,
    listener: Listener = SILENT,
) -> dict:
    """Let the members vote and return the run's metrics (accuracies in percent).

    The run's folder is like any other, without model and history. Parameters and multiply-adds are
    sums over the members whose weight is not zero.
    Raises `ValueError` for members whose predictions are of other images.
    """
    for member in runs.values():
        member.check_data(data)
    with making(folder, row, data) as made:
        if made.finished:
            return made.metrics
        probs, weights = validation_outputs(runs), None
        if row.weights != "none":
            outputs, truth = held_out_outputs(runs, data, made.state, listener)
            listener.say(f"weights fitted on {len(truth):,} images that the members held out")
            weights = WEIGHTS[row.weights](outputs, truth)
        scores = made.write_outputs(data, stacking.vote(probs, row.rule, weights))
        shares = np.full(len(runs), 1 / len(runs)) if weights is None else weights
        cost = {
            key: sum(m.metrics[key] for m, s in zip(runs.values(), shares, strict=True) if s)
            for key in ("parameters", "macs")
        }
        told = [
            metrics.of_member(
                name, one, one.metrics, weight=float(weight), changed=members.changed(one)
            )
            for (name, one), weight in zip(runs.items(), shares, strict=True)
        ]
        return made.finish(metrics.build(row, made.dataset, scores, cost, members=told))


def validation_outputs(runs: Mapping[str, Run]) -> np.ndarray:
    """Return what the members' runs kept of the validation images: probs (n, members, classes).

    Raises `ValueError` unless all are of the same images, in the same order.
    """
    first, *others = runs.values()
    for other in others:
        other.check_same(first.dataset, str(first))
        if other.probs.shape != first.probs.shape or not np.array_equal(other.labels, first.labels):
            raise ValueError(
                f"{other} and {first} were evaluated on other validation images "
                "(predictions.npz): train both on the same --data-dir"
            )
    return np.stack([run.probs for run in runs.values()], axis=1)


def held_out_outputs(
    runs: Mapping[str, Run],
    data: Dataset,
    cache_dir: pathlib.Path,
    listener: Listener = SILENT,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the members' probs (n, members, classes) and labels (n,) of images none has seen.

    Those are the training images that all of them held out. The members' outputs are kept in
    `cache_dir`: what is there is not computed again.
    """
    split = held_out(data, members.share(runs))
    models = {name: zoo.load(member.model_file) for name, member in runs.items()}
    probs = stacking.member_outputs(
        models, split.images, cache_dir=cache_dir, progress=listener.progress
    )
    return probs, np.asarray(split.labels)
