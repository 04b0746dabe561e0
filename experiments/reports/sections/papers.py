"""The papers' rows beside our runs, and whether these reached what is published."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from experiments.datasets import facts
from experiments.recipes import Share
from experiments.reports.context import Context, Shown
from experiments.reports.members import changes
from experiments.reports.words import learned, number, signed, unique, with_views
from experiments.runs import Run

TOLERANCE = 0.5  # points of accuracy, where a row's `expect` names none
# What is held against a paper: a training accuracy is not, it says how long the training was.
TARGETS = ("top1", "top3", "top5", "adversarial")
# Of these, what may be published with several views of an image.
SEEN = ("top1", "top3", "top5")


class Column(NamedTuple):
    """What papers publish, by its key in `expect`; `ours`: shown where only we have it, too."""

    key: str
    title: str
    digits: int = 1
    ours: bool = False

    def text(self, values: Mapping[str, Any]) -> str:
        """Return a value as it is shown: a gap with its sign."""
        value = values.get(self.key)
        return (
            signed(value) if self.key == GAP and value is not None else number(value, self.digits)
        )


GAP = "gap"
COLUMNS = (
    Column("top1", "Top-1, %"),
    Column("top3", "Top-3, %"),
    Column("top5", "Top-5, %"),
    Column("train_top1", "Training top-1, %", ours=True),
    Column(GAP, "Gap, points", ours=True),
    Column("adversarial", "Adversarial top-1, %"),
    Column("epochs", "Epochs", 0),
    Column("seconds_per_epoch", "s per epoch"),
    Column("hours", "Hours"),
)
SYMBOLS = {
    "reproduced": "✓",
    "above": "▲",
    "below": "▼",
    "changed": "Δ",
    "not comparable": "≠",
    "not run": "○",
    "no target": "·",
    "not published": "–",
}


@dataclasses.dataclass(frozen=True)
class Line:
    """One row of a paper's table; `run` is None where it was not run, `label` tells runs apart."""

    recipe: str
    run: Run | None
    label: str
    expect: Mapping[str, Any]
    """What is published, and the gap of what is published of it."""
    status: str
    reasons: Sequence[str] = ()
    note: str = ""
    """What its recipe says of it, such as what it lacks."""

    @property
    def paper(self) -> str:
        """Name of the paper."""
        return self.recipe.rpartition("/")[0]

    @property
    def name(self) -> str:
        """Name of the row."""
        return self.recipe.rpartition("/")[2]

    @property
    def symbol(self) -> str:
        """What tells the status apart without color."""
        return SYMBOLS[self.status]

    @property
    def ours(self) -> dict[str, Any]:
        """Our values under the keys of `expect`."""
        metrics = as_published(self.run, self.expect) if self.run else {}
        seconds, trained = metrics.get("seconds"), learned(self.run) if self.run else None
        hours = None if seconds is None else seconds / 3600
        ours = {**metrics, "hours": hours}
        return ours | ({"train_top1": trained.top1, GAP: trained.gap} if trained else {})

    def told(self, column: Column) -> str:
        """Return our value as it is shown: with nothing to stand beside it, only where asked."""
        known = column.ours or self.expect.get(column.key) is not None
        return column.text(self.ours if known else {})

    def of_paper(self, key: str) -> str:
        """Say with which views the paper measured a value; empty for a plain one."""
        return f"with {self.expect['views']}" if key in SEEN and "views" in self.expect else ""

    def beside(self, key: str) -> str:
        """Say what stands beside our value: the plain one, or that with views; empty if neither."""
        if self.run is None or key not in SEEN:
            return ""
        if how := self.of_paper(key):
            plain = f"{number(self.run.metrics.get(key), 1)} plain"
            return plain if self.ours.get(key) is None else f"{how}, {plain}"
        return with_views(self.run.metrics, key)


