"""How large images are over time: small ones first, in the end those that the data has."""

from typing import Annotated, Any, Self

import pydantic

from experiments.recipes._part import Part, Positive
from experiments.recipes.images import Images, Resample

Phase = Annotated[list[Positive], pydantic.Field(min_length=2, max_length=2)]
"""Epochs, and the side of the images in pixels."""
# What knows the images at one size only.
_NOT_WITH = ("distill", "adversarial", "generated", "pca")


class Resized(Part):
    """Fields of a row whose images change their size while it is trained.

    `sizes`: [[6, 32], [4, 64]] are six epochs at 32 pixels and four at 64, which must be the size
    of the data; `epochs` is then their sum and may be left out. The small copies are made once, of
    the files, by `sizes_resample` (none: as the data is). Where an augmentation counts in pixels,
    they are those of the copy; validation images have the size of their epoch, `size` in the
    history. `keep: best` chooses among epochs of the last size, `early_stop` stops in the last
    phase alone, and what waits for a better value begins anew with each phase.

    `refresh` gives batch normalization, after the last epoch, the mean statistics of so many
    batches of that epoch at the weights that are kept (0: what the moving average has).
    """

    sizes: Annotated[list[Phase], pydantic.Field(min_length=1)] | None = None
    sizes_resample: Resample | None = None
    refresh: Annotated[int, pydantic.Field(ge=0)] = 0

    @property
    def last_size(self) -> int | None:
        """Side of the images in the last epochs; None: the data's, all the time."""
        return self.sizes[-1][1] if self.sizes else None

    def at(self, size: int) -> Images:
        """Return the images of another size."""
        resample = self.sizes_resample or self.data.resample
        return self.data.model_copy(update={"size": size, "resample": resample})

    @pydantic.model_validator(mode="before")
    @classmethod
    def _epochs_of_all_sizes(cls, fields: Any) -> Any:
        if not isinstance(fields, dict) or fields.get("epochs") is not None:
            return fields
        try:
            return fields | {"epochs": sum(epochs for epochs, _ in fields["sizes"])}
        except (KeyError, TypeError, ValueError):  # no sizes, or none that fit: told by field
            return fields

    @pydantic.model_validator(mode="after")
    def _sizes_that_end_at_that_of_the_data(self) -> Self:
        if self.sizes is None:
            if self.sizes_resample is not None:
                raise ValueError("sizes_resample says how copies of sizes are made: give sizes too")
            return self
        if (total := sum(epochs for epochs, _ in self.sizes)) != self.epochs:
            raise ValueError(
                f"epochs: {self.epochs}, but sizes have {total} epochs in all: leave epochs out, "
                f"or set epochs to {total}"
            )
        if self.data.size not in (None, self.last_size):
            raise ValueError(ends_elsewhere(self.last_size, f"data.size is {self.data.size}"))
        if given := [field for field in _NOT_WITH if getattr(self, field) is not None]:
            raise ValueError(
                f"{', '.join(given)} and sizes do not go together: a teacher, adversarial "
                "and generated images and components have one size"
            )
        return self


def ends_elsewhere(last: int, told: str) -> str:
    """Return what is wrong with sizes that do not end at the size of the data."""
    return (
        f"sizes end at {last} pixels, but {told}: validation and the saved model take the last "
        "size, so end sizes at that of the data, or set data.size"
    )
