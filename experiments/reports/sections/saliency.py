"""Where networks look: sheets of maps, and what tells how far to trust them."""

from __future__ import annotations

import base64
import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from experiments._files import explained, read_json
from experiments.reports.context import Context, Shown
from experiments.runs import tables

FIX = "explain again, or remove it"
# What a folder of explained images must say of itself.
TOLD = ("models", "class", "images", "sheets", "data", "settings", "date", "command", "device")
NUMBERS = ("n", "deletion", "insertion")
MAYBE = ("mass", "pointing", "box_area", "sanity_top", "sanity_half", "sanity_all", "correct")


def read(path: pathlib.Path) -> dict[str, Any]:
    """Read what was explained, with the table's rows; ValueError that names a damaged file."""
    found = read_json(path)
    if missing := [key for key in TOLD if key not in found]:
        raise ValueError(f"{path} cannot be used (no {', '.join(missing)}): {FIX}")
    rows = []
    if found.get("table"):
        texts = ("model", "method", "sanity_n", "incomplete", "fill", "steps")
        rows = tables.read(path.parent / found["table"], (*NUMBERS, *MAYBE), texts, fix=FIX)
    return found | {"rows": rows}


def show(context: Context) -> Shown | None:
    """Show each folder of explained images: its sheets as they are, and the numbers."""
    if not context.explained:
        return None
    parts = [_part(path, read(path)) for path in context.explained]
    return Shown({"parts": parts}, links=[("saliency", "Saliency")])


def _part(path: pathlib.Path, found: Mapping[str, Any]) -> dict[str, Any]:
    rows, sheets = found["rows"], found["sheets"]
    titles = {sheet["method"]: sheet["title"] for sheet in sheets}
    return {
        **found,
        "date": str(found["date"])[:10],
        "sheets": [sheet | {"uri": _uri(path.parent / sheet["file"])} for sheet in sheets],
        "by_model": _by_model(rows, titles),
        "boxed": any(row["mass"] != "" for row in rows),
        "sanity": next((row["sanity_n"] for row in rows if row["sanity_all"] != ""), ""),
        "incomplete": [
            (row["model"], float(row["incomplete"])) for row in rows if row["incomplete"]
        ],
        "fills": ", ".join(dict.fromkeys(row["fill"] for row in rows)),
        "steps": ", ".join(dict.fromkeys(row["steps"] for row in rows)),
        "n": int(rows[0]["n"]) if rows else found["images"],
    }


def _by_model(
    rows: Sequence[Mapping[str, Any]], titles: Mapping[str, str]
) -> list[tuple[str, float | None, list[dict[str, Any]]]]:
    """Return (model, percent it gets right, its rows); what is empty becomes None."""
    found = []
    for model, its in itertools.groupby(rows, key=lambda row: row["model"]):
        cells = [
            {key: None if value == "" else value for key, value in row.items()}
            | {"title": titles.get(row["method"], row["method"])}
            | {"looks": row["method"] in titles}
            for row in its
        ]
        found.append((model, cells[0]["correct"], cells))
    return found


def _uri(path: pathlib.Path) -> str:
    with explained(path, FIX):
        content = path.read_bytes()
    return "data:image/png;base64," + base64.b64encode(content).decode()
