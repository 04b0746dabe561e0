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
from experiments.recipe import Stack
from experiments.state import Checkpoint, run_folder, write_history


@dataclasses.dataclass(frozen=True)
class Member:
    """A finished run that a stack is made of."""

    name: str
    run: pathlib.Path
    row: recipe.Row
    metrics: dict


def find_members(row: Stack, folders: list[pathlib.Path]) -> list[Member]:
    """Return the finished runs in `folders`, checked to fit each other and the stack's row.

    Raises `ValueError` that names the run and the fix; nothing is loaded yet.
    """
    found = [_member(folder) for folder in folders]
    for member in found[1:]:
        first = found[0]
        if member.row.data != first.row.data:
            raise ValueError(
                f"{member.run} was trained on {member.row.data!r}, but {first.run} on "
                f"{first.row.data!r}: members of a stack need the same images"
            )
    data = found[0].row.data
    if data.name != row.data.name or data.size != row.data.size:
        raise ValueError(
            f"the stack's data is {row.data!r}, its members' {data!r}: set data.name and data.size"
        )
    if row.fit_on == "held_out" and not data.holdout:
        raise ValueError(
            f"{row.recipe}: the members saw every training image, so none is left to fit the head "
            "on; train them with --set data.holdout=0.1, or ask for fit_on=train (as paper P2 did)"
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
    the run ends as a folder like any other, with one `model.keras`.
    """
    run_dir = pathlib.Path(run_dir)
    with run_folder(run_dir, row) as finished:
        if finished:
            return read_json(run_dir / "metrics.json")
        share = members[0].row.data.holdout
        seen, held_out = data.holdout(share) if share else (data, None)
        split = seen.train if row.fit_on == "train" else held_out
        policy = None if row.augment is None else augment.get(row.augment)
        training.begin(run_dir, data)
        console.print(f"head on {len(split.labels):,} images, {row.views} views each")

        model = stacking.stack(
            {member.name: zoo.load(member.run / "model.keras") for member in members},
            classes=len(data.class_names),
            on=row.tap,
            head=tuple(row.head),
            seed=row.seed,
        )
        checkpoint = Checkpoint(run_dir / "state")
        history = stacking.fit_head(
            model,
            split.images,
            split.labels,
            validation=(data.validation.images, data.validation.labels),
            fit_on=row.fit_on,
            augment=policy and augmenter(policy, row.seed),
            augment_key=policy and json.dumps([policy.to_dict(), row.seed]),
            views=row.views if policy else 1,
            epochs=row.epochs,
            batch_size=row.batch_size,
            optimizer=training.optimizer(row.optimizer),
            keep=row.keep,
            seed=row.seed,
            cache_dir=checkpoint.folder,
            progress=True,
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


def augmenter(policy: augment.Policy, seed: int) -> Callable:
    """Return (images, indices, view) -> the images as epoch `view` of a training would see them."""

    def view_of(images: np.ndarray, indices: np.ndarray, view: int) -> object:
        return augment.batch(images, policy, seed=seed, epoch=view, indices=indices)

    return view_of


def _member(folder: pathlib.Path) -> Member:
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
