"""The tables of a report: the papers' rows beside our runs, and the runs with their cost."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from experiments._runs import Run

TOLERANCE = 0.5  # points of accuracy, where a row's `expect` names none
# Public data sets: classes and validation images. A run on fewer of either is another task.
FULL_SIZE = {
    "tiny_imagenet": (200, 10_000),
    "cifar10": (10, 10_000),
    "cifar100": (100, 10_000),
    "mnist": (10, 10_000),
    "stanford_cars": (196, 8_041),
}
# What is held against a paper: a training accuracy is not, it says how long the training was.
TARGETS = ("top1", "top3", "top5", "adversarial")
# What papers publish: key in `expect`, title of the column, digits.
COLUMNS = (
    ("top1", "Top-1, %", 1),
    ("top3", "Top-3, %", 1),
    ("top5", "Top-5, %", 1),
    ("train_top1", "Training top-1, %", 1),
    ("adversarial", "Adversarial top-1, %", 1),
    ("epochs", "Epochs", 0),
    ("seconds_per_epoch", "s per epoch", 1),
    ("hours", "Hours", 1),
)
SYMBOLS = {
    "reproduced": "✓",
    "below": "▼",
    "not comparable": "≠",
    "not run": "○",
    "not published": "–",
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a paper's table; `run` is None where it was not run, `label` tells runs apart."""

    recipe: str
    run: Run | None
    label: str
    expect: Mapping[str, Any]
    status: str
    reason: str

    @property
    def symbol(self) -> str:
        """What tells the status apart without color."""
        return SYMBOLS[self.status]

    @property
    def ours(self) -> dict[str, Any]:
        """Our values under the keys of `expect`."""
        metrics = self.run.metrics if self.run else {}
        seconds = metrics.get("seconds")
        return {**metrics, "hours": None if seconds is None else seconds / 3600}


def papers(
    runs: Sequence[Run], labels: Sequence[str], rows: Mapping[str, Mapping[str, Any]]
) -> list[Row]:
    """Return all rows of the runs' papers, in the papers' order; none without published values.

    `rows` maps `paper/row` to published values; a run whose row is not among them brings its own.
    """
    touched = {paper(run.metrics["recipe"]) for run in runs}
    found = {recipe: [] for recipe in rows if paper(recipe) in touched}
    for run, label in zip(runs, labels, strict=True):
        found.setdefault(run.metrics["recipe"], []).append((run, label))
    table = []
    for recipe, its_runs in found.items():
        for run, label in its_runs or [(None, "")]:
            expect = {**(rows.get(recipe) or {}), **(run.expect if run else {})}
            table.append(Row(recipe, run, label, expect, *_status(run, expect)))
    return table if any(row.expect for row in table) else []


def paper(recipe: str) -> str:
    """Return `alphanet` of `alphanet/alphanet_v4`."""
    return recipe.rpartition("/")[0]


def _status(run: Run | None, expect: Mapping[str, Any]) -> tuple[str, str]:
    if run is None:
        return "not run", ""
    targets = {key: expect[key] for key in TARGETS if expect.get(key) is not None}
    if not targets:
        return "not published", ""
    if reason := _another_task(run, expect.get("dataset")):
        return "not comparable", reason
    tolerance = expect.get("tolerance", TOLERANCE)
    above = {key: run.metrics.get(key, 0) - value for key, value in targets.items()}
    worst = min(above, key=above.get)
    points = f"{worst.replace('top', 'top-')} {signed(above[worst])} points"
    return ("reproduced" if above[worst] >= -tolerance else "below"), points


def _another_task(run: Run, published_on: str | None) -> str:
    """Why the accuracies must not be compared; empty where they may."""
    name = run.dataset["name"]
    if published_on and name != published_on:
        return f"run on {name}, published on {published_on}"
    classes, images = FULL_SIZE.get(name, (run.classes, len(run.labels)))
    if run.classes != classes:
        return f"{run.classes} of {classes} classes"
    if len(run.labels) < images:
        return f"{len(run.labels):,} of {images:,} validation images"
    return ""


def results(runs: Sequence[Run], labels: Sequence[str]) -> list[dict[str, Any]]:
    """Return one line per run; members of a stack without a run of their own come before it."""
    member_of, folders = {}, {run.folder for run in runs}
    for run, label in zip(runs, labels, strict=True):
        for member in _members(run):
            member_of.setdefault(_member_folder(member), []).append(label)
    lines = []
    for run, label in zip(runs, labels, strict=True):
        members = _members(run)
        for member in members:
            if _member_folder(member) not in folders:
                ensembles = ", ".join(member_of[_member_folder(member)])
                note = f"member of {ensembles}, its run is not in this report"
                lines.append({"label": member["name"], "note": note, "metrics": member})
                folders.add(_member_folder(member))  # told once, of however many ensembles
        note = f"member of {', '.join(member_of[run.folder])}" if run.folder in member_of else ""
        if members:
            gain = run.metrics["top1"] - max(member["top1"] for member in members)
            side = "above" if gain >= 0 else "below"
            kind = f"{run.metrics['kind']} of {len(members)}"
            note = f"{kind}, {abs(gain):.1f} points {side} its best member"
        lines.append({"label": label, "note": note, "metrics": run.metrics})
    return lines


def _members(run: Run) -> list[dict[str, Any]]:
    return run.metrics.get("members") or []


def _member_folder(member: Mapping[str, Any]) -> str:
    return pathlib.Path(member.get("run") or member["name"]).name


def signed(points: float) -> str:
    """Format a difference with its sign and one digit."""
    return f"{points:+.1f}".replace("-", "\N{MINUS SIGN}")
