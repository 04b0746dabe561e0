"""The sheet of planes: a panel for each perplexity, its points in the colors of their classes."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from experiments import _files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANEL, COLUMNS = 2.7, 4  # inches, panels in a row
# Told apart by most eyes: Okabe and Ito's, which differ in lightness too. More classes repeat them
# with another marker.
HUES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#1c2128")
MARKERS = "o^sD"


class Plane(NamedTuple):
    """One embedding (n, 2) with its perplexity and what it is worth; accuracy in percent."""

    perplexity: float
    points: np.ndarray
    divergence: float
    silhouette: float
    accuracy: float


def draw(
    path: pathlib.Path,
    planes: Sequence[Plane],
    labels: np.ndarray,
    names: Sequence[str],
    title: str,
) -> None:
    """Write the sheet as PNG; `names` are those of the classes in `labels` (n,), in order."""
    page = figure(planes, labels, names, title)
    with _files.atomic(path) as part:
        page.savefig(part, dpi=110, format="png")


def figure(planes: Sequence[Plane], labels: np.ndarray, names: Sequence[str], title: str) -> Figure:
    """Return the page: a panel for each plane, and one legend for all."""
    from matplotlib.figure import Figure

    columns = min(COLUMNS, len(planes))
    rows = -(-len(planes) // columns)
    page = Figure(figsize=(max(2, columns) * PANEL, rows * PANEL + 0.9), layout="constrained")
    page.suptitle(title, x=0.01, ha="left", fontsize=10, parse_math=False, wrap=True)
    classes = np.unique(labels)
    for place, plane in enumerate(planes):
        axes = page.add_subplot(rows, columns, place + 1, xticks=[], yticks=[])
        axes.set_title(
            f"perplexity {plane.perplexity:g}, divergence {plane.divergence:.2f}\n"
            f"silhouette {plane.silhouette:.2f}, neighbors {plane.accuracy:.0f} %",
            fontsize=8,
            loc="left",
        )
        for number, label in enumerate(classes):
            axes.scatter(
                *plane.points[labels == label].T,
                s=7,
                linewidths=0,
                alpha=0.75,
                color=HUES[number % len(HUES)],
                marker=MARKERS[number // len(HUES) % len(MARKERS)],
                label=names[number],
            )
        axes.spines[:].set_color("0.8")
        axes.set_box_aspect(1)
    legend = page.legend(
        *axes.get_legend_handles_labels(),
        loc="outside lower left",
        ncols=min(len(names), 5),
        frameon=False,
        fontsize=9,
        markerscale=2.5,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return page
