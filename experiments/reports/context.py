"""What every section of a report is made from, and what it gives to the page."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.recipes import Row
from experiments.runs import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs on the same validation images: only their accuracies may stand in one figure."""

    title: str
    """The data set's name, with what tells it apart from another of that name."""
    runs: Sequence[Run]
    labels: Sequence[str]

    @property
    def best(self) -> int:
        """Place of the run with the highest top-1, the first of equals."""
        return max(range(len(self.runs)), key=lambda place: self.runs[place].metrics["top1"])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Context:
    """What a report is about: all that its sections may ask for."""

    runs: Sequence[Run]
    """All that classify, read whole and found in order."""
    generators: Sequence[Run] = ()
    """Those that make images."""
    labels: Sequence[str]
    """What the page calls each run."""
    rows: Mapping[str, Row]
    """Rows of the runs' papers that have published values or a note, by `paper/row`, in order."""
    comparisons: Sequence[pathlib.Path] = ()
    """Tables of what several runs can be together."""
    cards: Sequence[pathlib.Path] = ()
    """Robustness cards."""
    phones: Sequence[pathlib.Path] = ()
    """Tables of models timed as a phone runs them."""
    explained: Sequence[pathlib.Path] = ()
    """Folders of explained images, by the file that says what there is."""
    embedded: Sequence[pathlib.Path] = ()
    """Folders of embeddings, likewise."""
    generated: Sequence[pathlib.Path] = ()
    """Tables of what was measured of generators."""
    fits: Sequence[pathlib.Path] = ()
    """What `fit` found of somebody's pictures, each beside the runs that it made."""
    plots: pathlib.Path | None = None
    """Folder for figures of several runs; None: no figure is kept as a file."""

    @functools.cached_property
    def groups(self) -> list[Group]:
        """The runs by their validation images, in the order of the first of each."""
        found: dict[tuple, list[int]] = {}
        for place, run in enumerate(self.runs):
            found.setdefault(_seen(run), []).append(place)
        return [
            Group(title, [self.runs[i] for i in places], [self.labels[i] for i in places])
            for title, places in zip(_titles(list(found)), found.values(), strict=True)
        ]

    def data_of(self, run: Run) -> str:
        """Return the title of the group that a run is in."""
        return next(group.title for group in self.groups if run in group.runs)


@dataclasses.dataclass(frozen=True)
class Shown:
    """What a section shows: the values of its template, and its (anchor, title) links.

    `plots` are folders, each with figures by name that are kept there as PNG.
    """

    values: Mapping[str, Any]
    links: Sequence[tuple[str, str]]
    plots: Sequence[tuple[pathlib.Path, Mapping[str, "Figure"]]] = ()


def _seen(run: Run) -> tuple:
    """Return what runs have in common that were judged on the same images, of whatever size."""
    return run.dataset["name"], tuple(run.dataset["class_names"]), run.metrics["n"]


def _titles(seen: Sequence[tuple]) -> list[str]:
    """Name each data set; those of one name by their classes, or images, at last by number."""
    ways = (
        [name for name, _, _ in seen],
        [f"{name}, {len(classes)} classes" for name, classes, _ in seen],
        [f"{name}, {len(classes)} classes, {n:,} images" for name, classes, n in seen],
        [f"{name} ({number})" for number, (name, _, _) in enumerate(seen, start=1)],
    )
    return next(titles for titles in ways if len(set(titles)) == len(titles))
