"""Train one row of a recipe into a run folder; begun again, it goes on where it was cut off."""

import functools
import pathlib
import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

import augment
import zoo
from experiments.datasets import Dataset, Split
from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.recipes import Learned, Train
from experiments.runs import Run, history, making, metrics
from experiments.runs.scores import balanced
from experiments.training import (
    adversarial,
    callbacks,
    generated,
    lengthen,
    optimizers,
    pca,
    phases,
    precision,
)
from experiments.training.fit import Fitted, fit
from experiments.training.predict import augmented_views, predict_probs
from experiments.training.targets import Labels, Teacher, class_weights
from experiments.training.views import scored


def run(row: Train, folder: pathlib.Path, place: Place, listener: Listener = SILENT) -> dict:
    """Train a row where its data, its teacher and its adversarial images lie; return its metrics.

    Raises `ValueError` for an optimizer that cannot be made and a precision that there is not,
    before data is read, and for a teacher, a generator, adversarial images or sizes of other data.
    """
    wall = callbacks.Stopwatch()
    optimizers.make(row.optimizer)
    precision.check(row)
    data, given = place.dataset(row.data, listener), {"cache_dir": place.cache_dir}
    copies = phases.load(row, data, place, listener)
    if row.distill:
        taught_by = Run(place.named(row, row.distill.teacher))
        taught_by.check_data(data)
        given["teacher"] = zoo.load(taught_by.model_file)
    if row.adversarial:
        classes = row.adversarial.classes
        given["extra"] = adversarial.read(row.adversarial.folder, data, classes)
    if row.generated:
        data = generated.added(row, data, place, listener)
    return train(row, folder, data, copies=copies, **given, listener=listener, wall=wall)


def train(
    row: Train,
    folder: pathlib.Path,
    data: Dataset,
    *,
    copies: Mapping[int, Dataset] | None = None,
    teacher: keras.Model | None = None,
    extra: Split | None = None,
    cache_dir: pathlib.Path | None = None,
    listener: Listener = SILENT,
    wall: callbacks.Stopwatch | None = None,
) -> dict:
    """Train a row on a data set and return its metrics (accuracies in percent).

    When the folder holds an unfinished run of the same row, training goes on from its last whole
    epoch and ends with the weights and the history that an unbroken run would have had. A finished
    run is not repeated. `copies` are the same images at the sizes of `row.sizes`, `teacher` is the
    model of `row.distill`, `extra` the images of `row.adversarial`; those of `row.generated` come
    with the data set; `cache_dir` keeps the self-tests of `precision: auto`. `wall` has run since
    the work on the row began (default: since now): its last reading is `wall_seconds`, which is
    everything from the first image read to the final evaluation, all parts of a run that was cut
    off added up; a cut part loses at most what came after its last saved epoch.
    Raises `ValueError` for a folder in use or begun with another recipe, before any work, and for
    a loss that is no number any more.
    """
    for field, given, name in (
        (row.distill, teacher, "teacher="),
        (row.adversarial, extra, "extra="),
        (row.generated, data.generated, "data.generated"),
    ):
        if (field is None) != (given is None):
            raise ValueError(f"{row.recipe} and {name} do not go together: give both or neither")
    wall = wall or callbacks.Stopwatch()
    parts = phases.of(row, data, copies or {})
    part = parts[-1].data
    with making(folder, row, part) as made:
        if made.finished:
            return made.metrics
        lengthen.take_over(row, made)
        for phase in parts:
            make = functools.partial(build, row, phase.data, listener=listener)
            model = precision.built(row, made, make, cache_dir=cache_dir, listener=listener)
            targets = labels(row, phase.data)
            if teacher is not None:
                targets = Teacher(row.distill, teacher, model, targets)
            sources = {"targets": targets, "extra": extra}
            fitted = fit(row, made, model, phase, **sources, listener=listener, wall=wall)
        return finish(row, made, model, part, fitted, wall, **pca.told(model))


def finish(
    row: Learned,
    made: Run,
    model: keras.Model,
    part: Dataset,
    fitted: Fitted,
    wall: callbacks.Stopwatch,
    **more: Any,
) -> dict:
    """Keep a fitted model and what it says of the validation images; return the run's metrics.

    `more` stands at their end.
    """
    made.write_history(fitted.history)  # a cut may have come between a state and its line
    made.write_model(model)
    policy, views = None if row.augment is None else augment.get(row.augment), None
    if policy or row.mix:
        views = augmented_views(part.train.images, policy, row.seed, row.mix and row.mix.spec())
    probs = predict_probs(model, part.validation.images)
    scores = made.write_outputs(part, probs, views)
    told = metrics.build(
        row,
        made.dataset,
        scores,
        cost(model),
        history=fitted.history,
        with_views=scored(model, part.validation, row.test_views, probs),
        ended_by=fitted.ended_by,
        wall_seconds=wall.seconds,
        balanced_top1=balanced(probs, part.validation.labels),
        **history.reached_in_training(fitted.progress),
        **more,
    )
    return made.finish(told, keep_state=row.keep_state)


def labels(row: Train, data: Dataset) -> Labels:
    """Return what a row's network is to say of the images that it learns."""
    weights = None
    if row.balance:
        weights = class_weights(data.train.labels, len(data.class_names))
    return Labels(row.loss, mixed=row.mix is not None, weights=weights)


def build(
    row: Train, data: Dataset, policy: str = "float32", listener: Listener = SILENT
) -> keras.Model:
    """Build the row's network for the data set's images, under the row's seed and a policy.

    What the network takes from training images before it learns is computed, unless it comes with
    pretrained weights. Principal components, where the row has them, stand in front of it.
    Raises ValueError for more of them than there are.
    """
    keras.utils.set_random_seed(row.seed)
    keras.config.set_dtype_policy(policy)
    try:
        model = _built(row, data, listener)
        if row.model.get("weights") is None:
            zoo.adapt(model, data.train.images)
        model = zoo.freeze(model) if row.freeze == "body" else model
        if row.pca is None:
            return model
        kept = pca.principal(data.train.images, row.pca, row.seed)
        listener.say(kept.told)
        return zoo.precede(model, pca.layers(kept, data.image_shape))
    finally:
        keras.config.set_dtype_policy("float32")


def _built(row: Train, data: Dataset, listener: Listener) -> keras.Model:
    """Build the network; what it says of weights that do not all fit is told like all else."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.filterwarnings("always", category=UserWarning)
        options = phases.network(row, data.image_shape)
        model = zoo.build(**options, classes=len(data.class_names))
    for one in heard:
        if one.category is UserWarning:
            listener.say(str(one.message))
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return model


def cost(model: keras.Model) -> dict:
    """Return what a model costs: parameters, those that are trained, multiply-adds of an image."""
    parameters, macs = zoo.profile(model)
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    return {"parameters": parameters, "trainable": trainable, "macs": macs}
