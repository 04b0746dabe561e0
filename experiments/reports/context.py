"""What every section of a report is made from, and what it gives to the page."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.recipes import Row
from experiments.runs import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True, kw_only=True)
class Context:
    """What a report is about: all that its sections may ask for."""

    runs: Sequence[Run]
    """Read whole and found in order."""
    labels: Sequence[str]
    """What the page calls each run."""
    rows: Mapping[str, Row]
    """Rows of the runs' papers that have published values, by `paper/row`, in their order."""
    comparisons: Sequence[pathlib.Path] = ()
    """Tables of what several runs can be together."""
    cards: Sequence[pathlib.Path] = ()
    """Robustness cards."""
    plots: pathlib.Path | None = None
    """Folder for figures of several runs; None: no figure is kept as a file."""


@dataclasses.dataclass(frozen=True)
class Shown:
    """What a section shows: the values of its template, and its (anchor, title) links.

    `plots` are folders, each with figures by name that are kept there as PNG.
    """

    values: Mapping[str, Any]
    links: Sequence[tuple[str, str]]
    plots: Sequence[tuple[pathlib.Path, Mapping[str, "Figure"]]] = ()
