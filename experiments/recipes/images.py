"""Which images a row is about, and which part of them it learns from."""

from typing import Annotated, Literal, Self

import pydantic

from experiments.recipes._part import Fraction, Part, Positive

Resample = Literal["lanczos", "bicubic", "bilinear", "box", "nearest"]


class Images(Part):
    """Which pixels: a data set by name, resized to `size` pixels where given.

    `resample` is Pillow's filter; `box` is the mean over the area that a pixel covers.

    Runs whose images are equal saw the same pixels and can be combined; no other runs can.
    """

    name: str
    size: Positive | None = None
    resample: Resample = "lanczos"

    def told(self) -> str:
        """Return the fields that matter, for people."""
        resized = "" if self.size is None else f" at {self.size} px ({self.resample})"
        return f"{self.name}{resized}"


class Share(Part):
    """Which part of the training images a run learns from.

    `holdout` is the share that members of an ensemble never see, so that a head or weights can be
    fitted on it. With `folds`, training leaves out the part numbered `fold`, from 0, of so many
    equal parts of the rest.
    """

    holdout: Fraction = 0.0
    folds: Annotated[int, pydantic.Field(ge=2)] | None = None
    fold: Annotated[int, pydantic.Field(ge=0)] | None = None

    @pydantic.model_validator(mode="after")
    def _one_of_the_folds(self) -> Self:
        if (self.folds is None) != (self.fold is None) or (self.folds or 1) <= (self.fold or 0):
            raise ValueError(f"fold {self.fold} of {self.folds} folds: give both, counted from 0")
        return self
