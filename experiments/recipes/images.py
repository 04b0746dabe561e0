"""Which images a row is about, and which part of them it learns from."""

from typing import Annotated, Literal, Self

import pydantic

from experiments.recipes._part import Fraction, Part, Positive, Seed

Resample = Literal["lanczos", "bicubic", "bilinear", "box", "nearest"]


def _gray_or_rgb(channels: int) -> int:
    if channels not in (1, 3):
        raise ValueError(f"{channels}: give 1 (gray) or 3 (RGB)")
    return channels


# No `Literal[1, 3]`, which takes `true` for 1.
Channels = Annotated[int, pydantic.AfterValidator(_gray_or_rgb)]


class Images(Part):
    """Which pixels: a data set by name, and what is made of its images, in this order.

    `crop` cuts them to their boxes: `boxes` all of them, `train_boxes` the training images alone,
    as paper P3 did. `channels` makes them gray (1, Pillow's luma) or three channels. `background`
    pads them to a square, which would otherwise be stretched. `size` resizes them to so many pixels
    in height and width. `resample` is Pillow's filter; `box` is the mean over the area that a pixel
    covers.

    Where the files do not say which images are for validation, `validation_share` of every class
    is, drawn by `validation_seed` (none: 0.2 and 0). `unreadable: skip` leaves out files that
    cannot be decoded, which are an error otherwise.

    Runs whose images are equal saw the same pixels and can be combined; no other runs can.
    """

    name: str
    size: Positive | None = None
    resample: Resample = "lanczos"
    channels: Channels | None = None
    crop: Literal["boxes", "train_boxes"] | None = None
    background: Literal["white"] | None = None
    unreadable: Literal["skip"] | None = None
    validation_share: Annotated[float, pydantic.Field(gt=0, lt=1)] | None = None
    validation_seed: Seed | None = None

    def told(self) -> str:
        """Return the fields that matter, for people."""
        resized = "" if self.size is None else f" at {self.size} px ({self.resample})"
        others = self.model_dump(exclude={"name", "size", "resample"}, exclude_none=True)
        return ", ".join([f"{self.name}{resized}", *(f"{k} {v}" for k, v in others.items())])


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
