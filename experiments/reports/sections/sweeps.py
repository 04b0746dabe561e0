"""Sweeps: their trials, what the score went by, and the paper's figures beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.reports.context import Context, Shown
from experiments.reports.words import number, spoken
from experiments.runs import Run, names, trials
from zoo._space import Dimension

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def show(context: Context) -> Shown | None:
    """Show every sweep: a table of its trials and figures of them."""
    found = [
        (run, label)
        for run, label in zip(context.runs, context.labels, strict=True)
        if "sweep" in run.metrics
    ]
    if not found:
        return None
    from experiments.reports import svg

    parts, files = [], []
    for place, (run, label) in enumerate(found):
        key = f"sweep{place}"
        lines = trials.read(run.path / names.TRIALS_TABLE)
        drawn = figures(run, lines)
        parts.append(
            {"key": key, "label": label, "run": run, "facts": _facts(run)}
            | _table(run, lines)
            | {"figures": svg.inline(drawn, key, label)}
        )
        files.append((run.plots, drawn))
    links = [("sweeps", "Sweeps")]
    return Shown({"parts": parts}, links, files if context.plots else ())


def figures(run: Run, lines: list[trials.Line]) -> dict[str, Figure]:
    """Draw a sweep's trials: in their order, over all fields, and by each field."""
    from experiments.reports import search_plots

    row, scored = run.row, [line for line in lines if line.finished]
    objective, falls = row.objective, row.falls
    published = run.expect.get("top1") if objective == "val_top1" else None
    drawn = {
        "parallel": search_plots.parallel(row.dimensions, scored, objective, falls),
        "order": search_plots.in_order(lines, objective, falls, published),
    }
    for place, one in enumerate(row.dimensions):
        drawn[f"field{place}"] = search_plots.by_field(one, scored, objective, falls)
    return drawn


def _facts(run: Run) -> list[tuple[str, str]]:
    """Tell how was searched, and what came of it beside what is published."""
    found, row, expect = run.metrics["sweep"], run.row, run.expect
    anew = found.get("retrained")
    failed = f", {found['failed']} of them failed" if found["failed"] else ""
    facts = {
        "Search": f"{row.search}, seed {row.seed}, of {row.of}",
        "Trials": f"{found['trials']}{failed}",
        "Epochs of a trial": row.epochs,
        "Time of all trials": spoken(run.metrics["seconds"]),
        "Best": f"trial {found['best']}, {row.objective} {found['score']:.4g}",
        "Its top-1": f"{number(run.metrics['top1'], 1)} %",
        "Published top-1": f"{number(expect['top1'], 1)} %" if "top1" in expect else None,
        "The best trained anew": anew
        and f"{number(anew['top1'], 1)} % top-1 after {anew['epochs']} epochs",
    }
    return [(title, str(value)) for title, value in facts.items() if value is not None]


def _table(run: Run, lines: list[trials.Line]) -> dict[str, Any]:
    """Return the table of trials, the better ones first, failed ones last."""

    def rank(line: trials.Line) -> tuple:
        if line.score is None:
            return (1, line.trial)
        return (0, line.score if run.row.falls else -line.score)

    ordered = sorted(lines, key=rank)
    dimensions = run.row.dimensions
    return {
        "fields": [one.name for one in dimensions],
        "objective": run.row.objective,
        "lines": [_line(line, dimensions) for line in ordered],
        "best": run.metrics["sweep"]["best"],
        "file": run.path / names.TRIALS_TABLE,
        "numbered": [
            (one.name, f"no. {number}", json.dumps(choice))
            for one in dimensions
            for number, choice in enumerate(one.choices or (), start=1)
            if isinstance(choice, list | dict)
        ],
        "until": any(line.epochs is not None for line in lines),
    }


def _line(line: trials.Line, dimensions: Sequence[Dimension]) -> Mapping[str, Any]:
    after = f"goes on from trial {line.after}" if line.after else ""
    tried = f"{line.attempts} attempts" if line.attempts > 1 else ""
    notes = [line.status if line.score is None else "", after, tried]
    return {
        "trial": line.trial,
        "score": "–" if line.score is None else f"{line.score:.4g}",
        "cells": [_shown(one, line) for one in dimensions],
        "epochs": line.epochs,
        "seconds": line.seconds,
        "notes": ", ".join(note for note in notes if note),
        "reason": line.reason,
    }


def _shown(one: Dimension, line: trials.Line) -> str:
    from experiments.reports.search_plots import label, labels

    if one.name not in line.values:
        return "–"
    value = line.values[one.name]
    if one.choices is not None:
        return labels(one)[one.choices.index(value)]
    return f"{value:.4g}" if isinstance(value, float) else label(value)
