"""The comparison of ensembles as `ensemble compare` left it, for the console and for the report.

Needs no Keras.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from experiments import _plots
from experiments._runs import read_table

FILE = "compare.csv"
MEANINGLESS = "meaningless"


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
        value = row[self.key]
        return "" if value == "" else f"{value / UNITS.get(self.unit, 1):,.{self.digits}f}"


UNITS = {"M": 1e6}
COLUMNS = (
    Column("top1", "top-1", "%", 2, max),
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


def columns(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """Return the columns of which a row has a value."""
    return [column for column in COLUMNS if any(row[column.key] != "" for row in rows)]


def best(rows: Sequence[Mapping[str, Any]]) -> set[tuple[int, str]]:
    """Return (number of the row, key of the column) of the best values, as they are shown."""
    found = set()
    for column in COLUMNS:
        if column.best:
            shown = [round(row[column.key], column.digits) for row in rows]
            least = column.best(shown)
            found |= {(i, column.key) for i, value in enumerate(shown) if value == least}
    return found


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    """Read a comparison; ValueError that names the file where it is damaged."""
    numbers = [*(column.key for column in COLUMNS), "n", "fitted_on"]
    texts = ("ensemble", "kind", "device", "date", "command")
    return read_table(path, numbers, texts, fix="compare again, or remove it")


def section(path: pathlib.Path) -> dict[str, Any]:
    """Return what the report's template shows of a comparison."""
    rows = read(path)
    marked = best(rows)
    facts = rows[0]
    return {
        "columns": columns(rows),
        "lines": [
            (row, {key for i, key in marked if i == number}) for number, row in enumerate(rows)
        ],
        "n": int(facts["n"]),
        "fitted_on": int(facts["fitted_on"]),
        "device": facts["device"],
        "date": facts["date"][:10],
        "command": facts["command"],
        "figure": figure(rows),
    }


def figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw accuracy by multiply-adds; without the rule that is no vote at all, far below."""
    points = [
        _plots.Point(row["ensemble"], row["macs"] / 1e6, row["top1"], row["kind"])
        for row in rows
        if not row["ensemble"].startswith(MEANINGLESS)
    ]
    return _plots.points(points, "Top-1, %, by cost", "million multiply-adds for one image")
