"""Figures of a sweep: its trials as lines over all fields, by each field, and in their order.

A better score is a stronger blue; the best trial is orange, here and there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.reports.svg import BLUE, HUES, INK, STYLE, WIDTH, titled
from experiments.runs.trials import Line
from zoo._space import Dimension

BEST = HUES[1]
# Labels of choices: at most so many letters.
LETTERS = 14
# Where a value that does not vary beside a trial's others stands, below all.
_ABSENT = -0.12


class Axis(NamedTuple):
    """A field's scale: `places` (0 to 1, NaN where it did not vary) of trials, and its labels."""

    name: str
    places: np.ndarray
    ticks: Sequence[tuple[float, str]]


def axis(one: Dimension, lines: Sequence[Line]) -> Axis:
    """Return the scale of a field: its choices in their order, or its range, also logarithmic."""
    values = [line.values.get(one.name, _MISSING) for line in lines]
    if one.choices is not None:
        last = max(len(one.choices) - 1, 1)
        ticks = [(place / last, text) for place, text in enumerate(labels(one))]
        known = [
            np.nan if value is _MISSING else one.choices.index(value) / last for value in values
        ]
        return Axis(one.name, np.array(known), ticks)
    scale = np.log if one.logarithmic else np.asarray
    low, high = (scale(float(bound)) for bound in one.bounds)
    known = [
        np.nan if value is _MISSING else (scale(float(value)) - low) / (high - low)
        for value in values
    ]
    middle = np.exp((low + high) / 2) if one.logarithmic else (low + high) / 2
    ticks = zip((0.0, 0.5, 1.0), (one.low, float(middle), one.high), strict=True)
    return Axis(one.name, np.array(known), [(place, label(value)) for place, value in ticks])


_MISSING = object()


def labels(one: Dimension) -> list[str]:
    """Return the choices of a field in a few letters each; lists and mappings by number, from 1."""
    return [
        f"no. {number}" if isinstance(choice, list | dict) else label(choice)
        for number, choice in enumerate(one.choices, start=1)
    ]


def label(value: Any) -> str:
    """Return a value in a few letters."""
    if isinstance(value, bool) or value is None:
        return {None: "none", True: "true", False: "false"}[value]
    text = f"{value:.2g}" if isinstance(value, float) else str(value)
    return text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…"


@matplotlib.rc_context(STYLE)
def parallel(
    dimensions: Sequence[Dimension], lines: Sequence[Line], objective: str, falls: bool
) -> Figure:
    """Draw every trial with a score as a line over the fields' scales to its score."""
    axes_of = [axis(one, lines) for one in dimensions]
    scores = np.array([line.score for line in lines])
    low, high = scores.min(), scores.max()
    height = (scores - low) / (high - low) if high > low else np.full(len(scores), 0.5)
    axes_of.append(Axis(objective, height, [(0, f"{low:.4g}"), (1, f"{high:.4g}")]))
    figure = titled(max(WIDTH, 150 * len(axes_of)), 300, "Trials: values and score")
    axes = figure.add_subplot()
    axes.spines[:].set_visible(False)
    axes.set(xlim=(-0.35, len(axes_of) - 0.35), ylim=(-0.24, 1.1), yticks=())
    axes.set_xticks(range(len(axes_of)), [_folded(one.name) for one in axes_of])
    places = np.stack([one.places for one in axes_of], axis=1)
    drawn = np.where(np.isnan(places), _ABSENT, places)
    good = 1 - height if falls else height
    for number in np.argsort(good):
        best = number == int(np.argmax(good))
        style = {"color": BEST, "linewidth": 2.4} if best else {"color": BLUE, "linewidth": 1.3}
        axes.plot(drawn[number], alpha=1 if best else 0.12 + 0.6 * good[number] ** 2, **style)
    for number, one in enumerate(axes_of):
        axes.plot([number, number], [0, 1], color=INK, linewidth=0.8, alpha=0.5)
        for place, text in one.ticks:
            axes.text(number + 0.03, place + 0.01, text, va="bottom", size=10)
        if np.isnan(one.places).any():
            axes.text(number + 0.03, _ABSENT, "not varied", va="top", size=10)
    return figure


@matplotlib.rc_context(STYLE)
def by_field(one: Dimension, lines: Sequence[Line], objective: str, falls: bool) -> Figure:
    """Draw the scores by a field's values."""
    found = axis(one, lines)
    scores = np.array([line.score for line in lines])
    figure = titled(WIDTH, 240, f"{objective} by {one.name}")
    axes = figure.add_subplot(xlabel=one.name + (", logarithmic" if one.logarithmic else ""))
    axes.grid(axis="y")
    axes.set_xlim(-0.06, 1.06)
    axes.plot(found.places, scores, "o", color=BLUE, alpha=0.65, markersize=5)
    best = int(np.argmin(scores) if falls else np.argmax(scores))
    axes.plot(found.places[best], scores[best], "o", color=BEST, markersize=7)
    axes.set_xticks([place for place, _ in found.ticks], [text for _, text in found.ticks])
    return figure


@matplotlib.rc_context(STYLE)
def in_order(lines: Sequence[Line], objective: str, falls: bool, published: float | None) -> Figure:
    """Draw the scores of trials in their order, and the best so far; failed ones at the foot."""
    figure = titled(WIDTH, 258, f"{objective}, and the best so far")
    axes = figure.add_subplot(xlabel="trial")
    axes.grid(axis="y")
    known = [line for line in lines if line.finished]
    numbers, scores = [line.trial for line in known], [line.score for line in known]
    so_far = (np.minimum if falls else np.maximum).accumulate(scores)
    last = max(line.trial for line in lines)
    axes.plot(numbers, scores, "o", color=BLUE, alpha=0.65, markersize=5, label="a trial")
    axes.step(
        [*numbers, last], [*so_far, so_far[-1]], where="post", color=BEST, label="best so far"
    )
    if failed := [line.trial for line in lines if line.status == "failed"]:
        foot = axes.get_xaxis_transform()
        axes.plot(failed, [0.03] * len(failed), "x", color=INK, transform=foot, label="failed")
    if published is not None:
        axes.axhline(published, color=INK, linestyle=":", linewidth=1.2, label="published")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    figure.legend(loc="outside lower left", ncols=4, handlelength=1.6, columnspacing=1.2)
    return figure


def _folded(name: str) -> str:
    """Return a dotted field with its parts on lines of their own."""
    return name.replace(".", ".\n")
