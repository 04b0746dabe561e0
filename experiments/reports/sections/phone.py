"""Models as a phone runs them: size, operations and time of one image beside accuracy."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from experiments.reports.context import Context, Shown
from experiments.reports.members import identity
from experiments.reports.words import cut
from experiments.runs import tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What accuracy is drawn by: column, divided by, and what the axis says.
COSTS = {
    "ms": ("ms_per_image", 1, "ms for one image, one thread"),
    "macs": ("macs", 1e6, "million multiply-adds for one image"),
}
LONGEST = 30  # letters of a name beside its point


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    """Read what was timed; ValueError that names the file where it is damaged."""
    numbers = ("ms_per_image", "file_mb", "parameters", "macs", "load", "top1", "top5")
    texts = ("case", "run", "network", "weights", "input", "dataset", "device", "date", "command")
    return tables.read(path, numbers, texts, fix="measure again, or remove it")


def show(context: Context) -> Shown | None:
    """Show every table of timed models, and accuracy by cost for each data set."""
    if not context.phones:
        return None
    from experiments.reports import svg

    parts, files = [], {}
    for place, path in enumerate(context.phones):
        rows = _named(read(path), context)
        drawn = _figures(rows)
        key = f"phone{place}"
        files |= {f"{key}_{name}": figure for name, figure in drawn.items()}
        facts = {name: rows[0][name] for name in ("device", "command")}
        parts.append(
            facts
            | {"rows": rows, "date": rows[0]["date"][:10], "drawings": svg.inline(drawn, key, key)}
            | {"load": max(row["load"] for row in rows)}
            | {"random": any(row["weights"] == "random" for row in rows)}
        )
    return Shown(
        {"parts": parts, "several": len(context.groups) > 1},
        links=[("phone", "On a phone")],
        plots=[(context.plots, files)] if context.plots and files else (),
    )


def _named(rows: Sequence[dict[str, Any]], context: Context) -> list[dict[str, Any]]:
    """Call each row, and its data set, what the page calls the run that was timed, if it shows it.

    What was timed may lie elsewhere, and its folder may have been moved.
    """
    known = {
        identity(run): (label, context.data_of(run))
        for run, label in zip(context.runs, context.labels, strict=True)
    }
    found = []
    for row in rows:
        part = {"run": row["run"], "name": row["case"], "top1": row["top1"]}
        label, data = known.get(identity(part), (row["case"], row["dataset"]))
        found.append(row | {"label": label, "data": data})
    return found


def _figures(rows: Sequence[dict[str, Any]]) -> dict[str, Figure]:
    """Draw accuracy by each cost, for data sets of which two models or more were timed."""
    from experiments.reports import plots

    by_data: dict[str, list] = {}
    for row in rows:
        if row["top1"] != "":
            by_data.setdefault(row["data"], []).append(row)
    return {
        f"{cost}{place}": plots.points(
            [
                plots.Point(cut(row["label"], LONGEST), row[column] / unit, row["top1"], data)
                for row in found
            ],
            f"Top-1, %, on {data}",
            axis,
        )
        for place, (data, found) in enumerate(by_data.items())
        if len(found) > 1
        for cost, (column, unit, axis) in COSTS.items()
    }
