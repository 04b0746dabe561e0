"""How the rate of dropout changes from epoch to epoch."""

from typing import Annotated, Any, Literal

import pydantic

from experiments.recipes._part import Fraction, Part


def _pair(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Epoch = Annotated[int, pydantic.Field(ge=0)]
Point = Annotated[tuple[Epoch, Fraction], pydantic.BeforeValidator(_pair)]


class Dropout(Part):
    """The rate of all of a network's dropout layers, by the number of finished epochs.

    `points` are [epoch, rate], the first at epoch 0; from one to the next the rate stays
    (`steps`) or goes in a straight line (`linear`), after the last it stays. A list alone means
    steps. A layer whose own rate is 0 stays without: Keras gives it nothing to draw from. Every
    new rate is compiled anew.
    """

    points: Annotated[list[Point], pydantic.Field(min_length=1)]
    how: Literal["steps", "linear"] = "steps"

    @pydantic.model_validator(mode="before")
    @classmethod
    def _a_list_of_steps(cls, given: Any) -> Any:
        return {"points": given} if isinstance(given, list) else given

    @pydantic.field_validator("points")
    @classmethod
    def _in_order(cls, points: list) -> list:
        epochs = [epoch for epoch, _ in points]
        if epochs[0] or sorted(set(epochs)) != epochs:
            raise ValueError(f"epochs {epochs}: the first is 0, and each later than the one before")
        return points

    def rate(self, epoch: int) -> float:
        """Return the rate after so many epochs."""
        before = max(point for point in self.points if point[0] <= epoch)
        after = min((point for point in self.points if point[0] > epoch), default=before)
        if self.how == "steps" or after == before:
            return before[1]
        share = (epoch - before[0]) / (after[0] - before[0])
        return before[1] + share * (after[1] - before[1])
