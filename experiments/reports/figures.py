"""Which figures a report shows of a run."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.reports import bars, plots
from experiments.reports.svg import HUES
from experiments.runs import Run, history

EXTREMES = 10  # best and worst classes shown by name where there are too many for all
MARKED_STEPS = 12  # a learning rate that changes more often is a schedule, told in words
WEIGHT = "weight_"  # of the columns with members' weights
CURVES = (("top1", "top-1, %"), ("loss", "loss"))


def of_run(run: Run) -> dict[str, Figure]:
    """Draw the figures of one run by name, which is also the name of the PNG file."""
    figures = _learning(run) if run.history else {}
    return figures | _classes(run) if run.has_outputs else figures


def _classes(run: Run) -> dict[str, Figure]:
    figures = {"confusion": plots.confusion(run.confusion, run.names)}
    order = np.argsort(-np.nan_to_num(run.class_accuracy, nan=-1), kind="stable")
    names, accuracy = np.array(run.names)[order], run.class_accuracy[order]
    if run.classes <= plots.NAMED:
        return figures | {"classes": bars.class_bars(names, accuracy, "Top-1 by class")}
    figures["classes"] = bars.class_profile(run.class_accuracy)
    for key, part in (("best", slice(EXTREMES)), ("worst", slice(-EXTREMES, None))):
        title = f"The {EXTREMES} {key} classes"
        figures[f"classes_{key}"] = bars.class_bars(names[part], accuracy[part], title)
    return figures


def _learning(run: Run) -> dict[str, Figure]:
    epochs, steps = run.history["epoch"], rate_steps(run)
    best = history.best(run.history)
    figures = {}
    for key, title in CURVES:
        lines = [
            plots.Curve("validation", epochs, run.history[f"val_{key}"], best=best),
            plots.Curve("training", epochs, run.history[key], hue=1, stroke=1),
        ]
        marked = steps if len(steps) <= MARKED_STEPS else []
        figures[f"curve_{key}"] = plots.curves(lines, title.capitalize(), marked)
    if lines := _weights(run):
        figures["curve_weights"] = plots.curves(lines, "Weights of the members")
    if lines := _by_images(run):
        figures["curve_images"] = plots.curves(lines, "Top-1, %", xlabel="training images seen")
    return figures


def _by_images(run: Run) -> list[plots.Curve]:
    """Return the curves of a run that was looked at within its epochs; none of others."""
    if not run.progress:
        return []
    found = {"validation": history.by_images(run), "training, batch by batch": trained(run)}
    return [
        plots.Curve(name, *values, hue=number, stroke=number)
        for number, (name, values) in enumerate(found.items())
        if len(values[0])
    ]


def _weights(run: Run) -> list[plots.Curve]:
    """Return how the weights of members changed that were trained together; none of others."""
    found = {
        key.removeprefix(WEIGHT): v for key, v in run.history.items() if key.startswith(WEIGHT)
    }
    return [
        plots.Curve(name, run.history["epoch"], values, hue=hue, stroke=stroke)
        for number, (name, values) in enumerate(found.items())
        for stroke, hue in [divmod(number, len(HUES))]
    ]


def trained(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Return images seen, and the training accuracy in percent of the batches up to there.

    Each value is of the batches since the one before; empty where the run did not note them.
    """
    if "train_top1" not in run.progress:
        return np.empty(0), np.empty(0)
    images, top1 = run.progress["images"], run.progress["train_top1"]
    return images[np.isfinite(top1)], top1[np.isfinite(top1)]


def image_grids(run: Run) -> dict[str, Figure]:
    """Draw mistakes and augmented images; the page itself shows them image by image."""
    if not run.has_outputs:
        return {}
    figures, samples = {}, run.samples
    if len(samples["wrong_images"]):
        pairs = zip(samples["wrong_labels"], samples["wrong_predictions"], strict=True)
        captions = [f"{run.names[true]}\n→ {run.names[wrong]}" for true, wrong in pairs]
        figures["misclassified"] = plots.image_grid(samples["wrong_images"], captions, 6)
    shown = strips(run)
    if len(shown):
        images = shown.reshape(-1, *shown.shape[2:])
        captions = ["original"] + [""] * (len(images) - 1)
        figures["augmented"] = plots.image_grid(images, captions, shown.shape[1])
    return figures


def strips(run: Run) -> np.ndarray:
    """Return (images, 1 + views, h, w, c): each original and its augmented views, if any."""
    samples = run.samples
    if "augmented" not in samples:
        return np.empty((0, 0))
    return np.concatenate([samples["original"][:, None], samples["augmented"]], axis=1)


def rate_steps(run: Run) -> list[tuple[float, float]]:
    """Return (first epoch, rate) of each change of the learning rate by more than a percent."""
    epochs, rates = run.history["epoch"], run.history.get("lr", np.array([]))
    changed = np.flatnonzero(~np.isclose(rates[1:], rates[:-1], rtol=0.01, atol=0)) + 1
    return [(float(epochs[i]), float(rates[i])) for i in changed]
