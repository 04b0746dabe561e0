"""Each generator: its losses, images of the same latent numbers over the epochs, a strip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.reports.context import Context, Shown
from experiments.reports.words import number, spoken
from experiments.runs import Run, outputs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EACH = 8  # images of a row of a sheet, as they are kept
SHEETS = 4  # epochs shown: the first, the last, and between
LOSSES = {"discriminator_loss": "discriminator", "generator_loss": "generator"}
PIXELS = 4096  # of the side of a sheet, above which it would be reduced


def show(context: Context) -> Shown | None:
    """Show every generator, if there are any."""
    if not context.generators:
        return None
    from experiments.reports import svg

    parts, files = [], []
    for place, run in enumerate(context.generators):
        key, drawn = f"generator{place}", {"losses": losses(run)}
        parts.append(_part(run) | svg.inline(drawn, key, run.name))
        files.append((run.plots, drawn))
    return Shown(
        {"parts": parts},
        links=[("generators", "Generators")],
        plots=files if context.plots else (),
    )


def losses(run: Run) -> Figure:
    """Draw both losses by epoch."""
    from experiments.reports import plots

    lines = [
        plots.Curve(name, run.history["epoch"], run.history[key], hue=place, stroke=place)
        for place, (key, name) in enumerate(LOSSES.items())
    ]
    return plots.curves(lines, "Loss")


def grid(images: np.ndarray, columns: int) -> np.ndarray:
    """Lay images (n, h, w, c) out in rows, a white line between: one image (h, w, c) uint8."""
    rows = -(-len(images) // columns)
    images = np.pad(images, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=255)
    n, height, width, channels = images.shape
    images = np.pad(images, ((0, rows * columns - n), (0, 0), (0, 0), (0, 0)), constant_values=255)
    laid = images.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return laid.reshape(rows * height, columns * width, channels)


def _part(run: Run) -> dict[str, Any]:
    from experiments.reports import svg

    kept, metrics = outputs.sheets(run.path), run.metrics
    strip = kept.pop("strip", None)
    epochs = sorted(map(int, kept))  # none in a copy that keeps the result alone
    places = np.linspace(0, len(epochs) - 1, min(SHEETS, len(epochs))).round().astype(int)
    shown = [epochs[place] for place in places]
    sheets = [
        {"epoch": epoch, "image": svg.data_uri(grid(kept[str(epoch)], EACH), PIXELS)}
        for epoch in shown
    ]
    facts = {
        "Recipe": run.row.recipe,
        "Network": metrics["model"],
        "Parameters": f"{number(metrics['parameters'])}, and "
        f"{number(metrics['discriminator']['parameters'])} of the discriminator",
        "Epochs": f"{metrics['epochs']}, {number(metrics['images'])} images seen",
        "Time": f"{spoken(metrics['seconds'])}, {number(metrics['images_per_second'])} images/s",
        "Loss": run.row.loss,
        "Seed": run.row.seed,
        "Folder": run.path,
    }
    names = run.names if run.row.conditional else []
    rows = -(-len(kept[str(epochs[-1])]) // EACH) if epochs else 0
    return {
        "name": run.row.recipe,
        "facts": [(title, str(value)) for title, value in facts.items()],
        "sheets": sheets,
        "strip": None if strip is None else svg.data_uri(grid(strip, len(strip) // rows), PIXELS),
        "classes": ", ".join(names[:rows]),
    }
