"""Steps of a plan on their way: each after what it needs, by an executor. No Keras."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.plan import Done, Job, Step, check, confirm, stages
from experiments.recipes import KINDS
from experiments.recipes.kinds import function
from experiments.runs import Run


class Executor(Protocol):
    """What runs jobs: in this process, in spawned ones, on other machines."""

    room: int
    """How many jobs it runs at once."""

    def submit(self, job: Job) -> None:
        """Take a job; it may wait for its turn."""

    def wait(self) -> Done:
        """Return the next job that has ended, when it has."""

    def close(self) -> None:
        """End what still runs; it can be resumed."""


class Course(Protocol):
    """The jobs of a step, as they follow from each other; it has ended when none is left."""

    failed: str
    """Why the step has failed; empty where it has not."""

    def begin(self) -> list[Job]:
        """Return the jobs that come first; they may run side by side, in any order."""

    def take(self, done: Done) -> list[Job]:
        """Take note of a job that has ended; return those that follow from it."""

    def close(self) -> None:
        """Let go of what is held; it can be begun again."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of the steps: their runs, and why others failed or were left out."""

    runs: list[Run]
    failed: dict[pathlib.Path, str]


def run(
    steps: Sequence[Step], executor: Executor, place: Place, listener: Listener = SILENT
) -> Outcome:
    """Carry steps out, each after what it needs; one that fails leaves the others going on.

    Raises `ValueError` before anything runs: for data that is not there, a folder that cannot be
    written, and a finished run of another backend or other images than the place names.
    """
    for step in steps:
        if step.run.finished:
            confirm(step.run, place, listener)
        else:
            check(step, place)
    state = _Progress(steps, executor, place, listener)
    try:
        state.start()
        while state.going:
            state.take(executor.wait())
    finally:
        executor.close()
        state.close()
    runs = [step.run for step in steps if step.run.finished]
    failed = {one.folder: state.failed[one.folder] for one in steps if one.folder in state.failed}
    return Outcome(runs, failed)


class _InTurn:
    """Batches of jobs, one after the other; a job that fails lets those beside it go on."""

    def __init__(self, batches: Iterator[list[Job]], listener: Listener):
        self.batches, self.listener = batches, listener
        self.left, self.failed = 0, ""

    def begin(self) -> list[Job]:
        batch = next((batch for batch in self.batches if batch), [])
        self.left = len(batch)
        return batch

    def take(self, done: Done) -> list[Job]:
        self.left -= 1
        if done.error:
            self.failed = self.failed or done.error
            self.listener.say(f"{done.job.row.recipe} failed: {done.error}")
        return [] if self.left or self.failed else self.begin()

    def close(self) -> None:
        """Nothing is held."""


class _Progress:
    """Which steps wait, go on, are done or have failed."""

    def __init__(self, steps: Sequence[Step], executor: Executor, place: Place, listener: Listener):
        self.executor, self.place, self.listener = executor, place, listener
        self.waiting = {step.folder: step for step in steps if not step.run.finished}
        self.going: dict[pathlib.Path, tuple[Course, set[pathlib.Path]]] = {}
        self.owner: dict[pathlib.Path, pathlib.Path] = {}
        self.failed: dict[pathlib.Path, str] = {}

    def start(self) -> None:
        """Begin all steps that need nothing more."""
        begun = True
        while begun:
            begun = False
            for folder, step in list(self.waiting.items()):
                broken = [need for need in step.needs if need in self.failed]
                if broken:
                    self.failed[folder] = f"not run, because it needs {', '.join(map(str, broken))}"
                elif any(need in self.waiting or need in self.going for need in step.needs):
                    continue
                del self.waiting[folder]
                begun = True
                if not broken:
                    self._begin(step)

    def take(self, done: Done) -> None:
        """Note the end of a job, and hand on what can begin now."""
        folder = self.owner[done.job.folder]
        course, pending = self.going[folder]
        pending.discard(done.job.folder)
        self._go_on(folder, course.take, done)
        self.start()

    def close(self) -> None:
        """Let go of what steps on their way hold."""
        for course, _ in self.going.values():
            course.close()

    def _begin(self, step: Step) -> None:
        search = KINDS[step.row.kind].search
        if search:
            course = function(search)(step, self.place, self.executor.room, self.listener)
        else:
            course = _InTurn(stages(step, self.place), self.listener)
        self.going[step.folder] = course, set()
        self._go_on(step.folder, course.begin)

    def _go_on(self, folder: pathlib.Path, ask: Callable[..., list[Job]], *given: Done) -> None:
        course, pending = self.going[folder]
        try:
            jobs, reason = ask(*given), course.failed
        except ValueError as error:
            jobs, reason = [], str(error)
        for job in jobs:
            self.owner[job.folder] = folder
            pending.add(job.folder)
            self.executor.submit(job)
        if reason:
            self.failed.setdefault(folder, reason)
        if not pending:
            del self.going[folder]
            course.close()
