"""What can be said of a sweep before anything starts: every bound of its space fits its row."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments import recipes
from experiments.place import Place
from experiments.recipes import KINDS, Row, Sweep
from experiments.recipes.averages import Ema
from experiments.recipes.fitting import AVERAGED
from experiments.recipes.lengthened import by_the_end
from experiments.runs import Run
from zoo._space import Dimension


def check(row: Sweep, rows: Mapping[str, Row], place: Place) -> None:
    """Raise `ValueError` for a sweep that cannot go well, by the name of what does not fit."""
    base = recipes.swept(row)
    if not KINDS[base.kind].network:
        raise ValueError(
            f"{row.recipe}: {row.of} is of kind {base.kind}: a sweep varies the training of one "
            "network"
        )
    if base.data != row.data:
        raise ValueError(
            f"{row.recipe} is about {row.data.told()}, {row.of} about {base.data.told()}: give the "
            "sweep the same data"
        )
    for name in recipes.needed(base):
        _ = Run(place.named(base, name)).metrics  # says how to make it
    if row.objective in AVERAGED and not isinstance(base.average, Ema):
        raise ValueError(
            f"{row.recipe}: objective {row.objective} is of averaged weights, and {row.of} has "
            f"none: take {row.objective.removesuffix('_ema')}"
        )
    dimensions = row.dimensions
    if all(one.choices is not None and len(one.choices) == 1 for one in dimensions):
        raise ValueError(f"{row.recipe}: nothing varies: no trial is left to compare with another")
    bounds = [base]
    for one in dimensions:
        bounds += [_at(row, one, bound, dimensions) for bound in one.bounds]
    if row.retrain is not None:
        _refused(f"{row.recipe}: retrain", row, row.retrain)
    if row.search == "hyperband":
        _check_lengthening(row, bounds)


def _at(row: Sweep, one: Dimension, bound: Any, dimensions: Sequence[Dimension]) -> Row:
    """Return the row at a bound, beside what it is varied beside."""
    beside: dict[str, Any] = {}
    waiting = [one]
    while waiting:
        for name, among in waiting.pop().when.items():
            beside[name] = among[0]
            waiting += [other for other in dimensions if other.name == name]
    return _refused(f"{row.recipe}: space.{one.name}: {bound!r}", row, {**beside, one.name: bound})


def _refused(told: str, row: Sweep, values: Mapping[str, Any]) -> Row:
    try:
        return recipes.swept(row, values)
    except ValueError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        raise ValueError(f"{told} is refused: {'; '.join(lines)}") from None


def _check_lengthening(row: Sweep, bounds: Sequence[Row]) -> None:
    for one in bounds:
        if bound := by_the_end(one):
            raise ValueError(
                f"{row.recipe}: hyperband goes on from shorter trials, and {', '.join(bound)} "
                "depends on how many epochs there are in all: choose another search, or a schedule "
                "that does not (plateau, milestones, exponential)"
            )
