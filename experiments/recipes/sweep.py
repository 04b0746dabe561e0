"""A search for the values of a row's fields: many trainings of it, each with its own."""

import math
from typing import Annotated, Any, Literal, Self

import pydantic

from experiments.recipes._part import Positive, Rate, Seed
from experiments.recipes.fitting import Monitor
from experiments.recipes.schemas import Row
from zoo import _space

# What a trial has of the sweep: its name, its images; and how it goes on.
NOT_VARIED = ("recipe", "kind", "title", "note", "expect", "data", "goes_on_from", "keep_state")


def _known_space(space: dict) -> dict:
    for one in _space.parse(space):
        if one.name.partition(".")[0] in NOT_VARIED:
            raise ValueError(f"space.{one.name}: trials have this of their sweep; leave it out")
    return space


Space = Annotated[dict[str, Any], pydantic.AfterValidator(_known_space)]


class Sweep(Row):
    """Trainings of the row `of` (PAPER/ROW, a row of the same paper, or a file), called trials.

    `space` maps dotted fields of that row to numbers between bounds, `{min, max, sampling: linear |
    log | reverse_log, step}`, or to a list of choices; with `when: {FIELD: VALUE}` a field varies
    only beside that choice. A trial runs for `epochs` (none: those of the row). Its score is the
    `objective`, a column of the history: that of the last epoch where the row keeps the last one,
    else that of its best epoch.

    `search` proposes: `random` values; `bayesian` ones, by a Gaussian process on the scores so far;
    `hyperband`, many short trials of which the better go on, those that last have `epochs`, of
    every `factor` one is taken along, in `iterations` rounds of all brackets; the `grid`, every
    combination. `trials` is the most that are begun; hyperband and the grid end by themselves.

    A trial that dies, or is not done after `deadline` seconds, is begun again up to `retries`
    times, and goes on where it was; one that fails with an error, such as a loss that is no number
    any more, would do so again. It counts as failed, and the sweep goes on.

    With `retrain`, the best values are trained once more in the end, with these dotted fields over
    the row: `{epochs: 300}`. What the sweep reports is its best trial all the same.
    """

    kind: Literal["sweep"]
    of: str
    space: Space
    search: Literal["random", "bayesian", "hyperband", "grid"] = "random"
    trials: Positive | None = None
    epochs: Positive | None = None
    objective: Monitor = "val_top1"
    factor: Annotated[int, pydantic.Field(ge=2)] = 3
    iterations: Positive = 1
    seed: Seed = 0
    retries: Annotated[int, pydantic.Field(ge=0)] = 0
    deadline: Rate | None = None
    retrain: dict[str, Any] | None = None

    @property
    def dimensions(self) -> list[_space.Dimension]:
        """What varies, each after what it depends on."""
        return _space.parse(self.space)

    @property
    def falls(self) -> bool:
        """Whether less of the objective is better."""
        return "loss" in self.objective

    def rounds(self, epochs: int) -> list[tuple[int, int, int]]:
        """Return how many trials go from which epoch to which, where none fails.

        `epochs` are those of a trial. Of hyperband these are the rounds of all brackets, as Li et
        al. (arXiv 1603.06560) have them and Keras Tuner counts them.
        """
        if self.search != "hyperband":
            most = math.inf if self.trials is None else self.trials
            many = _space.points(self.dimensions) if self.search == "grid" else math.inf
            return [(int(min(most, many)), 0, epochs)]
        brackets = 0
        while self.factor**brackets <= epochs:
            brackets += 1
        last = math.ceil(1 + math.log(epochs, self.factor))
        return [
            (
                self.iterations * math.ceil(last / (bracket + 1) * self.factor ** (bracket - turn)),
                math.ceil(epochs / self.factor ** (bracket - turn + 1)) if turn else 0,
                math.ceil(epochs / self.factor ** (bracket - turn)),
            )
            for bracket in reversed(range(brackets))
            for turn in range(bracket + 1)
        ]

    @property
    def made_of(self) -> str:
        """Return how it searches."""
        return f"{self.search} search"

    @property
    def model_name(self) -> str:
        """Return the row that varies."""
        return self.of

    @pydantic.model_validator(mode="after")
    def _a_search_that_ends(self) -> Self:
        if self.trials is None and self.search in ("random", "bayesian"):
            raise ValueError(f"trials: {self.search} search never ends by itself: say how many")
        if self.search == "hyperband" and self.epochs is None:
            raise ValueError("epochs: hyperband needs those of its longest trials")
        if self.epochs is not None and "epochs" in self.space:
            raise ValueError("epochs: given, and in the space: leave one out")
        return self
