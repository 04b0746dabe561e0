"""Speed, measured as ratios: all cases side by side in one run, medians after a warm-up.

Each module has `run(**options) -> list[dict]`, one row per case.
"""

import csv
import io
import pathlib
import statistics
import time
from collections.abc import Callable

from experiments import _files


def publish(rows: list[dict], out: pathlib.Path | None, console) -> None:
    """Print rows as a table, and write them to the CSV file `out` if given."""
    print_rows(rows, console)
    if out is not None:
        write_csv(rows, out)
        console.print(f"written to {out}")


def side_by_side(
    cases: dict[str, Callable[[], object]], *, repeats: int, turn: float = 0.5, limit: float = 20
) -> dict[str, float]:
    """Return the median seconds of each case, timed in turns so that all see the same machine.

    A turn lasts `turn` seconds, or one call if that is longer: caches and threads settle, as they
    do in training. Each case has `repeats` turns, or as many as begin within its first `limit`
    seconds.
    """
    for case in list(cases.values()) * 2:  # compilation, and what the first call after it does
        case()
    seconds = {name: [] for name in cases}
    for _ in range(repeats):
        for name, case in cases.items():
            end = time.perf_counter() + turn
            while sum(seconds[name]) < limit:
                start = time.perf_counter()
                case()
                seconds[name].append(time.perf_counter() - start)
                if time.perf_counter() > end:
                    break
    return {name: statistics.median(times) for name, times in seconds.items()}


def print_rows(rows: list[dict], console) -> None:
    """Print rows as a table, numbers to four digits."""
    from rich import box
    from rich.table import Table

    # Turned: a case per column fits a narrow terminal, however many values a row has.
    table = Table(box=box.SIMPLE_HEAD)
    title, *names = rows[0]
    table.add_column(title)
    for row in rows:
        table.add_column(str(row[title]), justify="right")
    for name in names:
        values = [row[name] for row in rows]
        table.add_row(name, *(f"{v:,.4g}" if isinstance(v, float) else str(v) for v in values))
    console.print(table)


def write_csv(rows: list[dict], path: pathlib.Path) -> None:
    """Write rows with where and when they were measured, atomically."""
    from experiments.environment import environment

    found = environment()
    versions = " ".join(f"{name} {version}" for name, version in found["versions"].items())
    where = {name: found[name] for name in ("device", "cores", "date", "command")}
    text = io.StringIO()
    writer = csv.DictWriter(text, [*rows[0], *where, "versions"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, **where, "versions": versions} for row in rows)
    _files.write_text(pathlib.Path(path), text.getvalue())