def show(context: Context) -> Shown | None:
    """Show the table of the runs' papers, unless nothing is published of them."""
    table = lines(context)
    if not any(line.expect for line in table):
        return None
    values = {
        "lines": table,
        "papers": unique(line.paper for line in table),
        "columns": [
            (column, published)
            for column in COLUMNS
            if (published := _any(column, (line.expect for line in table)))
            or (column.ours and _any(column, (line.ours for line in table)))
        ],
        "verdict": [
            (symbol, status, count)
            for status, symbol in SYMBOLS.items()
            if (count := sum(line.status == status for line in table))
        ],
    }
    return Shown(values, links=[("paper", "Paper and ours")])


def _any(column: Column, values: Iterable[Mapping[str, Any]]) -> bool:
    return any(one.get(column.key) is not None for one in values)


def lines(context: Context) -> list[Line]:
    """Return all rows of the runs' papers, in the papers' order; then runs of other rows."""
    found = {recipe: [] for recipe in context.rows}
    for run, label in zip(context.runs, context.labels, strict=True):
        found.setdefault(run.row.recipe, []).append((run, label))
    table = []
    for recipe, its_runs in found.items():
        for run, label in its_runs or [(None, "")]:
            row = context.rows.get(recipe)
            told = row and row.expect
            published = told.model_dump(exclude_none=True) if told else {}
            expect = published | (run.expect if run else {})
            status, reasons = _status(run, expect, context.runs)
            if "top1" in expect and "train_top1" in expect:
                expect |= {GAP: expect["train_top1"] - expect["top1"]}
            note = (row or run.row).note
            table.append(Line(recipe, run, label, expect, status, reasons, note))
    return table


def _status(
    run: Run | None, expect: Mapping[str, Any], others: Sequence[Run]
) -> tuple[str, Sequence[str]]:
    """Return the status of a run beside what is published, and why it has it."""
    if run is None:
        return "not run", ()
    if changed := changes(run, others):
        return "changed", changed
    targets = {key: expect[key] for key in TARGETS if expect.get(key) is not None}
    if not targets:
        return "not published", ()
    if not expect.get("target", True):
        return "no target", ()
    if reason := _another_task(run, expect.get("dataset")):
        return "not comparable", (reason,)
    ours, views = as_published(run, expect), expect.get("views")
    if any(ours.get(key, 0) is None for key in targets):
        return "not comparable", (f"published with {views}: run it with test_views={views}",)
    tolerance = expect.get("tolerance", TOLERANCE)
    above = {key: ours.get(key, 0) - value for key, value in targets.items()}
    worst = min(above, key=above.get)
    how = f" with {views}" if views and worst in SEEN else ""
    points = f"{worst.replace('top', 'top-')}{how} {signed(above[worst])} points"
    if above[worst] > tolerance:
        return "above", (points,)
    return ("reproduced" if above[worst] >= -tolerance else "below"), (points,)


def as_published(run: Run, expect: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's metrics with the accuracies that the paper means: None where it has none."""
    views, several = expect.get("views"), run.metrics.get("with_views") or {}
    if views is None:
        return run.metrics
    known = several if several.get("views") == views else {}
    return run.metrics | {key: known.get(key) for key in SEEN}


def _another_task(run: Run, published_on: str | None) -> str:
    """Why the accuracies must not be compared; empty where they may."""
    name = run.dataset["name"]
    if published_on and name != published_on:
        return f"run on {name}, published on {published_on}"
    whole = facts(name)
    if whole is None:
        return ""
    if run.classes != whole.classes:
        return f"{run.classes} of {whole.classes} classes"
    if run.metrics["n"] < whole.validation:
        return f"{run.metrics['n']:,} of {whole.validation:,} validation images"
    train, share = run.dataset.get("train"), getattr(run.row, "share", Share())
    left = whole.train * (1 - share.holdout) * (1 - 1 / share.folds if share.folds else 1)
    # A share is taken of each class, rounded: up to one image of each may be on the other side.
    spare = whole.classes if left < whole.train else 0
    if train is not None and train < left - spare:
        return f"{train:,} of {left:,.0f} training images"
    return ""
