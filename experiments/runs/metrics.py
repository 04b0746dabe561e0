"""metrics.json: what ran, what it scored and what it cost; one builder for every kind of row.

Accuracies are percent, times seconds. `seconds` is the time of the epochs, `wall_seconds` all that
a training took, from the first image read to the final evaluation. What a kind has besides is added
to it: `members` of an ensemble, the adversarial accuracies of experts, of a training
`balanced_top1`, the mean over classes, and `ended_by`: epochs, max_steps, max_hours or early_stop
(epochs where others would have ended it at once).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.recipes.schemas import Row
from experiments.runs import history as epochs
from experiments.runs.environment import environment

OF_GENERATOR = ("recipe", "kind", "model", "dataset", "n", "parameters")
REQUIRED = (*OF_GENERATOR, "top1", "loss")
# What an ensemble's metrics keep of each member.
OF_MEMBER = ("top1", "top3", "top5", "with_views", "parameters")


def build(
    row: Row,
    dataset: Mapping[str, Any],
    scores: Mapping[str, float],
    cost: Mapping[str, Any],
    *,
    history: Sequence[Mapping[str, float]] = (),
    with_views: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict:
    """Return the metrics of a finished run.

    `dataset` describes the images (dataset.json), `scores` are those of its validation images,
    `cost` holds parameters, multiply-adds of one image and what else was paid, `history` a line
    for each epoch where something was fitted. `with_views` are the scores of the same images with
    the views that it names, beside the plain ones. `more` stands at the end, as it is.
    """
    found = environment()
    return {
        "recipe": row.recipe,
        "kind": row.kind,
        "model": row.model_name,
        "dataset": dataset["name"],
        "n": dataset["validation"],
        **scores,
        **({"with_views": dict(with_views)} if with_views else {}),
        **(_fitted(row, history) if history else {}),
        **cost,
        **({"seed": row.seed} if hasattr(row, "seed") else {}),
        **{key: found[key] for key in ("backend", "device", "date", "command")},
        "expect": row.expect.model_dump(exclude_none=True) if row.expect else None,
        **more,
    }


def of_member(name: str, folder: object, metrics: Mapping[str, Any], **more: Any) -> dict:
    """Return what an ensemble's metrics say of a member."""
    kept = {key: metrics[key] for key in OF_MEMBER if key != "with_views" or key in metrics}
    return {"name": name, "run": str(folder)} | kept | more


def _fitted(row: Row, history: Sequence[Mapping[str, float]]) -> dict:
    """Tell what fitting reached and cost.

    The best epoch is that of the validation images: where its weights were kept, the last epoch's
    accuracy stands beside it, which chose nothing. Where weights were averaged, it is the averaged
    ones', and both accuracies of the epoch that was kept are told.
    """
    seconds = [line["seconds"] for line in history]
    columns = {key: [line[key] for line in history] for key in history[0]}
    best, last = history[epochs.best(columns)], history[-1]
    kept, weights = (best, epochs.better(best).weights) if row.keep == "best" else (last, "ema")
    both = {"raw_top1": kept["val_top1"], "ema_top1": kept.get("val_top1_ema")}
    return {
        "train_top1": best["top1"],
        "epochs": len(history),
        "best_epoch": best["epoch"],
        "keep": row.keep,
        "last_top1": last.get("val_top1_ema", last["val_top1"]),
        **({"weights": weights} | both if "val_top1_ema" in kept else {}),
        **({"images": last["images"]} if "images" in last else {}),
        "seconds": sum(seconds) + sum(line.get("members_seconds", 0) for line in history),
        "seconds_per_epoch": float(np.median(seconds)),
        "images_per_second": float(np.median([line["images_per_second"] for line in history])),
    }
