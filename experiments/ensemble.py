"""Stack finished runs: members frozen, a dense head trained on their cached outputs."""

import dataclasses
import json
import pathlib
from collections.abc import Callable

import numpy as np
from rich.console import Console

import augment
import stacking
import zoo
from experiments import datasets, evaluate, recipe
from experiments import train as training
from experiments._files import atomic, read_json, write_json
from experiments.rows import Row, Stack, Vote
from experiments.state import Checkpoint, run_folder, write_history


@dataclasses.dataclass(frozen=True)
class Member:
    """A finished run that a stack is made of."""

    name: str
    run: pathlib.Path
    row: Row
    metrics: dict


def read_members(folders: list[pathlib.Path]) -> list[Member]:
    """Return the finished runs in `folders`, which must have been trained on the same images.

    They are named by their rows, or where these repeat by their folders. Raises `ValueError` that
    names the run and the fix; nothing is loaded yet.
    """
    found = [read_member(folder) for folder in folders]
    for member in found[1:]:
        first = found[0]
        if member.row.data != first.row.data:
            raise ValueError(
                f"{member.run} was trained on {member.row.data!r}, but {first.run} on "
                f"{first.row.data!r}: members of an ensemble need the same images"
            )
    if len({member.name for member in found}) < len(found):
        found = [dataclasses.replace(m, name=m.run.resolve().name) for m in found]
    if len({member.name for member in found}) < len(found):
        raise ValueError(
            f"{', '.join(str(member.run) for member in found)}: two have the same name; give "
            "folders that are named differently, each once"
        )
    return found


def find_members(row: Stack | Vote, folders: list[pathlib.Path]) -> list[Member]:
    """Return the finished runs in `folders`, checked to fit each other and the ensemble's row.

    Raises `ValueError` that names the run and the fix; nothing is loaded yet.
    """
    found = read_members(folders)
    data = found[0].row.data
    if data.name != row.data.name or data.size != row.data.size:
        raise ValueError(
            f"the {row.kind}'s data is {row.data!r}, its members' {data!r}: set data.name and "
            "data.size"
        )
    if row.kind == "vote":
        if row.weights != "none" and not data.holdout:
            raise ValueError(
                f"{row.recipe}: the members saw every training image, so none is left to fit "
                "weights on; train them with --set data.holdout=0.1, or vote with weights=none"
            )
        for member in found:
            if row.weights != "none" and member.row.kind != "train":
                raise ValueError(
                    f"{member.run} is a {member.row.kind}, which was fitted on images that its "
                    "members held out, so none is left to fit weights on: vote with weights=none"
                )
        return found
    if row.fit_on == "held_out" and not data.holdout:
        raise ValueError(
            f"{row.recipe}: the members saw every training image, so none is left to fit the head "
            "on; train them with --set data.holdout=0.1, ask for fit_on=out_of_fold, which trains "
            f"each again {row.folds} times, or for fit_on=train (as paper P2 did)"
        )
    if row.fit_on == "out_of_fold":
        for member in found:
            if member.row.kind != "train" or member.row.distill or member.row.adversarial:
                raise ValueError(
                    f"fit_on=out_of_fold trains {member.run} again without each fold: that needs "
                    "rows that learn from labels alone; take fit_on=held_out"
                )
    return found


