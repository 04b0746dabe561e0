"""Bars: one a class, and one a run, as figures of the report's style."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from experiments.reports.svg import BLUE, HUES, INK, STYLE, WIDTH, titled
from experiments.reports.words import cut

ROW = 17  # units, the height of a bar with its gap
LONGEST = 26  # letters of a name beside its bar


class Bar(NamedTuple):
    """One bar, `behind` a lighter one behind it, `goals` the values that each is to reach."""

    name: str
    value: float
    behind: float | None = None
    goals: tuple[float | None, float | None] = (None, None)


@matplotlib.rc_context(STYLE)
def bars(
    found: Sequence[Bar], title: str, told: Callable[[Bar], str], parts: Sequence[str] = ()
) -> Figure:
    """Plot one bar each, in the order given from the top, with what is `told` of it at the right.

    `parts` are what the legend calls a bar, the one behind it, and their goals.
    """
    texts = [told(bar) for bar in found]
    figure = titled(WIDTH, ROW * len(found) + 45 + 22 * bool(parts), title)
    axes = figure.add_subplot()
    positions = np.arange(len(found))[::-1]
    style, ends = {"height": 0.72, "color": BLUE}, []
    for bar, y in zip(found, positions, strict=True):
        if bar.behind is not None:
            axes.barh(y, bar.behind, **style | {"alpha": 0.3})
        axes.barh(y, bar.value, **style)
        for goal, line in zip(bar.goals, STROKES, strict=True):
            if goal is not None:
                axes.plot([goal, goal], [y - 0.5, y + 0.5], color=HUES[1], linestyle=line)
        ends += [x for x in (bar.value, bar.behind, *bar.goals) if x is not None]
    most = max(ends, default=1) or 1
    room = 1.03 + 0.024 * max(map(len, texts), default=0)
    axes.set_yticks(positions, [cut(bar.name, LONGEST) for bar in found])
    axes.set(xlim=(0, room * most), ylim=(-0.7, len(found) - 0.3), xticks=())
    axes.spines[:].set_visible(False)
    for y, text in zip(positions, texts, strict=True):
        axes.text(room * most, y, text, ha="right", va="center", size=10)
    if parts:
        figure.legend(_keys(found), parts, loc="outside lower left", ncols=4, handlelength=1.2)
    return figure


STROKES = ("-", (0, (1.5, 1)))  # of the goals of a bar, and of the one behind it


def _keys(found: Sequence[Bar]) -> list:
    """Return what stands beside the names of a legend."""
    keys = [Patch(color=BLUE)]
    if any(bar.behind is not None for bar in found):
        keys.append(Patch(color=BLUE, alpha=0.3))
    for goals, line in zip(zip(*(bar.goals for bar in found), strict=True), STROKES, strict=True):
        if any(goal is not None for goal in goals):
            keys.append(Line2D([], [], color=HUES[1], linestyle=line))
    return keys


@matplotlib.rc_context(STYLE)
def class_bars(names: Sequence[str], accuracy: np.ndarray, title: str) -> Figure:
    """Plot one bar per class, in the order given from the top, with its percent."""
    figure = titled(WIDTH, ROW * len(names) + 45, title)
    axes = figure.add_subplot()
    positions = np.arange(len(names))[::-1]
    axes.barh(positions, np.full(len(names), 100), height=0.72, color=INK, alpha=0.06)
    axes.barh(positions, np.nan_to_num(accuracy), height=0.72, color=BLUE)
    axes.set_yticks(positions, names)
    axes.set(xlim=(0, 114), ylim=(-0.6, len(names) - 0.4), xticks=())
    axes.spines[:].set_visible(False)
    for position, value in zip(positions, accuracy, strict=True):
        text = "no images" if np.isnan(value) else f"{value:.0f} %"
        axes.text(113.5, position, text, ha="right", va="center", size=10)
    return figure


@matplotlib.rc_context(STYLE)
def class_profile(accuracy: np.ndarray) -> Figure:
    """Plot all classes from best to worst, without names: how uneven they are."""
    ordered = np.sort(accuracy[np.isfinite(accuracy)])[::-1]
    figure = titled(WIDTH, 230, "Top-1 of all classes, sorted, %")
    axes = figure.add_subplot(xlabel="classes")
    axes.grid(axis="y")
    edges = np.arange(len(ordered) + 1)
    axes.stairs(ordered, edges, fill=True, color=BLUE, alpha=0.25)
    axes.stairs(ordered, edges, baseline=None, color=BLUE, linewidth=1.6)
    axes.axhline(ordered.mean(), color=INK, linestyle=":", linewidth=1.1, alpha=0.6)
    mean = f"mean {ordered.mean():.1f}"
    axes.text(len(ordered), ordered.mean() + 1.5, mean, ha="right", va="bottom", size=10)
    axes.set(xlim=(0, len(ordered)), ylim=(0, 102))
    return figure
