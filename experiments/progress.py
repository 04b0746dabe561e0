"""Steps of a plan on their way: each after what it needs, by an executor. No Keras."""

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Protocol

from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.plan import Done, Job, Step, check, confirm, stages
from experiments.runs import Run


class Executor(Protocol):
    """What runs jobs: in this process, in spawned ones, on other machines."""

    def submit(self, job: Job) -> None:
        """Take a job; it may wait for its turn."""

    def wait(self) -> Done:
        """Return the next job that has ended, when it has."""

    def close(self) -> None:
        """End what still runs; it can be resumed."""


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
    state = _Progress(steps, executor, place)
    try:
        while state.going:
            state.take(executor.wait(), listener)
    finally:
        executor.close()
    runs = [step.run for step in steps if step.run.finished]
    failed = {one.folder: state.failed[one.folder] for one in steps if one.folder in state.failed}
    return Outcome(runs, failed)


class _Progress:
    """Which steps wait, go on, are done or have failed."""

    def __init__(self, steps: Sequence[Step], executor: Executor, place: Place):
        self.executor, self.place = executor, place
        self.waiting = {step.folder: step for step in steps if not step.run.finished}
        self.going: dict[pathlib.Path, tuple[Iterator[list[Job]], set[Job]]] = {}
        self.owner: dict[pathlib.Path, pathlib.Path] = {}
        self.failed: dict[pathlib.Path, str] = {}
        self._start()

    def take(self, done: Done, listener: Listener) -> None:
        """Note the end of a job, and hand on what can begin now."""
        folder = self.owner[done.job.folder]
        jobs, pending = self.going[folder]
        pending.discard(done.job.folder)
        if done.error:
            self.failed.setdefault(folder, done.error)
            listener.say(f"{done.job.row.recipe} failed: {done.error}")
        if not pending:
            self._go_on(folder, jobs)
        self._start()

    def _start(self) -> None:
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
                    self._go_on(folder, stages(step, self.place))

    def _go_on(self, folder: pathlib.Path, jobs: Iterator[list[Job]]) -> None:
        self.going.pop(folder, None)
        if folder in self.failed:
            return
        try:
            batch = next((batch for batch in jobs if batch), None)
        except ValueError as error:
            self.failed[folder] = str(error)
            return
        if batch is None:
            return
        self.going[folder] = jobs, {job.folder for job in batch}
        for job in batch:
            self.owner[job.folder] = folder
            self.executor.submit(job)
