"""What a search may vary, by name: numbers between bounds, and choices; some only beside others.

A space is data, the same in a recipe and in Python:

    {"optimizer.learning_rate": {"min": 1e-4, "max": 1e-2, "sampling": "log"},
     "batch_size": [32, 64, 128],
     "optimizer.name": ["adam", "sgd"],
     "optimizer.momentum": {"choices": [0.8, 0.9], "when": {"optimizer.name": "sgd"}}}

No Keras. Keras Tuner, to which a space is told in its own terms, is whoever's `hp` is handed in.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

SAMPLINGS = ("linear", "log", "reverse_log")
_NUMBERS = ("min", "max", "step", "sampling", "when")
_CHOICES = ("choices", "when")
# How many values of a range without a step a grid takes: Keras Tuner's own number.
GRID = 10


@dataclasses.dataclass(frozen=True)
class Dimension:
    """One thing that varies: `choices`, or numbers from `low` to `high`, both included.

    Numbers are whole where both bounds are. `step` is added, or where the sampling is logarithmic
    multiplied. It varies where every dimension of `when` has one of the values named there.
    """

    name: str
    choices: tuple | None = None
    low: float | None = None
    high: float | None = None
    step: float | None = None
    sampling: str = "linear"
    when: Mapping[str, tuple] = dataclasses.field(default_factory=dict)

    @property
    def bounds(self) -> tuple:
        """All choices, or the least and the greatest number."""
        return (self.low, self.high) if self.choices is None else self.choices

    @property
    def whole(self) -> bool:
        """Whether its numbers are whole ones."""
        return self.choices is None and isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def logarithmic(self) -> bool:
        """Whether its values belong on a logarithmic scale."""
        return self.sampling != "linear"

    def active(self, values: Mapping[str, Any]) -> bool:
        """Whether it varies beside values of the dimensions before it."""
        return all(name in values and values[name] in among for name, among in self.when.items())


def parse(space: Mapping[str, Any]) -> list[Dimension]:
    """Return the dimensions of a space, each after those that it depends on.

    Raises `ValueError` that names the dimension for a space without any, bounds that are none, and
    conditions on what does not vary.
    """
    if not isinstance(space, Mapping) or not space:
        raise ValueError(f"space {space!r}: name what varies, such as {{batch_size: [32, 64]}}")
    given = {name: _dimension(name, told) for name, told in space.items()}
    for dimension in given.values():
        _check_conditions(dimension, given)
    found: dict[str, Dimension] = {}
    while len(found) < len(given):
        # As they were given, but for those that wait.
        left = [one for one in given.values() if one.name not in found]
        ready = next((one for one in left if all(name in found for name in one.when)), None)
        if ready is None:
            names = ", ".join(sorted(one.name for one in left))
            raise ValueError(f"space: the conditions of {names} go in a circle")
        found[ready.name] = ready
    return list(found.values())


def chosen(space: Sequence[Dimension], choose: Callable[[Dimension], Any]) -> dict[str, Any]:
    """Return a value for each dimension that is active, as `choose` decides, in order."""
    values: dict[str, Any] = {}
    for dimension in space:
        if dimension.active(values):
            values[dimension.name] = choose(dimension)
    return values


def suggested(space: Sequence[Dimension], hp: Any) -> dict[str, Any]:
    """Tell Keras Tuner's `hp` of all dimensions; return the values of the active ones."""
    codes = {one.name: codes_of(one) for one in space if one.choices is not None}
    values = {}
    for dimension in space:
        with contextlib.ExitStack() as conditions:
            for parent, among in dimension.when.items():
                wanted = [codes[parent][_place(among_one, parent, space)] for among_one in among]
                conditions.enter_context(hp.conditional_scope(parent, wanted))
            found = _asked(dimension, hp, codes)
        if dimension.active(values):
            values[dimension.name] = decoded(dimension, found)
    return values


def decoded(dimension: Dimension, value: Any) -> Any:
    """Return the value that Keras Tuner means."""
    if dimension.choices is None:
        return value
    return dimension.choices[codes_of(dimension).index(value)]


def codes_of(dimension: Dimension) -> list:
    """Return what Keras Tuner is told in the place of choices.

    It takes texts or numbers of one type as they are; of everything else, such as None, pairs and
    truth values (which it makes numbers), the place in the list.
    """
    kinds = {type(choice) for choice in dimension.choices}
    plain = len(kinds) == 1 and kinds < {str, int, float}
    return list(dimension.choices) if plain else list(range(len(dimension.choices)))


