"""Training that goes on after its end, for more epochs of the same."""

from typing import Any

from experiments.recipes._part import Part
from experiments.recipes.averages import Lookahead
from experiments.recipes.rates import Cosine, OneCycle

# What is another one where there are more epochs: the first ones would have to be trained anew.
_BY_THE_END = (Cosine, OneCycle, Lookahead)


class Lengthened(Part):
    """A row that goes on where a shorter run of the same row ended.

    `goes_on_from` is the folder of that finished run, which kept its state (`keep_state`): the
    result is, bit by bit, that of one run over all `epochs`.
    """

    goes_on_from: str | None = None


def by_the_end(row: Any) -> list[str]:
    """Return what in a row depends on how many epochs there are in all, as FIELD NAME."""
    parts = {field: getattr(row, field, None) for field in ("schedule", "average")}
    found = [f"{field} {part.name}" for field, part in parts.items() if type(part) in _BY_THE_END]
    return [*found, *(["sizes"] if getattr(row, "sizes", None) else [])]
