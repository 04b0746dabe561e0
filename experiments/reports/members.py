"""What ensembles were made of, as their metrics tell it, and which runs these parts are."""

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from experiments import recipes
from experiments.runs import Run

Part = Mapping[str, Any]


def members(run: Run) -> list[Part]:
    """Return what an ensemble's metrics say of each member; nothing of any other run."""
    return run.metrics.get("members") or []


def identity(made: Part | Run) -> tuple[str, float]:
    """Return what a member and its run have in common: runs may have been moved as a whole."""
    if isinstance(made, Run):
        return made.folder, made.metrics["top1"]
    return _folder(made), made["top1"]


def changes(run: Run, others: Sequence[Run]) -> list[str]:
    """Tell in what a run differs from the paper's row of its name, itself or in what it is made of.

    Empty where it does not, and where there is no such row.
    """
    if own := recipes.changes(run.row):
        return own
    parts = [*members(run), *([run.metrics["clean"]] if run.metrics.get("clean") else [])]
    return [
        f"its member {part['name']} was changed: {'; '.join(changed)}"
        for part in parts
        if (changed := _changed(part, run, others))
    ]


def _changed(part: Part, run: Run, others: Sequence[Run]) -> list[str]:
    if "changed" in part:
        return part["changed"] or []
    # What lies within the run, such as an expert, follows from the run's own recipe.
    if _folder(part) not in {pathlib.PurePath(name).name for name in recipes.needed(run.row)}:
        return []
    found = _find(part, [*others, Run(part.get("run") or ""), Run(run.path.parent / _folder(part))])
    return (recipes.changes(found.row) or []) if found else []


def _folder(part: Part) -> str:
    return pathlib.PurePath(part.get("run") or part["name"]).name


def _find(part: Part, runs: Iterable[Run]) -> Run | None:
    """Return the run that a member is, if one of these is it."""
    for run in runs:
        try:
            if run.begun and run.finished and identity(part) == identity(run):
                return run
        except ValueError:  # damaged, and not reported itself: it tells nothing of the member
            continue
    return None
