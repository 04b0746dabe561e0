"""What was measured of a generator, for people; `experiments.generate` computes it."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from experiments.reports.sections import generated


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """Return the table of measures, as the report has it: one line for each set of images."""
    out = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), caption=generated.CAPTION)
    for column in ("measure", "by", "of images"):
        out.add_column(column)
    out.add_column("value", justify="right", no_wrap=True)
    out.add_column("n", justify="right", no_wrap=True)
    for measure, by, found in generated.ordered(rows):
        for number, row in enumerate(found):
            cells = ("", "") if number else (measure, by)
            cells = (*cells, row["images"], generated.value(row), f"{int(row['n']):,}")
            out.add_row(*map(escape, cells), end_section=number + 1 == len(found))
    return out
