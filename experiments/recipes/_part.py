"""What all parts of a row have in common: no unknown field, no silent conversion, no change."""

import difflib
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

import pydantic

Positive = Annotated[int, pydantic.Field(ge=1)]
Seed = Annotated[int, pydantic.Field(ge=0, lt=2**32)]
Fraction = Annotated[float, pydantic.Field(ge=0, lt=1)]
Rate = Annotated[float, pydantic.Field(gt=0)]
# Ways to see an image when a finished model is asked: `experiments.training.views`.
Several = Literal["mirror", "shifts"]
Views = Literal["none", Several]

_STRICT = {"strict": True, "frozen": True, "allow_inf_nan": False}


class Part(pydantic.BaseModel):
    """Fields of a recipe: an unknown one is a mistake, `true` is no number, nothing changes."""

    model_config = pydantic.ConfigDict(extra="forbid", **_STRICT)


class Named(pydantic.BaseModel):
    """A thing of a library by its `name`; any other field is an argument of its class."""

    model_config: ClassVar = pydantic.ConfigDict(extra="allow", **_STRICT)

    @pydantic.model_serializer(mode="wrap")
    def _with_arguments_that_are_none(self, written: pydantic.SerializerFunctionWrapHandler) -> Any:
        # None means something to a class whose default is another; only our own is left out.
        return written(self) | (self.model_extra or {})


def close_to(name: str, names: Iterable[str]) -> str:
    """Return the end of an error message: names like `name`, or all there are."""
    names = list(names)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"; did you mean {', '.join(close)}?" if close else f"; there are {', '.join(names)}"
