"""trials.csv of a sweep: one line a trial, in the order in which they were proposed.

Columns are trial (its number, from 1), status (finished, failed, running), score (the objective),
until_epoch (where the search decides on that), after (the shorter trial that it goes on from),
attempts, seconds (of its own epochs), reason (why it failed), and one for each field that varies,
as JSON.
"""

import csv
import io
import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from experiments._files import write_text

COLUMNS = ("trial", "status", "score", "until_epoch", "after", "attempts", "seconds", "reason")


class Line(NamedTuple):
    """What is told of a trial."""

    trial: int
    status: str
    score: float | None
    epochs: int | None
    after: int | None
    attempts: int
    seconds: float | None
    reason: str
    values: dict[str, Any]

    @property
    def finished(self) -> bool:
        """Whether it has a score."""
        return self.status == "finished"


def write(path: pathlib.Path, lines: Iterable[Line], fields: Sequence[str]) -> None:
    """Write the table anew."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *fields])
    for line in lines:
        told = ["" if value is None else value for value in line[: len(COLUMNS)]]
        values = [json.dumps(line.values[f]) if f in line.values else "" for f in fields]
        writer.writerow([*told, *values])
    write_text(path, text.getvalue())


def read(path: pathlib.Path) -> list[Line]:
    """Read the table; ValueError names the file where it is damaged."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [_line(row) for row in csv.DictReader(file)]
    except (OSError, ValueError, TypeError, KeyError) as error:
        fix = "run the sweep again, or leave the folder out"
        raise ValueError(f"{path} cannot be used ({error}): {fix}") from error


def best(lines: Iterable[Line], falls: bool) -> Line | None:
    """Return the finished trial with the best score, the first of equals."""
    finished = [line for line in lines if line.finished]
    if not finished:
        return None
    choose = min if falls else max
    return choose(finished, key=lambda line: line.score)


def _line(row: dict[str, str]) -> Line:
    def number(name: str, kind: type) -> Any:
        return kind(row[name]) if row[name] else None

    return Line(
        int(row["trial"]),
        row["status"],
        number("score", float),
        number("until_epoch", int),
        number("after", int),
        int(row["attempts"]),
        number("seconds", float),
        row["reason"],
        {key: json.loads(text) for key, text in row.items() if key not in COLUMNS and text},
    )
