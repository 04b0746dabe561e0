"""Votes of finished runs: a row of a paper's table that trains nothing.

Members' probabilities of validation images are those that their runs kept. What is fitted, the
weights, is fitted on the training images that all members held out, and on nothing else.
"""

import pathlib
from collections.abc import Callable

import numpy as np
from rich.console import Console

import stacking
import zoo
from experiments import datasets, evaluate
from experiments import train as training
from experiments._files import read_json, write_json
from experiments._runs import read_arrays
from experiments.ensemble import Member
from experiments.rows import Vote
from experiments.state import Checkpoint, run_folder

# Names of `weights` in recipes -> what fits them, given probabilities and labels.
WEIGHTS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "accuracy": stacking.accuracy_weights,
    "boosted": stacking.boosted_weights,
    "selected": stacking.select,
}


def vote(
    row: Vote,
    run_dir: pathlib.Path,
    members: list[Member],
    data: datasets.Dataset,
    *,
    console: Console,
) -> dict:
    """Let the members vote and return the run's metrics (accuracies in percent).

    The run's folder is like any other (`experiments.evaluate`), without model and history.
    Parameters and multiply-adds are sums over the members whose weight is not zero.
    Raises `ValueError` for members whose predictions are of other images.
    """
    run_dir = pathlib.Path(run_dir)
    with run_folder(run_dir, row) as finished:
        if finished:
            return read_json(run_dir / "metrics.json")
        probs, labels = validation_outputs(members)
        check_labels(data, labels, members[0])
        training.begin(run_dir, data)
        checkpoint, weights = Checkpoint(run_dir / "state"), None
        if row.weights != "none":
            outputs, truth = held_out_outputs(members, data, checkpoint.folder)
            console.print(f"weights fitted on {len(truth):,} images that the members held out")
            weights = WEIGHTS[row.weights](outputs, truth)
        voted = stacking.vote(probs, row.rule, weights)
        scores = evaluate.write_outputs(run_dir, None, data, probs=voted)
        metrics = _summary(row, members, weights, data, scores)
        metrics |= {key: read_json(run_dir / "environment.json")[key] for key in ENVIRONMENT}
        write_json(run_dir / "metrics.json", metrics)
        checkpoint.clear()
        return metrics


ENVIRONMENT = ("backend", "device", "date", "command")


def validation_outputs(members: list[Member]) -> tuple[np.ndarray, np.ndarray]:
    """Return what the members' runs kept: probs (n, members, classes), labels (n,).

    Raises `ValueError` unless all are of the same validation images, in the same order.
    """
    kept = [read_arrays(m.run / "predictions.npz", ("probs", "labels")) for m in members]
    described = [read_json(m.run / "dataset.json") | {"train": None} for m in members]
    probs, labels = [arrays["probs"] for arrays in kept], kept[0]["labels"]
    for number, member in enumerate(members):
        same = np.array_equal(kept[number]["labels"], labels)
        if not same or probs[number].shape != probs[0].shape or described[number] != described[0]:
            raise ValueError(
                f"{member.run} and {members[0].run} were evaluated on other validation images "
                "(dataset.json or predictions.npz): train both on the same --data-dir"
            )
    return np.stack(probs, axis=1), labels


def held_out_outputs(
    members: list[Member], data: datasets.Dataset, cache_dir: pathlib.Path
) -> tuple[np.ndarray, np.ndarray]:
    """Return the members' probs (n, members, classes) and labels (n,) of images none has seen.

    Those are the training images of `data.holdout` in the members' recipe, all alike. The members'
    outputs are kept in `cache_dir`: what is there is not computed again.
    """
    split = data.holdout(members[0].row.data.holdout)[1]
    models = {member.name: zoo.load(evaluate.model_file(member.run)) for member in members}
    probs = stacking.member_outputs(models, split.images, cache_dir=cache_dir, progress=True)
    return probs, np.asarray(split.labels)


def check_labels(data: datasets.Dataset, labels: np.ndarray, member: Member) -> None:
    """Raise `ValueError` unless the data set is the one that a run was evaluated on."""
    if not np.array_equal(data.validation.labels, labels):
        raise ValueError(
            f"{member.run} was evaluated on other validation images than those of {data.name} "
            "here: give the --data-dir that it was trained on"
        )


def _summary(
    row: Vote,
    members: list[Member],
    weights: np.ndarray | None,
    data: datasets.Dataset,
    scores: dict[str, float],
) -> dict:
    weights = np.full(len(members), 1 / len(members)) if weights is None else weights
    asked = [member for member, weight in zip(members, weights, strict=True) if weight]
    return {
        "recipe": row.recipe,
        "kind": row.kind,
        "model": "+".join(row.members),
        "dataset": data.name,
        "n": len(data.validation.labels),
        **scores,
        **{key: sum(member.metrics[key] for member in asked) for key in ("parameters", "macs")},
        "members": [
            {"name": member.name, "run": str(member.run), "weight": float(weight)}
            | {key: member.metrics[key] for key in ("top1", "top3", "top5", "parameters")}
            for member, weight in zip(members, weights, strict=True)
        ],
        "expect": row.expect.model_dump(exclude_none=True) if row.expect else None,
    }
