"""Diagrams of architectures, drawn from built models: a row for what a network does, top down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

import zoo
from experiments.reports import structure
from experiments.reports.structure import JOINS, Row
from experiments.reports.svg import HUES, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# In units of a figure, 72 to an inch.
WIDTH, ROW, HEAD, GAP = 780, 25, 74, 7
# Left edges: sizes of the maps, boxes; right edges: boxes, output shapes, parameters.
SIZES, LEFT, RIGHT, SHAPES, PARAMETERS = 12, 90, 568, 680, 768
SMALL = 9  # points of text


def draw(model: Any) -> Figure:
    """Draw a functional model, with the shape of each row's output and its parameters.

    A line beside a box leads around it: what the box makes is added to what it gets (solid), or
    stands beside it (dashed).
    """
    rows = structure.rows(model)
    height = HEAD + len(rows) * ROW + 12
    figure = Figure(figsize=(WIDTH / 72, height / 72))
    axes = figure.subplots(gridspec_kw={"left": 0, "right": 1, "bottom": 0, "top": 1})
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    axes.axis("off")
    _head(axes, model)
    hues = _hues(rows)
    for place, (row, hue) in enumerate(zip(rows, hues, strict=True)):
        top = HEAD + place * ROW
        _box(axes, row, top, hue)
        if place == 0 or row.size != rows[place - 1].size:
            _text(axes, SIZES, top, " × ".join(map(str, row.size)) or "–", color=hue, weight="bold")
        if place + 1 < len(rows):
            middle = (LEFT + RIGHT) / 2
            _arrow(axes, (middle, top + ROW - GAP), (middle, top + ROW))
    return figure


def _head(axes: Axes, model: Any) -> None:
    parameters, macs = zoo.profile(model)
    shape = " × ".join(map(str, model.input_shape[1:]))
    told = f"{parameters:,} parameters, {macs / 1e6:,.1f} million multiply-adds for {shape}"
    axes.text(SIZES, 18, model.name, size=13, weight="bold", color=INK, va="center")
    axes.text(SIZES, 36, told, size=SMALL + 1, color=INK, va="center")
    columns = ((SIZES, "maps", "left"), (LEFT, "what is done (/2: with a stride of 2)", "left"))
    columns += ((SHAPES, "output", "right"), (PARAMETERS, "parameters", "right"))
    for x, word, side in columns:
        axes.text(x, 58, word, size=SMALL, color=INK, alpha=0.7, ha=side, va="center")


def _box(axes: Axes, row: Row, top: float, hue: str) -> None:
    size = RIGHT - LEFT, ROW - GAP
    axes.add_patch(Rectangle((LEFT, top), *size, facecolor=hue, alpha=0.13, linewidth=0))
    axes.add_patch(Rectangle((LEFT, top), *size, fill=False, edgecolor=hue, linewidth=1))
    _text(axes, LEFT + 7, top, words(row))
    _text(axes, SHAPES, top, " × ".join(map(str, row.shape)), ha="right")
    _text(axes, PARAMETERS, top, f"{row.parameters:,}" if row.parameters else "–", ha="right")
    if row.joins:
        style = "-" if row.joins == "Add" else (0, (3, 2))
        x, y, out = RIGHT, (top + 2, top + ROW - GAP - 2), 8
        corners = [x, x + out, x + out, x], [y[0], y[0], y[1], y[1]]
        axes.plot(*corners, linestyle=style, color=hue, linewidth=1.2)


def words(row: Row) -> str:
    """Return what a row says in its box."""
    times = f"{row.times} × " if row.times > 1 else ""
    if row.joins:
        return f"{times}{JOINS[row.joins]}: {row.text}"
    kernel, *more = row.text.split(" ", 1)
    plain = "×" in kernel and "," not in row.text
    return times + " ".join([kernel, *["convolution"] * plain, *more])


def _hues(rows: Sequence[Row]) -> list[str]:
    """Give each size of maps a color, in turn."""
    hues, number = [], 0
    for place, row in enumerate(rows):
        number += place > 0 and row.size != rows[place - 1].size
        hues.append(HUES[number % len(HUES)])
    return hues


def _text(axes: Axes, x: float, top: float, text: str, **options: Any) -> None:
    options = {"size": SMALL, "color": INK, "va": "center"} | options
    axes.text(x, top + (ROW - GAP) / 2, text, **options)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    style = {"arrowstyle": "-|>", "mutation_scale": 6, "shrinkA": 0, "shrinkB": 0}
    axes.add_patch(FancyArrowPatch(start, end, color=INK, linewidth=0.8, **style))
