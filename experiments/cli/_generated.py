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
    out.add_column("of images")
    for column in ("value", "n"):
        out.add_column(column, justify="right", no_wrap=True)
    for measure, by, found in generated.ordered(rows):
        out.add_section()
        out.add_row(f"[bold]{escape(measure)}[/], by {escape(by)}")
        for row in found:
            cells = (f"  {row['images']}", generated.value(row), f"{int(row['n']):,}")
            out.add_row(*map(escape, cells))
    return out
