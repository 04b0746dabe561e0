"""The runs with what they reached and what they cost."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.reports.context import Context, Shown
from experiments.reports.members import identity, members
from experiments.reports.words import Choice, choice, unique
from experiments.runs import Run
from experiments.training.views import told


def show(context: Context) -> Shown:
    """Show a line for each run, and for members that have no run of their own here."""
    runs = context.runs
    found = lines(runs, context.labels)
    values = {
        "lines": found,
        "chosen": any(line["chosen"] for line in found),
        "top": [k for k in (1, 3, 5) if k == 1 or any(k < run.classes for run in runs)],
        "views": [
            told(name)
            for name in unique(
                (line["metrics"].get("with_views") or {}).get("views") for line in found
            )
        ],
        "best": max(run.metrics["top1"] for run in runs),
    }
    return Shown(values, links=[("results", "Results")])


def lines(runs: Sequence[Run], labels: Sequence[str]) -> list[dict[str, Any]]:
    """Return one line per run; members of an ensemble without a run of their own come before it."""
    member_of, told = {}, {identity(run) for run in runs}
    for run, label in zip(runs, labels, strict=True):
        for part in members(run):
            member_of.setdefault(identity(part), []).append(label)
    found = []
    for run, label in zip(runs, labels, strict=True):
        parts, ensembles = members(run), member_of.get(identity(run))
        for part in parts:
            if identity(part) not in told:
                of = ", ".join(member_of[identity(part)])
                note = f"member of {of}, its run is not in this report"
                found.append(_line(part["name"], note, part))
                told.add(identity(part))  # once, of however many ensembles
        note = f"member of {', '.join(ensembles)}" if ensembles else ""
        if parts:
            gain = run.metrics["top1"] - max(part["top1"] for part in parts)
            side = "above" if gain >= 0 else "below"
            kind = f"{run.metrics['kind']} of {len(parts)}"
            note = f"{kind}, {abs(gain):.1f} points {side} its best member"
        # A head's speed on its members' cached outputs says nothing beside that of a network.
        speed = run.metrics.get("images_per_second") if run.kind.network else None
        chosen = choice(run)
        chosen = chosen if chosen and chosen.on_validation else None
        found.append(_line(label, note, run.metrics, chosen, speed))
    return found


def _line(
    label: str,
    note: str,
    metrics: Mapping[str, Any],
    chosen: Choice | None = None,
    speed: float | None = None,
) -> dict[str, Any]:
    return {"label": label, "note": note, "metrics": metrics, "chosen": chosen, "speed": speed}
