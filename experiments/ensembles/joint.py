"""Train members together into one model, which answers by their weighted mean; a warning."""

import functools
import pathlib

import keras
import numpy as np

import stacking
from experiments.datasets import Dataset
from experiments.ensembles.correctness import Together
from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.recipes import Joint
from experiments.runs import making, metrics, scores
from experiments.training import callbacks, optimizers, precision, train
from experiments.training.fit import fit
from experiments.training.part import seen
from experiments.training.phases import Phase
from experiments.training.predict import predict_probs
from stacking.joint import SAID


def run(row: Joint, folder: pathlib.Path, place: Place, listener: Listener = SILENT) -> dict:
    """Train a row's members where its data lies; return the run's metrics (accuracies in percent).

    An unfinished run goes on from its last whole epoch and ends as an unbroken one. Its history has
    each member's accuracies (`top1_NAME`, `val_top1_NAME`), its weight at the end of the epoch
    (`weight_NAME`) and `effective_members`, exp of the weights' entropy; so have the metrics.
    """
    wall = callbacks.Stopwatch()
    optimizers.make(row.optimizer)
    precision.check(row)
    part = seen(place.dataset(row.data, listener), row.share)
    with making(folder, row, part) as made:
        if made.finished:
            return made.metrics
        make = functools.partial(build, row, part)
        model = precision.built(row, made, make, cache_dir=place.cache_dir, listener=listener)
        growth = row.growth if row.weights == "correctness" else 0.0
        fitted = fit(
            row,
            made,
            model,
            Phase(part, row.epochs),
            targets=Together(row.loss, list(row.members), growth, mixed=row.mix is not None),
            extra=None,
            listener=listener,
            wall=wall,
        )
        left = stacking.effective_members(stacking.weights_of(model))
        told = {"effective_members": left, "members": _members(row, model, part)}
        return train.finish(row, made, model, part, fitted, wall, **told)


def build(row: Joint, data: Dataset, policy: str = "float32") -> keras.Model:
    """Build the members as each would be by itself, and join them.

    Their variables have the members' names in their paths: by these Keras finds, on torch, whose
    gradients to clear before a step, and members of one architecture would be taken for one.
    """
    alone = {}
    for name, one in row.alone.items():
        with keras.name_scope(name):
            alone[name] = train.build(one, data, policy)
    return stacking.joint(alone)


def _members(row: Joint, model: keras.Model, data: Dataset) -> list[dict]:
    """Return what metrics say of each member: its own scores, cost and weight."""
    each = keras.Model(model.input, model.get_layer(SAID).output)
    probs, labels = predict_probs(each, data.validation.images), data.validation.labels
    found = []
    for place, (name, weight) in enumerate(
        zip(row.members, stacking.weights_of(model).tolist(), strict=True)
    ):
        member = scores.accuracy(np.ascontiguousarray(probs[:, place]), labels)
        member |= train.cost(model.get_layer(name))
        told = metrics.of_member(name, "", member, weight=weight, changed=[])
        found.append({key: value for key, value in told.items() if key != "run"})
    return found
