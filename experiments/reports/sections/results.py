"""The runs with what they reached and what they cost."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.reports.context import Context, Shown
from experiments.reports.members import identity, members
from experiments.reports.words import Choice, Learned, choice, learned, unique
from experiments.runs import Run
from experiments.training.views import told


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """A run, or a member of one; `data` is the title of its data set."""

    label: str
    note: str
    data: str
    metrics: Mapping[str, Any]
    best: bool = False
    """Whether no run on the same images has a higher top-1."""
    chosen: Choice | None = None
    learned: Learned | None = None
    speed: float | None = None
    """Images a second."""


def show(context: Context) -> Shown | None:
    """Show a line for each run, and for members that have no run of their own here."""
    runs = context.runs
    if not runs:
        return None
    found = lines(context)
    values = {
        "lines": found,
        "several": len(context.groups) > 1,
        "learned": any(line.learned for line in found),
        "to_30": any("images_to_30" in line.metrics for line in found),
        "chosen": any(line.chosen for line in found),
        "top": [k for k in (1, 3, 5) if k == 1 or any(k < run.classes for run in runs)],
        "views": [
            told(name)
            for name in unique(
                (line.metrics.get("with_views") or {}).get("views") for line in found
            )
        ],
    }
    return Shown(values, links=[("results", "Results")])


def lines(context: Context) -> list[Line]:
    """Return one line per run; members of an ensemble without a run of their own come before it."""
    runs, member_of = context.runs, {}
    known = {identity(run) for run in runs}
    for run, label in zip(runs, context.labels, strict=True):
        for part in members(run):
            member_of.setdefault(identity(part), []).append(label)
    best = {group.title: group.runs[group.best].metrics["top1"] for group in context.groups}
    found = []
    for run, label in zip(runs, context.labels, strict=True):
        data = context.data_of(run)
        for part in members(run):
            if identity(part) not in known:
                of = ", ".join(member_of[identity(part)])
                note = f"member of {of}, its run is not in this report"
                found.append(Line(label=part["name"], note=note, data=data, metrics=part))
                known.add(identity(part))  # once, of however many ensembles
        chosen = choice(run)
        found.append(
            Line(
                label=label,
                note=_note(run, member_of.get(identity(run), ())),
                data=data,
                metrics=run.metrics,
                best=run.metrics["top1"] == best[data],
                chosen=chosen if chosen and chosen.on_validation else None,
                learned=learned(run),
                # A head's speed on its members' cached outputs says nothing beside a network's.
                speed=run.metrics.get("images_per_second") if run.kind.network else None,
            )
        )
    return found


def _note(run: Run, ensembles: Sequence[str]) -> str:
    """Tell what a run is made of, else of what it is a part."""
    if parts := members(run):
        gain = run.metrics["top1"] - max(part["top1"] for part in parts)
        side = "above" if gain >= 0 else "below"
        return (
            f"{run.metrics['kind']} of {len(parts)}, {abs(gain):.1f} points {side} its best member"
        )
    return f"member of {', '.join(ensembles)}" if ensembles else ""
