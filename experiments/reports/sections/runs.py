"""Each run by itself: how it was made, curves, mistakes, classes, augmented images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.reports.context import Context, Shown
from experiments.reports.members import changes
from experiments.reports.words import choice, number
from experiments.runs import Run, images_until

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAIRS = 10  # rows of the table of confused classes
THUMBNAIL = 112  # CSS pixels that a misclassified image aims at, by whole multiples


def show(context: Context) -> Shown | None:
    """Show every run under an anchor of its own."""
    if not context.runs:
        return None
    from experiments.reports import figures

    drawn = [figures.of_run(run) for run in context.runs]
    parts = [
        _part(run, context, f"run{index}", label, plots)
        for index, (run, label, plots) in enumerate(
            zip(context.runs, context.labels, drawn, strict=True)
        )
    ]
    files = [
        (run.plots, plots | figures.image_grids(run))
        for run, plots in zip(context.runs if context.plots else (), drawn, strict=False)
    ]
    return Shown({"parts": parts}, [(part["key"], part["label"]) for part in parts], files)


def confused_pairs(confusion: np.ndarray, limit: int = PAIRS) -> list[tuple[int, int, int, int]]:
    """Rank pairs of classes by mistakes between them: (a, b, a taken for b, b taken for a)."""
    upper = np.triu(confusion + confusion.T, k=1)
    order = np.argsort(-upper, axis=None, kind="stable")[:limit]
    pairs = np.column_stack(np.unravel_index(order, upper.shape)).tolist()
    return [(a, b, int(confusion[a, b]), int(confusion[b, a])) for a, b in pairs if upper[a, b]]


def _part(
    run: Run, context: Context, key: str, label: str, drawn: Mapping[str, Figure]
) -> dict[str, Any]:
    from experiments.reports import svg

    return {
        "key": key,
        "label": label,
        "run": run,
        "facts": _facts(run, context.runs),
        "notes": _notes(run) if run.history else "",
        "figures": svg.inline(drawn, key, label),
        **_outputs(run),
    }


def _outputs(run: Run) -> dict[str, Any]:
    """Return what the page shows of single images and classes; published copies have none."""
    from experiments.reports import figures, svg

    if not run.has_outputs:
        return {"pairs": None, "mistakes": (), "strips": ()}
    width = run.samples["wrong_images"].shape[2] if len(run.samples["wrong_images"]) else THUMBNAIL
    return {
        "pairs": [
            (run.names[a], run.names[b], *counts) for a, b, *counts in confused_pairs(run.confusion)
        ],
        "mistakes": mistakes(run),
        "mistakes_in_all": int(len(run.labels) - run.confusion.trace()),
        "width": width * max(1, round(THUMBNAIL / width)) if width < THUMBNAIL else THUMBNAIL,
        "strips": [[svg.data_uri(image) for image in strip] for strip in figures.strips(run)],
    }


def mistakes(run: Run) -> list[dict[str, Any]]:
    """Return the most confident mistakes: image, classes by name, confidence in percent."""
    from experiments.reports import svg

    samples = run.samples
    return [
        {
            "image": svg.data_uri(image),
            "true": run.names[true],
            "predicted": run.names[predicted],
            "confidence": 100 * float(confidence),
        }
        for image, true, predicted, confidence in zip(
            samples["wrong_images"],
            samples["wrong_labels"],
            samples["wrong_predictions"],
            samples["wrong_confidence"],
            strict=True,
        )
    ]


def _facts(run: Run, others: Sequence[Run]) -> list[tuple[str, str]]:
    row, metrics = run.row, run.metrics
    policy, optimizer = getattr(row, "augment", None), getattr(row, "optimizer", None)
    sizes = getattr(row, "sizes", None) or ()
    facts = {
        "Recipe": row.recipe,
        "Changed": "; ".join(changes(run, others)),
        "Network": metrics["model"],
        "Epochs by size": ", ".join(f"{n} x {size} px" for n, size in sizes),
        "Augmentation": "own policy" if isinstance(policy, Mapping) else policy or "none",
        "Rule": getattr(row, "rule", None),
        "Weights": getattr(row, "weights", None),
        "Optimizer": f"{optimizer.name} {optimizer.learning_rate}" if optimizer else None,
        "Batch": getattr(row, "batch_size", None),
        "Seed": metrics.get("seed"),
        "Best epoch": _best_epoch(run),
        "Published top-1": _reached(run),
        "Averaged weights": _averaged(metrics),
        "Head": _head(run),
        "Adversarial": _adversarial(metrics),
        "Commit": run.environment.get("commit"),
        "Folder": run.path,
    }
    return [(title, str(value)) for title, value in facts.items() if value not in (None, "")]


def _best_epoch(run: Run) -> str | None:
    """Tell which epoch is reported, and by what it was chosen."""
    found = choice(run)
    if found is None:
        return None
    told = f"{found.best or '?'} of {found.epochs}"
    if found.on_validation:
        return f"{told}, chosen on these images; the last: {found.last:.1f} %"
    return told if run.row.keep == "best" else f"{told}; the last is reported"


def _reached(run: Run) -> str | None:
    """Tell after how many images the published accuracy was reached first."""
    top1 = run.expect.get("top1")
    images = None if top1 is None else images_until(run, top1)
    return images and f"{top1:g} %, reached after {images:,} images"


def _averaged(metrics: Mapping[str, Any]) -> str | None:
    """Tell which weights of the epoch are reported, where there is an average of them."""
    if "ema_top1" not in metrics:
        return None
    told = "{ema_top1:.1f} %; the weights themselves {raw_top1:.1f} %".format(**metrics)
    return told if metrics["weights"] == "ema" else f"{told}, which are reported"


def _head(run: Run) -> str | None:
    """Tell the speed of a head, whose input is what its members said before."""
    speed = run.metrics.get("images_per_second")
    if speed is None or not hasattr(run.row, "head"):
        return None
    return f"{number(speed)} images/s on cached outputs"


def _adversarial(metrics: Mapping[str, Any]) -> str | None:
    """Tell what class experts make of adversarial images, beside the run that was attacked."""
    if "adversarial_validation" not in metrics:
        return None
    of = "{adversarial:.1f} % of images learned, {adversarial_validation:.1f} % of others"
    return f"{of.format(**metrics)}; before {of.format(**metrics['clean'])}"


def _notes(run: Run) -> str:
    """Tell what the learning curves do not show by themselves."""
    from experiments.reports import figures

    rates, steps = run.history.get("lr", np.array([])), figures.rate_steps(run)
    note = "The dot is the best epoch. Training values are means over the epoch as it ran."
    if len(steps) > figures.MARKED_STEPS:
        return f"{note} The learning rate went from {rates[0]:.2g} to {rates[-1]:.2g}."
    return note + " Dotted lines: new learning rate." if steps else note
