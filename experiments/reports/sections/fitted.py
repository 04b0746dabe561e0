"""What `fit` made of somebody's pictures, in plain words: how good, where it fails, what next."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from experiments._files import read_json
from experiments.reports.context import Context, Shown
from experiments.reports.sections.runs import confused_pairs, mistakes
from experiments.reports.words import learned
from experiments.runs import Run, scores

FIX = "fit again, or remove it"
TOLD = ("asked", "look", "told", "rows", "why", "short", "commands")
WORST, PAIRS, MISTAKES, NEXT = 5, 3, 12, 3
# Points between training and validation from which pictures are known by heart, and width of an
# interval from which too few were validated.
BY_HEART, WIDE = 5.0, 10.0
# Of a rarest class's pictures beside a commonest's, and of a picture's side beside what was seen.
RARE, SHRUNK = 5, 1.5
VERY_GOOD = 98.0  # percent, from which no better network is advised


class Facts(NamedTuple):
    """What advice follows from. Accuracies in percent; `gap`: training less validation."""

    made: Mapping[str, Any]
    top1: float
    between: scores.Interval
    n: int
    train_top1: float
    gap: float
    worst: tuple[str, float, int]
    """The class least recognized: its name, how much of it is, its training pictures."""
    size: int


def read(path: pathlib.Path) -> dict[str, Any]:
    """Read what `fit` left; ValueError that names a damaged file."""
    found = read_json(path)
    if missing := [key for key in TOLD if key not in found]:
        raise ValueError(f"{path} cannot be used (no {', '.join(missing)}): {FIX}")
    return found


def show(context: Context) -> Shown | None:
    """Show each fit whose last run is in the report, with its predictions and mistakes."""
    parts = []
    for path in context.fits:
        made = read(path)
        by_name = {run.name: run for run in context.runs if run.path.parent == path.parent}
        last = by_name.get(made["rows"][-1])
        # Copies of runs may keep their result alone.
        if last and last.has_outputs and last.has_samples:
            parts.append(_part(made, by_name))
    return Shown({"parts": parts}, links=[("fitted", "In short")]) if parts else None


def _part(made: Mapping[str, Any], by_name: Mapping[str, Run]) -> dict[str, Any]:
    run = by_name[made["rows"][-1]]
    n, top1 = run.metrics["n"], run.metrics["top1"]
    counts = run.confusion.sum(axis=1)
    return {
        "made": made,
        "run": run,
        "n": n,
        "top1": top1,
        "between": scores.interval(top1, n),
        "balanced": float(np.nanmean(run.class_accuracy)),
        "guess": 100 * counts.max() / n,
        "guessed": run.names[int(counts.argmax())] if counts.max() > counts.min() else "one class",
        "classes": _classes(run, made),
        "pairs": [
            (run.names[a], run.names[b], forth, back)
            for a, b, forth, back in confused_pairs(run.confusion, PAIRS)
        ],
        "mistakes": mistakes(run)[:MISTAKES],
        "next": advice(_facts(made, run, by_name[made["rows"][0]])),
    }


def _classes(run: Run, made: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the classes least recognized, the worst first."""
    found = []
    for label in np.argsort(np.nan_to_num(run.class_accuracy, nan=101), kind="stable")[:WORST]:
        row = run.confusion[label].copy()
        n, right = int(row.sum()), int(row[label])
        if not n:
            continue
        row[label] = 0
        taken = int(row.argmax())
        found.append(
            {
                "name": run.names[label],
                "train": made["look"]["train"][label],
                "n": n,
                "right": 100 * right / n,
                "between": scores.interval(100 * right / n, n),
                "taken_for": f"{run.names[taken]} ({row[taken]})" if row[taken] else "–",
            }
        )
    return found


def _facts(made: Mapping[str, Any], run: Run, first: Run) -> Facts:
    own = learned(first)
    worst = int(np.argmin(np.nan_to_num(run.class_accuracy, nan=101)))
    return Facts(
        made=made,
        top1=run.metrics["top1"],
        between=scores.interval(run.metrics["top1"], run.metrics["n"]),
        n=run.metrics["n"],
        train_top1=own.top1,
        gap=own.gap,
        worst=(run.names[worst], run.class_accuracy[worst], made["look"]["train"][worst]),
        size=run.dataset["image_shape"][0],
    )


# What to do next ---------------------------------------------------------------------------------


def _few_to_validate(found: Facts) -> str | None:
    low, high = found.between
    if high - low <= WIDE:
        return None
    return (
        f"More pictures to validate on: {found.n:,} leave open whether {low:.0f} or {high:.0f} % "
        "are recognized."
    )


def _by_heart(found: Facts) -> str | None:
    if found.gap <= BY_HEART:
        return None
    name, right, count = found.worst
    return (
        f"More pictures to learn from, and more different ones: it recognizes "
        f"{found.train_top1:.0f} % of those that it learned, {found.top1:.0f} % of new ones. "
        f"Begin with {name}, of which {right:.0f} % are recognized and which has {count:,}."
    )


def _rare(found: Facts) -> str | None:
    counts = found.made["look"]["train"]
    least = min(counts)
    if least * RARE > max(counts):
        return None
    name = found.made["look"]["class_names"][counts.index(least)]
    return f"More pictures of {name}: it has {least:,}, the largest class {max(counts):,}."


def _longer(found: Facts) -> str | None:
    if not found.made["short"] or found.gap > BY_HEART:
        return None
    minutes = 3 * found.made["asked"]["minutes"]
    return (
        "Longer training: the time was used up, and what it learned is not yet known by heart. "
        f"Give --minutes {minutes:g} and another --out."
    )


def _larger(found: Facts) -> str | None:
    side = found.made["look"]["side"]
    if side < SHRUNK * found.size or found.top1 >= VERY_GOOD:
        return None
    larger = 32 * round(SHRUNK * found.size / 32)
    return (
        f"Larger images: yours have {side} pixels on their shorter side, and it saw {found.size}. "
        f"Run the recipe below with --set data.size={larger}: an epoch takes "
        f"{(larger / found.size) ** 2:.1f} times as long."
    )


def _together(found: Facts) -> str | None:
    if found.made["asked"]["aim"] != "balanced" or found.top1 >= VERY_GOOD:
        return None
    minutes = 3 * found.made["asked"]["minutes"]
    return (
        "Several networks: their stack is usually better than each of them. "
        f"Give --best, --minutes {minutes:g} and another --out."
    )


def _try_it(found: Facts) -> str | None:
    return "Try it on pictures that it has never seen, taken as it is to be used."


RULES: tuple[Callable[[Facts], str | None], ...] = (
    _few_to_validate,
    _by_heart,
    _rare,
    _longer,
    _larger,
    _together,
    _try_it,
)


def advice(found: Facts) -> list[str]:
    """Return what may help most, the first of the rules that say something."""
    return [text for rule in RULES if (text := rule(found))][:NEXT]