def points(space: Sequence[Dimension]) -> int:
    """Return how many combinations a grid has, conditions heeded."""

    def count(rest: Sequence[Dimension], values: dict[str, Any]) -> int:
        if not rest:
            return 1
        first, *others = rest
        if not first.active(values):
            return count(others, values)
        if any(first.name in other.when for other in others):
            return sum(count(others, {**values, first.name: one}) for one in first.bounds)
        return _steps(first) * count(others, values)

    return count(space, {})


def _steps(dimension: Dimension) -> int:
    """Return how many values of a dimension a grid takes."""
    if dimension.choices is not None:
        return len(dimension.choices)
    low, high, step = dimension.low, dimension.high, dimension.step
    if low == high:
        return 1
    if step is None:
        return high - low + 1 if dimension.whole and not dimension.logarithmic else GRID
    span = math.log(high / low) / math.log(step) if dimension.logarithmic else (high - low) / step
    return math.floor(span + 1e-8) + 1


def _asked(dimension: Dimension, hp: Any, codes: Mapping[str, list]) -> Any:
    if dimension.choices is not None:
        return hp.Choice(dimension.name, codes[dimension.name])
    ask = hp.Int if dimension.whole else hp.Float
    options = {"step": dimension.step, "sampling": dimension.sampling}
    return ask(dimension.name, dimension.low, dimension.high, **options)


def _place(value: Any, name: str, space: Sequence[Dimension]) -> int:
    return next(one for one in space if one.name == name).choices.index(value)


def _dimension(name: str, told: Any) -> Dimension:
    if isinstance(told, list | tuple):
        told = {"choices": told}
    if not isinstance(told, Mapping):
        raise ValueError(
            f"space.{name}: {told!r}: give {{min: ..., max: ...}} or a list of choices"
        )
    known = _CHOICES if "choices" in told else _NUMBERS
    if unknown := [field for field in told if field not in known]:
        raise ValueError(f"space.{name}: no {', '.join(unknown)}; there are {', '.join(known)}")
    when = {
        parent: tuple(among) if isinstance(among, list | tuple) else (among,)
        for parent, among in (told.get("when") or {}).items()
    }
    if "choices" in told:
        return _choices(name, told["choices"], when)
    dimension = Dimension(
        name,
        low=told.get("min"),
        high=told.get("max"),
        step=told.get("step"),
        sampling=told.get("sampling", "linear"),
        when=when,
    )
    _check_numbers(dimension)
    return dimension


def _choices(name: str, choices: Any, when: Mapping[str, tuple]) -> Dimension:
    if not isinstance(choices, list | tuple) or not choices:
        raise ValueError(f"space.{name}: choices {choices!r}: give a list of one or more")
    for place, choice in enumerate(choices):
        if choice in choices[:place]:
            raise ValueError(f"space.{name}: the choice {choice!r} is given twice")
    return Dimension(name, tuple(choices), when=when)


def _check_numbers(one: Dimension) -> None:
    place = f"space.{one.name}"
    for field, value in (("min", one.low), ("max", one.high), ("step", one.step)):
        missing = value is None and field != "step"
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if missing or (value is not None and not (number and math.isfinite(value))):
            raise ValueError(f"{place}: {field} {value!r}: give a number")
    if one.low >= one.high:
        raise ValueError(f"{place}: min {one.low} is not below max {one.high}")
    if one.sampling not in SAMPLINGS:
        raise ValueError(f"{place}: sampling {one.sampling!r}; there are {', '.join(SAMPLINGS)}")
    if one.logarithmic and one.low <= 0:
        raise ValueError(f"{place}: sampling {one.sampling} needs a min above 0, not {one.low}")
    if one.step is None:
        return
    if one.sampling == "reverse_log":
        raise ValueError(f"{place}: sampling reverse_log takes no step: leave it out")
    if one.whole and not isinstance(one.step, int):
        raise ValueError(f"{place}: step {one.step} between whole numbers: give a whole one")
    if one.step <= (1 if one.logarithmic else 0):
        least = "a factor above 1" if one.logarithmic else "a number above 0"
        raise ValueError(f"{place}: step {one.step}: give {least}")


def _check_conditions(one: Dimension, given: Mapping[str, Dimension]) -> None:
    for parent, among in one.when.items():
        place = f"space.{one.name}: when {parent}"
        if parent not in given or given[parent].choices is None:
            known = ", ".join(name for name, other in given.items() if other.choices) or "none"
            raise ValueError(f"{place}: it is no choice of this space; there are {known}")
        for value in among:
            if value not in given[parent].choices:
                raise ValueError(
                    f"{place}: {value!r} is none of its choices, {list(given[parent].choices)}"
                )
