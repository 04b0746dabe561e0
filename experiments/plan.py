"""Rows in the order of what they need, and what they take. No Keras.

A step is a row that is to be run in a folder. What is finished is skipped; what a step needs is
planned before it: members before stacks, teachers before students, a clean run before its experts.
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from experiments import cost, recipes
from experiments._files import check_writable
from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.recipes import KINDS, Row
from experiments.recipes.kinds import function
from experiments.runs import Run, check_backend
from experiments.runs.folder import check_recipe
from experiments.runs.names import RECIPE


@dataclasses.dataclass(frozen=True)
class Job:
    """A row and a folder, as executors are handed them; `prepare` comes before a row's parts.

    A process of its own is ended after `deadline` seconds, where there is one.
    """

    row: Row
    folder: pathlib.Path
    place: Place
    step: Literal["prepare", "run"] = "run"
    deadline: float | None = None


@dataclasses.dataclass(frozen=True)
class Done:
    """A job that has ended; `error` is empty where it went well.

    One that `died` was ended from outside, or told no error of which it is known that it would
    come again: it may go better the next time.
    """

    job: Job
    error: str = ""
    died: bool = False


@dataclasses.dataclass(frozen=True)
class Step:
    """A row to be run in a folder, after those in the folders that it needs."""

    row: Row
    folder: pathlib.Path
    rows: Mapping[str, Row] = dataclasses.field(default_factory=dict)
    """Rows of the runs that it needs, by the names that it has for them."""
    needs: tuple[pathlib.Path, ...] = ()

    @property
    def run(self) -> Run:
        """The run in its folder."""
        return Run(self.folder)

    @property
    def status(self) -> str:
        """Say how far it is."""
        return "finished" if self.run.finished else "begun" if self.run.begun else "to run"


def make(
    names: Sequence[str],
    place: Place,
    overrides: Mapping[str, Any] | None = None,
) -> list[Step]:
    """Return the steps that rows take, in order: PAPER, PAPER/ROW or recipe files.

    `overrides` change the rows that are named; of a whole paper those that have the field.
    Raises `ValueError` for unknown rows, and for runs that do not fit, before anything runs.
    """
    wanted = {}
    for name in names:
        for row in _named(name, overrides or {}):
            if wanted.setdefault(place.folder(row), row) != row:
                raise ValueError(f"{name}: {place.folder(row)} is another row's: rename one")
    planner = _Planner(place, wanted, with_needs=True)
    for folder, row in wanted.items():
        planner.add(row, folder)
    return list(planner.steps.values())


def one(row: Row, folder: pathlib.Path, place: Place) -> Step:
    """Return the step of a single row, whose needs must be finished.

    Raises `ValueError` for those that are not, and for what does not fit.
    """
    planner = _Planner(place, {folder: row}, with_needs=False)
    planner.add(row, folder)
    return planner.steps[folder]


class _Planner:
    """Steps by folder; a row's needs come before it."""

    def __init__(self, place: Place, wanted: Mapping[pathlib.Path, Row], with_needs: bool):
        self.place, self.with_needs = place, with_needs
        self.folders: dict[pathlib.Path, pathlib.Path] = {}
        self.wanted = {self.one(folder): row for folder, row in wanted.items()}
        self.steps: dict[pathlib.Path, Step] = {}

    def one(self, folder: pathlib.Path) -> pathlib.Path:
        """Return the first spelling of a folder: it may be named in several ways."""
        return self.folders.setdefault(folder.resolve(), folder)

    def add(self, row: Row, folder: pathlib.Path, below: tuple[pathlib.Path, ...] = ()) -> None:
        """Plan a row and all that it needs."""
        folder = self.one(folder)
        if folder in self.steps:
            return
        if folder in below:
            raise ValueError(f"{row.recipe} needs itself: {' -> '.join(map(str, below))}")
        run, rows, needs = Run(folder), {}, []
        if run.begun:
            check_recipe(folder, row)
        if not run.finished:
            for name in recipes.needed(row):
                needed = self.one(self.place.named(row, name))
                rows[name] = self._row_of(row, name, needed)
                self.add(rows[name], needed, (*below, folder))
                needs.append(needed)
            if not (self.with_needs or all(Run(needed).finished for needed in needs)):
                _ = [Run(needed).metrics for needed in needs]  # says which, and what to do
            if KINDS[row.kind].check:
                function(KINDS[row.kind].check)(row, rows, self.place)
        self.steps[folder] = Step(row, folder, rows, tuple(needs))

    def _row_of(self, row: Row, name: str, folder: pathlib.Path) -> Row:
        """Return the row of a run that is needed: as asked for, as begun, as the paper says."""
        if folder in self.wanted:
            return self.wanted[folder]
        if Run(folder).begun:
            return Run(folder).row
        if "/" in name:
            raise ValueError(f"{row.recipe}: {name} is no run's folder: there is no recipe in it")
        return recipes.load(f"{row.paper}/{name}")


