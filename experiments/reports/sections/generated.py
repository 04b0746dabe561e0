"""What was measured of generators: distances beside real ones, memory, a classifier; the sheet."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

from experiments.reports.context import Context, Shown
from experiments.runs import tables

CAPTION = (
    "distances are to validation images, by the features that are named (no FID); real training "
    "images are the floor; the nearest training images of generated and of held-out images are "
    "compared: 50 % nearer where both are alike"
)
FIX = "measure again, or remove it"
SHEET = 1200  # pixels of the sheet at most
# Of numbers from so much on as many decimals, and of smaller ones what tells them apart.
_DECIMALS = ((100, 0), (10, 1), (1, 2), (0.1, 3), (0, 4))


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    """Read what was measured; ValueError that names the file where it is damaged."""
    texts = ("measure", "by", "images", "unit", "run", "device", "date", "command")
    return tables.read(path, ("value", "spread", "n"), texts, fix=FIX)


def value(row: dict[str, Any]) -> str:
    """Return a measure as text, with its spread and unit."""
    size = abs(row["value"])
    decimals = next(count for least, count in _DECIMALS if size >= least)
    decimals = 1 if row["unit"] == "%" else decimals
    text = f"{row['value']:.{decimals}f}"
    text += "" if row["spread"] == "" else f" ± {row['spread']:.{decimals}f}"
    return f"{text} {row['unit']}".rstrip()


def ordered(rows: Sequence[dict[str, Any]]) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """Return (measure, features, rows) of each measure, in the order of the first of each."""
    keys = list(dict.fromkeys((row["measure"], row["by"]) for row in rows))
    return [
        (measure, by, [row for row in rows if (row["measure"], row["by"]) == (measure, by)])
        for measure, by in keys
    ]


def show(context: Context) -> Shown | None:
    """Show every table of a generator's measures, with its sheet where that lies beside it."""
    if not context.generated:
        return None
    from experiments.reports import svg

    parts = []
    for path in context.generated:
        rows = read(path)
        facts = {name: rows[0][name] for name in ("run", "device", "command")}
        sheet = path.with_name(tables.NEAREST)
        parts.append(
            facts
            | {"measures": ordered(rows), "date": rows[0]["date"][:10], "seed": rows[0].get("seed")}
            | {"sheet": svg.data_uri(svg.picture(sheet, FIX), SHEET) if sheet.is_file() else None}
        )
    return Shown(
        {"parts": parts, "caption": CAPTION, "value": value},
        links=[("generated", "Generated images")],
    )
