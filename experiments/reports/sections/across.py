"""The runs of one data set beside each other: how they learned, how fast, and how far they came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.reports.context import Context, Group, Shown
from experiments.reports.sections.papers import as_published
from experiments.reports.words import cut, number, unique
from experiments.runs import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Column of the history, what its figure is called.
CURVES = {
    "top1": "Training top-1, %",
    "loss": "Training loss",
    "val_top1": "Validation top-1, %",
    "val_loss": "Validation loss",
}
NAMED = 24  # curves that hues and strokes tell apart: of more runs, those of the best are named
LONGEST = 58  # letters of a name in a legend


def show(context: Context) -> Shown | None:
    """Show each data set that two runs or more were made on."""
    from experiments.reports import svg

    drawn = {}
    for place, group in enumerate(context.groups):
        if len(group.runs) > 1:
            drawn[f"across{place}"] = group, figures(group)
    if not drawn:
        return None
    parts = [
        _part(group) | {"drawings": svg.inline(plots, key, group.title)}
        for key, (group, plots) in drawn.items()
    ]
    files = {
        f"{key}_{name}": plot for key, (_, plots) in drawn.items() for name, plot in plots.items()
    }
    return Shown(
        {"parts": parts, "single": len(context.groups) == 1},
        links=[("across", "Across models")],
        plots=[(context.plots, files)] if context.plots else (),
    )


def _part(group: Group) -> dict[str, Any]:
    """Return what is told of a group beside its figures."""
    learned = [run for run in group.runs if run.history]
    timed = [run for run in group.runs if _seconds(run)]
    return {
        "title": group.title,
        "named": NAMED if len(learned) > NAMED else None,
        "curves": len(learned),
        "devices": unique(run.metrics.get("device") for run in timed),
        "goals": any(run.expect.get(key) is not None for run in group.runs for key in ACCURACIES),
    }


def figures(group: Group) -> dict[str, Figure]:
    """Draw by name what two runs or more of a data set have."""
    from experiments.reports.figures import trained

    drawn = {
        key: _curves(group, title, lambda run, key=key: _by_epoch(run, key))
        for key, title in CURVES.items()
    }
    drawn |= {"seconds": _seconds_per_epoch(group), "accuracy": _accuracies(group)}
    drawn["images"] = _curves(
        group, "Training top-1 batch by batch, %", trained, xlabel="training images seen"
    )
    return {name: figure for name, figure in drawn.items() if figure}


Values = tuple[np.ndarray, np.ndarray]


def _by_epoch(run: Run, key: str) -> Values:
    if not run.history:
        return np.empty(0), np.empty(0)
    return run.history["epoch"], run.history[key]


def _curves(
    group: Group, title: str, of: Callable[[Run], Values], xlabel: str = "epoch"
) -> Figure | None:
    """Draw what `of` returns of each run, if two have some; the best `NAMED` by their names.

    A run looks alike in all figures of its group.
    """
    from experiments.reports import plots
    from experiments.reports.svg import HUES

    named = sorted(_best(group))
    lines = []
    for place, (run, label) in enumerate(zip(group.runs, group.labels, strict=True)):
        values = of(run)
        if not len(values[0]):
            continue
        if place not in named:
            lines.insert(0, plots.Curve("", *values))
            continue
        stroke, hue = divmod(named.index(place), len(HUES))
        lines.append(plots.Curve(cut(label, LONGEST), *values, hue=hue, stroke=stroke))
    return plots.curves(lines, title, xlabel=xlabel) if len(lines) > 1 else None


def _best(group: Group) -> list[int]:
    """Return the places of the runs that are named in curves."""
    known = [place for place, run in enumerate(group.runs) if run.history]
    return sorted(known, key=lambda place: -group.runs[place].metrics["top1"])[:NAMED]


def _seconds(run: Run) -> float | None:
    """Return the median seconds of an epoch; a head's, on cached outputs, says nothing here."""
    return run.metrics.get("seconds_per_epoch") if run.kind.network else None


def _seconds_per_epoch(group: Group) -> Figure | None:
    from experiments.reports import bars

    found = [
        bars.Bar(label, _seconds(run))
        for run, label in zip(group.runs, group.labels, strict=True)
        if _seconds(run) is not None
    ]
    if len(found) < 2:
        return None
    most = max(bar.value for bar in found)
    digits = 2 if most < 10 else 1 if most < 1000 else 0
    return bars.bars(found, "Seconds per epoch, median", lambda bar: number(bar.value, digits))


ACCURACIES = ("top1", "top5")


def _accuracies(group: Group) -> Figure:
    """Draw top-1, top-5 behind it where that says something, and what is published of them."""
    from experiments.reports import bars

    shown = ACCURACIES if group.runs[0].classes > 5 else ACCURACIES[:1]
    found = [_bar(run, label, shown) for run, label in zip(group.runs, group.labels, strict=True)]
    parts = [key.replace("top", "top-") for key in shown]
    parts += [
        f"published {part}"
        for part, goals in zip(parts, zip(*(bar.goals for bar in found), strict=True), strict=False)
        if any(goal is not None for goal in goals)
    ]
    told = "Validation top-1" + (" and top-5, %" if len(shown) > 1 else ", %")
    return bars.bars(found, told, _accuracy_told, parts)


def _bar(run: Run, label: str, shown: Sequence[str]) -> Any:
    """Return the bar of a run: with the views that its paper used, if it was asked with them."""
    from experiments.reports import bars

    ours, expect = as_published(run, run.expect), run.expect
    if any(ours.get(key) is None for key in shown):
        ours, expect = run.metrics, {}
    goals = [expect.get(key) if key in shown else None for key in ACCURACIES]
    return bars.Bar(label, ours["top1"], ours.get("top5") if len(shown) > 1 else None, tuple(goals))


def _accuracy_told(bar: Any) -> str:
    return number(bar.value, 1) + (f" / {number(bar.behind, 1)}" if bar.behind is not None else "")