def _named(name: str, overrides: Mapping[str, Any]) -> list[Row]:
    """Return the rows of PAPER, PAPER/ROW or a file, changed."""
    if "/" in name or name.endswith((".yaml", ".yml")):
        return [recipes.load(name, overrides)]
    found, unused = [], set(overrides)
    for row in recipes.rows(name).values():
        fields = type(row).model_fields
        own = {key: value for key, value in overrides.items() if key.partition(".")[0] in fields}
        found.append(recipes.load(row.recipe, own) if own else row)
        unused -= own.keys()
    if unused:
        raise ValueError(f"--set {', '.join(sorted(unused))}: no row of {name} has that field")
    return found


def stages(step: Step, place: Place) -> Iterator[list[Job]]:
    """Yield the jobs of a step in turns: those of one may run side by side, in any order."""
    kind, row, folder = KINDS[step.row.kind], step.row, step.folder
    if kind.prepare:
        yield [Job(row, folder, place, "prepare")]
    if kind.parts:
        parts = function(kind.parts)(row, folder, place)
        for part, where in parts:  # of a member that was made anew since, they are others
            if Run(where).begun:
                check_recipe(where, part)
        yield [Job(part, where, place) for part, where in parts if not Run(where).finished]
    yield [Job(row, folder, place)]


def check(step: Step, place: Place) -> None:
    """Raise `ValueError` for data that is not there and for a folder that cannot be written."""
    check_writable(step.folder / RECIPE)
    place.check(step.row.data)


def confirm(finished: Run, place: Place, listener: Listener = SILENT) -> None:
    """Tell of a finished run; `ValueError` where the place names another backend or other data."""
    backend = place.backend or os.environ.get("KERAS_BACKEND")
    if backend:
        check_backend(finished, backend)
    if place.data_dir:
        finished.check_data(place.dataset(finished.row.data, listener))
    listener.say(finished.told())


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a step takes: nothing is known (None) of data that is not there and not public.

    Hours are by the rate of `rated_by` finished runs on this machine.
    """

    step: Step
    work: cost.Work | None
    hours: float | None
    rated_by: int


def estimates(steps: Sequence[Step], place: Place, listener: Listener = SILENT) -> list[Estimate]:
    """Say what steps take: images, epochs, multiply-adds, and hours where that was measured.

    Data that lies there is decoded, as the runs will need it; else public data sets' sizes count.
    """
    backend = place.backend or os.environ.get("KERAS_BACKEND") or "tensorflow"
    rate, found, sizes = cost.Rate(Run.all_below(place.runs), backend, listener), [], {}
    for step in steps:
        row, images = step.row, step.row.data
        if images not in sizes:
            data = place.dataset(images, listener) if place.has(images) else None
            sizes[images] = cost.known_size(row, data)
        work = hours = None
        if sizes[images] is not None and not step.run.finished:
            work = function(KINDS[row.kind].work)(row, step.rows, sizes[images])
            hours = rate.hours(row, work)
        found.append(Estimate(step, work, hours, rate.runs))
    return found
