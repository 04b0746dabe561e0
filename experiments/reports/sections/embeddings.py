"""Where images lie: what was found of pixels and of features, with its sheets and tables."""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Mapping
from typing import Any

from experiments._files import read_json
from experiments.reports.context import Context, Shown

FIX = "embed again, or remove it"
# What a folder of embeddings must say of itself.
TOLD = ("data", "shape", "train", "validation", "parts", "settings", "date", "command", "device")
SHEET = 1600  # pixels of a sheet at most
LINES = 24  # of a table


def read(path: pathlib.Path) -> dict[str, Any]:
    """Read what was found, with the tables' rows; ValueError that names a damaged file."""
    found = read_json(path)
    if missing := [key for key in TOLD if key not in found]:
        raise ValueError(f"{path} cannot be used (no {', '.join(missing)}): {FIX}")
    parts = []
    for part in found["parts"].values():
        known = [table | {"lines": _lines(path.parent, table)} for table in part["tables"]]
        parts.append(part | {"tables": known})
    return found | {"parts": parts}


def show(context: Context) -> Shown | None:
    """Show each folder of embeddings: sentences, tables and sheets as they are."""
    if not context.embedded:
        return None
    from experiments.reports import svg

    studies = []
    for path in context.embedded:
        found = read(path)
        for part in found["parts"]:
            part["sheets"] = [
                sheet | {"uri": svg.data_uri(svg.picture(path.parent / sheet["file"], FIX), SHEET)}
                for sheet in part["sheets"]
                if (path.parent / sheet["file"]).is_file()
            ]
        of = ", ".join(found.get("runs") or ()) or found["data"]
        size = "×".join(map(str, found["shape"]))
        studies.append(found | {"of": of, "size": size, "date": str(found["date"])[:10]})
    return Shown({"studies": studies}, links=[("embeddings", "Embeddings")])


def _lines(folder: pathlib.Path, table: Mapping[str, Any]) -> list[list[str]]:
    """Return the first lines of a table as texts, rounded as its columns say."""
    path = folder / table["file"]
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))[: min(LINES, table["rows"])]
        return [
            [_text(row[column["key"]], column["digits"]) for column in table["columns"]]
            for row in rows
        ]
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise ValueError(f"{path} cannot be used ({error!r}): {FIX}") from error


def _text(value: str, digits: int | None) -> str:
    return value if digits is None or value == "" else f"{float(value):,.{digits}f}"
