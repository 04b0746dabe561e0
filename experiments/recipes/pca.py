"""How many principal components of the training images' pixels a network sees."""

from typing import Annotated, Any, Literal, Self

import pydantic

from experiments.recipes._part import Part, Positive


class Pca(Part):
    """As many components as hold a `share` of all, or so many `components`.

    A share is that of the sum of singular `values`, as P2 counts, or of `variance`, which is that
    of their squares. A number alone is a share of the values. They are those of so many training
    `images`, drawn by the row's seed, and of all where there are fewer: more images have more small
    values, so the same share of them needs more components.
    """

    share: Annotated[float, pydantic.Field(gt=0, le=1)] | None = None
    of: Literal["values", "variance"] = "values"
    components: Positive | None = None
    images: Annotated[int, pydantic.Field(ge=2)] = 2000

    @pydantic.model_validator(mode="before")
    @classmethod
    def _a_share_alone(cls, given: Any) -> Any:
        return {"share": given} if isinstance(given, float) else given

    @pydantic.model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.share is None) == (self.components is None):
            raise ValueError(
                f"share is {self.share}, components is {self.components}: give one of them"
            )
        return self
