"""Tables of measurements as CSV, with where, when and by which command they were made."""

import csv
import io
import pathlib
from collections.abc import Sequence
from typing import Any

from experiments._files import write_text
from experiments.runs.environment import environment

# What studies of several runs leave in a folder, and reports look for.
COMPARISON = "compare.csv"
ROBUSTNESS = "robustness.csv"
PHONE = "phone.csv"
GENERATED = "generated.csv"
# What lies beside a table: a sheet of images.
NEAREST = "nearest.png"
# Of explained images: what there is, numbers, and a sheet for each method.
EXPLAINED, SALIENCY = "saliency.json", "saliency.csv"
# Of embeddings: what there is; sheets and tables beside it have names of their parts.
EMBEDDINGS = "embeddings.json"
# What `fit` found of somebody's pictures, and chose: beside the runs that it made.
FIT = "fit.json"
STUDIES = (COMPARISON, ROBUSTNESS, PHONE, EXPLAINED, EMBEDDINGS, GENERATED)


def sheet(method: str) -> str:
    """Return the name of a method's sheet of explained images."""
    return f"saliency_{method}.png"


def write(rows: list[dict], path: pathlib.Path) -> None:
    """Write rows with where and when they were measured, atomically."""
    found = environment()
    versions = " ".join(f"{name} {version}" for name, version in found["versions"].items())
    where = {name: found[name] for name in ("device", "cores", "date", "command")}
    text = io.StringIO()
    writer = csv.DictWriter(text, [*rows[0], *where, "versions"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, **where, "versions": versions} for row in rows)
    write_text(pathlib.Path(path), text.getvalue())


def read(
    path: pathlib.Path,
    numbers: Sequence[str],
    texts: Sequence[str],
    fix: str,
    *,
    optional: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Read a CSV file with at least these columns; an empty number stays an empty text.

    `optional` are columns of numbers that need not be there.
    Raises ValueError that names the file where it is damaged, and `fix`.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        missing = {*numbers, *texts} - (rows[0].keys() if rows else set())
        if missing:
            raise ValueError(f"no {', '.join(sorted(missing))}")
        known = [*numbers, *(key for key in optional if rows and key in rows[0])]
        return [row | {key: float(row[key]) if row[key] else "" for key in known} for row in rows]
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be used ({error}): {fix}") from error
