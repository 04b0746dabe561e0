"""Stack finished runs: members frozen, a dense head trained on their cached outputs."""

import json
import pathlib
from collections.abc import Callable, Mapping

import keras
import numpy as np

import augment
import stacking
import zoo
from experiments.datasets import Dataset, Split
from experiments.ensembles import members, parts
from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.recipes import Stack
from experiments.runs import Run, making, metrics
from experiments.training import optimizers
from experiments.training.part import held_out, seen
from experiments.training.predict import augmented_views, predict_probs
from experiments.training.train import cost
from experiments.training.views import scored


def run(row: Stack, folder: pathlib.Path, place: Place, listener: Listener = SILENT) -> dict:
    """Stack a row's members where they lie; return the run's metrics."""
    runs = members.of(row, place)
    return stack(row, folder, runs, place.dataset(row.data, listener), listener)


def stack(
    row: Stack,
    folder: pathlib.Path,
    runs: Mapping[str, Run],
    data: Dataset,
    listener: Listener = SILENT,
) -> dict:
    """Stack the members into one model, train its head and return the run's metrics.

    The members' outputs are cached under the run's state, so that an interrupted run begins with
    them; the run ends as a folder like any other, with one model. For `fit_on: out_of_fold` the
    members' runs without each fold must be there (`experiments.ensembles.parts`).
    Raises `ValueError` for members that saw other images than `data`.
    """
    for member in runs.values():
        member.check_data(data)
    with making(folder, row, data) as made:
        if made.finished:
            return made.metrics
        model = stacking.stack(
            {name: zoo.load(member.model_file) for name, member in runs.items()},
            classes=len(data.class_names),
            on=row.tap,
            head=tuple(row.head),
            seed=row.seed,
        )
        history = _fit(row, made, model, runs, data, listener)
        made.write_history(history)
        made.write_model(model)
        policy = None if row.augment is None else augment.get(row.augment)
        views = policy and augmented_views(data.train.images, policy, row.seed)
        probs = predict_probs(model, data.validation.images)
        scores = made.write_outputs(data, probs, views)
        told = [
            metrics.of_member(name, one, one.metrics, changed=members.changed(one))
            for name, one in runs.items()
        ]
        more = {"members": told}
        more["with_views"] = scored(model, data.validation, row.test_views, probs)
        found = metrics.build(row, made.dataset, scores, cost(model), history=history, **more)
        return made.finish(found)


def _fit(
    row: Stack,
    made: Run,
    model: keras.Model,
    runs: Mapping[str, Run],
    data: Dataset,
    listener: Listener,
) -> list[dict]:
    """Train the head on the images that the row says; return the history."""
    share = members.share(runs)
    policy = None if row.augment is None else augment.get(row.augment)
    settings = {
        "validation": (data.validation.images, data.validation.labels),
        "epochs": row.epochs,
        "batch_size": row.batch_size,
        "optimizer": optimizers.make(row.optimizer),
        "keep": row.keep,
        "seed": row.seed,
        "cache_dir": made.state,
        "progress": listener.progress,
    }
    views = {
        "augment": policy and augmenter(policy, row.seed),
        "augment_key": policy and json.dumps([policy.to_dict(), row.seed]),
    }
    if row.fit_on == "out_of_fold":
        part = seen(data, share)
        listener.say(f"head on {len(part.train):,} images, each by models that never saw it")
        outputs = _out_of_fold(row, made, runs, part, views, listener)
        return stacking.fit_head_on(model, outputs, part.train.labels, **settings)
    split = held_out(data, share) if row.fit_on == "held_out" else seen(data, share).train
    listener.say(f"head on {len(split.labels):,} images, {_views_told(row, model, split)}")
    return stacking.fit_head(
        model,
        split.images,
        split.labels,
        fit_on=row.fit_on,
        views=row.views,
        **views,
        **settings,
    )


def _out_of_fold(
    row: Stack,
    made: Run,
    runs: Mapping[str, Run],
    part: Dataset,
    views: dict,
    listener: Listener,
) -> list[list[np.ndarray]]:
    """Return the members' outputs for each view, every image's by models trained without it."""
    trained = [
        {name: zoo.load(Run(parts.fold_folder(made.path, name, fold)).model_file) for name in runs}
        for fold in range(row.folds)
    ]
    return [
        stacking.out_of_fold(
            trained,
            part.train.images,
            part.folds(row.folds),
            on=row.tap,
            cache_dir=made.state,
            progress=listener.progress,
            view=view,
            **views,
        )
        for view in range(row.seen_views)
    ]


def _views_told(row: Stack, model: keras.Model, split: Split) -> str:
    """Say how the head sees its images, and where that is much, what room the outputs take."""
    if row.views != "fresh":
        return f"{row.views} views each"
    width = stacking.head_of(model).input_shape[-1]
    size = 4 * len(split.labels) * width * row.seen_views / 1e9  # float32
    return f"a fresh view in each epoch: {size:.2g} GB of outputs are kept until the run is done"


def augmenter(policy: augment.Policy, seed: int) -> Callable:
    """Return (images, indices, view) -> the images as epoch `view` of a training would see them."""

    def view_of(images: np.ndarray, indices: np.ndarray, view: int) -> object:
        return augment.batch(images, policy, seed=seed, epoch=view, indices=indices)

    return view_of