def stack(
    row: Stack,
    run_dir: pathlib.Path,
    members: list[Member],
    data: datasets.Dataset,
    *,
    console: Console,
) -> dict:
    """Stack the members into one model, train its head and return the run's metrics.

    The members' outputs are cached under `state/`, so that an interrupted run begins with them;
    the run ends as a folder like any other, with one `model.keras`. For `fit_on: out_of_fold` the
    members are trained again without each fold, as runs of their own under `folds/`.
    """
    run_dir = pathlib.Path(run_dir)
    with run_folder(run_dir, row) as finished:
        if finished:
            return read_json(run_dir / "metrics.json")
        share = members[0].row.data.holdout
        seen, held_out = data.holdout(share) if share else (data, None)
        policy = None if row.augment is None else augment.get(row.augment)
        training.begin(run_dir, data)
        model = stacking.stack(
            {member.name: zoo.load(member.run / "model.keras") for member in members},
            classes=len(data.class_names),
            on=row.tap,
            head=tuple(row.head),
            seed=row.seed,
        )
        checkpoint = Checkpoint(run_dir / "state")
        settings = {
            "validation": (data.validation.images, data.validation.labels),
            "epochs": row.epochs,
            "batch_size": row.batch_size,
            "optimizer": training.optimizer(row.optimizer),
            "keep": row.keep,
            "seed": row.seed,
            "cache_dir": checkpoint.folder,
            "progress": True,
        }
        views = {
            "augment": policy and augmenter(policy, row.seed),
            "augment_key": policy and json.dumps([policy.to_dict(), row.seed]),
        }
        if row.fit_on == "out_of_fold":
            outputs = _out_of_fold(row, run_dir, members, data, views, console)
            history = stacking.fit_head_on(model, outputs, seen.train.labels, **settings)
        else:
            split = seen.train if row.fit_on == "train" else held_out
            console.print(f"head on {len(split.labels):,} images, {row.views} views each")
            history = stacking.fit_head(
                model,
                split.images,
                split.labels,
                fit_on=row.fit_on,
                views=row.views if policy else 1,
                **views,
                **settings,
            )
        write_history(run_dir / "history.csv", history)
        with atomic(run_dir / "model.keras") as part:
            model.save(part)
        scores = evaluate.write_outputs(run_dir, model, data, policy=policy, seed=row.seed)
        metrics = training.summary(row, model, history, data, scores)
        metrics["members"] = [
            {"name": member.name, "run": str(member.run)}
            | {key: member.metrics[key] for key in ("top1", "top3", "top5", "parameters")}
            for member in members
        ]
        write_json(run_dir / "metrics.json", metrics)
        checkpoint.clear()
        return metrics


def _out_of_fold(
    row: Stack,
    run_dir: pathlib.Path,
    members: list[Member],
    data: datasets.Dataset,
    views: dict,
    console: Console,
) -> list[list[np.ndarray]]:
    """Return the members' outputs for each view, every image's by models trained without it.

    Each member is trained again without each fold, as a run of its own that resumes like any
    other; a fold's model is its member's row with `data.fold` set.
    """
    seen = training.training_part(members[0].row.data, data)
    folds = seen.folds(row.folds)
    trained = []
    for fold in range(row.folds):
        models = {}
        for member in members:
            part = member.row.data.model_copy(update={"folds": row.folds, "fold": fold})
            folder = run_dir / "folds" / f"{member.name}_{fold}"
            console.rule(f"{member.name} without fold {fold + 1} of {row.folds}")
            metrics = training.train(
                member.row.model_copy(update={"data": part}), folder, data, verbose=0
            )
            console.print(f"top-1 {metrics['top1']:.2f} % of validation")
            models[member.name] = zoo.load(folder / "model.keras")
        trained.append(models)
    console.print(
        f"head on {len(seen.train):,} images, each seen by models that never trained on it"
    )
    return [
        stacking.out_of_fold(
            trained,
            seen.train.images,
            folds,
            on=row.tap,
            cache_dir=run_dir / "state",
            view=view,
            **views,
        )
        for view in range(min(row.views, row.epochs) if row.augment else 1)
    ]


def augmenter(policy: augment.Policy, seed: int) -> Callable:
    """Return (images, indices, view) -> the images as epoch `view` of a training would see them."""

    def view_of(images: np.ndarray, indices: np.ndarray, view: int) -> object:
        return augment.batch(images, policy, seed=seed, epoch=view, indices=indices)

    return view_of


def read_member(folder: pathlib.Path) -> Member:
    """Return a finished run under its row's name; ValueError where it has not finished."""
    folder = pathlib.Path(folder)
    row = None
    if (folder / "recipe.yaml").exists():
        row = recipe.load(str(folder / "recipe.yaml"))
    if not (folder / "metrics.json").exists():
        name = row.recipe if row else folder.name
        raise ValueError(
            f"{folder} is no finished run; train it first: python -m experiments train {name}"
        )
    return Member(row.name, folder, row, read_json(folder / "metrics.json"))
