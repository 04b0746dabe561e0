"""Plots: curves, points, matrices and grids of images, as figures of one style.

Everything is drawn without pyplot (no global state, no display), in units that a phone shows as
about one CSS pixel.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from experiments.reports.svg import BLUE, HUES, INK, STYLE, WIDTH, titled

MARKERS = ("o", "s", "D")
STROKES = ("-", "--", ":", "-.")
LETTER = 5.6  # units, the mean width of a letter at size 10
NUMBERED = 20  # confusion matrices up to this many classes carry numbers
NAMED = 40  # above, names of all classes would be unreadable: the extremes are shown instead


@dataclasses.dataclass(frozen=True)
class Curve:
    """One line: `values` at `epochs`; `best` is the index to mark with a dot.

    One without a name stands faintly behind the others, and in no legend.
    """

    name: str
    epochs: np.ndarray
    values: np.ndarray
    hue: int = 0
    stroke: int = 0
    best: int | None = None


@matplotlib.rc_context(STYLE)
def curves(
    lines: Sequence[Curve],
    title: str,
    steps: Sequence[tuple[float, float]] = (),
    xlabel: str = "epoch",
    spikes: bool = True,
) -> Figure:
    """Plot values by epoch; `steps` are (epoch, new learning rate), marked by dotted verticals.

    Where values spike, the scale is logarithmic, unless `spikes` is false.
    """
    # About 6 units a letter, 40 for the stroke; what is longer than a line is cut at its end.
    columns = int(np.clip(WIDTH // (6 * max(len(line.name) for line in lines) + 40), 1, 3))
    legend_rows = -(-sum(bool(line.name) for line in lines) // columns)
    figure = titled(WIDTH, 225 + 18 * legend_rows, title)
    axes = figure.add_subplot(xlabel=xlabel)
    axes.grid(axis="y")
    for line in lines:
        if not line.name:
            axes.plot(line.epochs, line.values, color=INK, alpha=0.18, linewidth=0.9)
            continue
        few = len(line.epochs) < 4
        style = {"color": HUES[line.hue % len(HUES)], "linestyle": STROKES[line.stroke]}
        axes.plot(line.epochs, line.values, label=line.name, marker="o" if few else "", **style)
        if line.best is not None:
            axes.plot(line.epochs[line.best], line.values[line.best], "o", color=style["color"])
    values = np.concatenate([line.values for line in lines])
    values = values[np.isfinite(values)]
    # One early spike of the validation loss would flatten everything else.
    if spikes and values.size and values.min() > 0 and values.max() > 8 * np.median(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(ScalarFormatter())
        figure.suptitle(f"{title}, logarithmic")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    falling = values.size and lines[0].values[0] > lines[0].values[-1]
    _mark_steps(axes, steps, top=bool(falling))
    figure.legend(loc="outside lower left", ncols=columns, handlelength=2.4, columnspacing=1.4)
    return figure


def _mark_steps(axes, steps: Sequence[tuple[float, float]], top: bool) -> None:
    """Draw verticals with their rate where the curve leaves room; leave out crowded labels."""
    low, high = axes.get_xlim()
    last = -np.inf
    for epoch, rate in steps:
        axes.axvline(epoch, color=INK, alpha=0.45, linestyle=":", linewidth=1.1)
        if epoch - last < 0.045 * (high - low):
            continue
        last = epoch
        axes.annotate(
            f"lr {rate:.2g}",
            (epoch, 0.98 if top else 0.02),
            xycoords=("data", "axes fraction"),
            xytext=(-2, 0),
            textcoords="offset points",
            rotation=90,
            ha="right",
            va="top" if top else "bottom",
            fontsize=9,
            alpha=0.8,
        )


class Point(NamedTuple):
    """One labelled point; points of one `kind` share a marker and a line of the legend."""

    name: str
    x: float
    y: float
    kind: str


@matplotlib.rc_context(STYLE)
def points(found: Sequence[Point], title: str, xlabel: str) -> Figure:
    """Plot points with their names beside them; costs far apart are logarithmic."""
    figure = titled(WIDTH, 330, title)
    axes = figure.add_subplot(xlabel=xlabel)
    axes.grid(axis="y")
    axes.margins(x=0.18, y=0.09)  # a short name fits beside the outermost points
    for number, kind in enumerate(dict.fromkeys(point.kind for point in found)):
        own = [(point.x, point.y) for point in found if point.kind == kind]
        style = {"color": HUES[number % len(HUES)], "marker": MARKERS[number % len(MARKERS)]}
        axes.plot(*zip(*own, strict=True), linestyle="", label=kind, **style)
    costs = [point.x for point in found]
    if max(costs) > 30 * min(costs) > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(ScalarFormatter())
    figure.legend(loc="outside lower left", ncols=3, handlelength=1)
    figure.draw_without_rendering()  # the layout decides where points lie, and so the labels
    _name(axes, found)
    return figure


def _name(axes, found: Sequence[Point]) -> None:
    """Write each name at the free place nearest to its point, joined to it where that is far."""
    scale = 72 / axes.figure.dpi
    places = axes.transData.transform([(point.x, point.y) for point in found]) * scale
    area = axes.bbox.extents * scale
    middle, last = (area[0] + area[2]) / 2, places[:, 0].max()
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in places]
    for number in np.argsort(-places[:, 1], kind="stable"):
        (x, y), name = places[number], found[number].name
        width = LETTER * len(name)
        sides = (x + 8, x - 8 - width)
        free = [
            (left, shift)
            for shift in sorted(range(-120, 121, 4), key=abs)
            for left in (sides if x < middle or x == last else sides[::-1])
            if area[0] <= left and left + width <= area[2]
            if not any(
                _overlap((left, y + shift - 6, left + width, y + shift + 6), t) for t in taken
            )
        ]
        left, shift = free[0] if free else (x + 8, 0)
        taken.append((left, y + shift - 6, left + width, y + shift + 6))
        right = left < x
        line = {"arrowstyle": "-", "color": INK, "alpha": 0.4, "linewidth": 0.7}
        text = axes.annotate(
            name,
            (found[number].x, found[number].y),
            (left - x + (width if right else 0), shift),
            textcoords="offset points",
            ha="right" if right else "left",
            va="center",
            size=10,
            arrowprops=line | {"relpos": (float(right), 0.5)} if abs(shift) > 8 else None,
        )
        text.set_in_layout(False)


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two boxes (left, bottom, right, top) share an area."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@matplotlib.rc_context(STYLE)
def confusion(matrix: np.ndarray, names: Sequence[str]) -> Figure:
    """Plot the share of each true class (row) by predicted class (column); few: numbers."""
    classes = len(names)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    # A mistake of 2 % must be visible among hundreds of classes: square root for the big ones.
    strength = share if classes <= NAMED else np.sqrt(share)
    color = np.empty((classes, classes, 4))
    color[...] = matplotlib.colors.to_rgba(BLUE)
    color[..., 3] = strength
    side = np.clip(30 * classes, 120, 320) + 100 if classes <= NUMBERED else WIDTH
    figure = titled(side, side, "Confusion matrix")
    axes = figure.add_subplot(xlabel="predicted", ylabel="true")
    axes.imshow(color, interpolation="none")
    axes.spines[:].set_visible(True)
    axes.spines[:].set_alpha(0.25)
    if classes > NAMED:
        return figure
    axes.set_xticks(range(classes), names, rotation=90 if max(map(len, names)) > 2 else 0)
    axes.set_yticks(range(classes), names)
    axes.tick_params(labelsize=11 if classes <= NUMBERED else 7)
    if classes > NUMBERED:
        return figure
    center = {"ha": "center", "va": "center", "size": 10 if classes <= 12 else 8}
    for row, column in np.argwhere(matrix):
        ink = "white" if share[row, column] > 0.6 else INK
        axes.text(column, row, f"{matrix[row, column]}", color=ink, **center)
    return figure


@matplotlib.rc_context(STYLE)
def image_grid(images: np.ndarray, captions: Sequence[str], columns: int) -> Figure:
    """Plot images row by row with a caption under each, for the PNG files."""
    rows = -(-len(images) // columns)
    lines = max((caption.count("\n") + 1 for caption in captions if caption), default=0)
    height = 104 + 13 * lines
    # The sizes are known, and solving the layout of 40 axes would take seconds.
    figure = Figure(figsize=(110 * columns / 72, height * rows / 72), layout="none")
    grid = figure.subplots(rows, columns, squeeze=False)
    bottom = 13 * lines / height / rows
    figure.subplots_adjust(0.01, bottom, 0.99, 0.995, wspace=0.08, hspace=(height - 100) / 100)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, caption in zip(grid.flat, images, captions, strict=False):
        axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.text(0.5, -0.05, caption, transform=axes.transAxes, ha="center", va="top", size=8)
    return figure
