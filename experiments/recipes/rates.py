"""How the learning rate changes from step to step: shares of the optimizer's own rate."""

from typing import Annotated, Literal, Self

import pydantic

from experiments.recipes._part import Part, Rate

Portion = Annotated[float, pydantic.Field(ge=0, le=1)]
Factor = Annotated[float, pydantic.Field(gt=0, lt=1)]


class Warmed(Part):
    """A schedule by steps; `warmup` epochs lead to it, fractions of one too.

    The rate rises there in a line, from the share `warmup_start` of the optimizer's own rate to
    where the schedule begins.
    """

    warmup: Annotated[float, pydantic.Field(ge=0)] = 0.0
    warmup_start: Portion = 0.0


class Constant(Warmed):
    """The optimizer's own rate, all the time."""

    name: Literal["constant"] = "constant"


class Milestones(Warmed):
    """Multiply the rate by `factor` after each of the `epochs`, counted from the start."""

    name: Literal["milestones"]
    epochs: Annotated[list[Rate], pydantic.Field(min_length=1)]
    factor: Factor

    @pydantic.model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.epochs != sorted(set(self.epochs)):
            raise ValueError(
                f"milestones: epochs {self.epochs} must rise: {sorted(set(self.epochs))}"
            )
        return self


class Exponential(Warmed):
    """Multiply the rate by `factor` every `every` epochs after the warm-up, little by little.

    With `staircase`, at once at the end of them. It falls no lower than `min_lr`.
    """

    name: Literal["exponential"]
    factor: Factor
    every: Rate = 1.0
    staircase: bool = False
    min_lr: Annotated[float, pydantic.Field(ge=0)] = 0.0


class Cosine(Warmed):
    """Half a cosine from the whole rate to its share `end` over the steps after the warm-up."""

    name: Literal["cosine"]
    end: Portion = 0.0


class OneCycle(Warmed):
    """A line up and a line down: a triangle over the steps after the warm-up.

    From the share `start` of the rate to the whole at the share `peak` of those steps, and on to
    the share `end`.
    """

    name: Literal["one_cycle"]
    start: Portion = 0.0
    peak: Portion = 0.25
    end: Portion = 0.0
