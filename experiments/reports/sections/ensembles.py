"""What several runs can be together, as a comparison left it: for the console and for reports."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.reports.context import Context, Shown
from experiments.runs import tables
from experiments.training.views import VIEWS, told

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A rule of `stacking.vote` that decides nothing: far below the others, it would flatten the figure.
NOT_DRAWN = "meaningless_mean_of_class_numbers"


class Column(NamedTuple):
    """A number of the table: its unit, the digits shown, and which value is the best one."""

    key: str
    title: str
    unit: str
    digits: int
    best: Any = None
    detail: bool = False
    """Whether a narrow console goes without it."""

    def text(self, row: Mapping[str, Any]) -> str:
        """Value of a row as it is shown, empty where there is none."""
        value = row.get(self.key, "")
        return "" if value == "" else f"{value / UNITS.get(self.unit, 1):,.{self.digits}f}"


UNITS = {"M": 1e6}
# Only of a comparison with views.
WITH_VIEWS = tuple(
    Column(f"top1_{name}", f"with\n{name}", "%", 2, max) for name in VIEWS if name != "none"
)
# Not of comparisons of before.
INTERVAL = (
    Column("top1_low", "low", "%", 1, detail=True),
    Column("top1_high", "high", "%", 1, detail=True),
    Column("p_best_member", "p", "", 3, detail=True),
)
COLUMNS = (
    Column("top1", "top-1", "%", 2, max),
    *WITH_VIEWS,
    *INTERVAL,
    Column("top3", "top-3", "%", 2, max, detail=True),
    Column("top5", "top-5", "%", 2, max),
    Column("calibration_error", "ECE", "%", 2, min),
    Column("loss", "NLL", "nats", 3, min),
    Column("disagreement", "differ", "%", 1),
    Column("parameters", "params", "M", 2, detail=True),
    Column("macs", "MACs", "M", 1),
    Column("latency_ms", "latency", "ms", 1),
    Column("images_per_second", "images", "per s", 0, detail=True),
)
OPTIONAL = (*WITH_VIEWS, *INTERVAL)


def columns(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """Return the columns of which a row has a value."""
    return [column for column in COLUMNS if any(column.text(row) for row in rows)]


def best(rows: Sequence[Mapping[str, Any]]) -> set[tuple[int, str]]:
    """Return (number of the row, key of the column) of the best values, as they are shown."""
    found = set()
    for column in columns(rows):
        if column.best:
            known = [(i, row[column.key]) for i, row in enumerate(rows) if row[column.key] != ""]
            shown = {i: round(value, column.digits) for i, value in known}
            least = column.best(shown.values())
            found |= {(i, column.key) for i, value in shown.items() if value == least}
    return found


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    """Read a comparison; ValueError that names the file where it is damaged."""
    numbers = [*(column.key for column in COLUMNS if column not in OPTIONAL), "n", "fitted_on"]
    texts = ("ensemble", "kind", "rule", "weights", "device", "date", "command")
    optional = [column.key for column in OPTIONAL]
    fix = "compare again, or remove it"
    return tables.read(path, numbers, texts, fix, optional=optional)


def show(context: Context) -> Shown | None:
    """Show every comparison: its table, with the best values marked, and accuracy by cost."""
    if not context.comparisons:
        return None
    from experiments.reports import svg

    found = [read(path) for path in context.comparisons]
    drawn = {f"ensembles{number}": figure(rows) for number, rows in enumerate(found)}
    return Shown(
        {
            "comparisons": [
                _comparison(rows) | svg.inline({"figure": plot}, key, "ensembles")
                for rows, (key, plot) in zip(found, drawn.items(), strict=True)
            ]
        },
        links=[("ensembles", "Ensembles")],
        plots=[(context.plots, drawn)] if context.plots else (),
    )


def _comparison(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    marked, facts = best(rows), rows[0]
    return {
        "columns": columns(rows),
        "lines": [
            (row, {key for i, key in marked if i == number}) for number, row in enumerate(rows)
        ],
        "views": [told(name) for name in VIEWS if f"top1_{name}" in facts],
        "n": int(facts["n"]),
        "fitted_on": int(facts["fitted_on"]),
        "device": facts["device"],
        "date": facts["date"][:10],
        "command": facts["command"],
    }


def figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw accuracy by multiply-adds, of all that decides something."""
    from experiments.reports import plots

    points = [
        plots.Point(row["ensemble"], row["macs"] / 1e6, row["top1"], row["kind"])
        for row in rows
        if row["rule"] != NOT_DRAWN and row["top1"] != ""  # weights that could not be fitted
    ]
    return plots.points(points, "Top-1, %, by cost", "million multiply-adds for one image")
