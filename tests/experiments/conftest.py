"""Recipe files, finished runs without Keras, and an executor that only takes notes."""

import pathlib

import pytest
import yaml

from experiments import recipes
from experiments.listener import Listener
from experiments.place import Place
from experiments.plan import Done, Job
from experiments.recipes import Row
from experiments.runs import Run

NET = {"name": "alphanet_v4"}


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(runs=tmp_path / "runs")


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a recipe file of the paper `test` and returns its path."""

    def make(name: str, **fields) -> str:
        content = {"recipe": f"test/{name}", "data": {"name": "digits"}} | fields
        if content.get("kind", "train") == "train":
            content = {"model": NET, "epochs": 2} | content
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content))
        return str(path)

    return make


@pytest.fixture
def finish(make_run, place):
    """Return a function that leaves a finished run of a row in its folder."""

    def make(row: str | Row, **options) -> pathlib.Path:
        row = recipes.load(row) if isinstance(row, str) else row
        return make_run(place.folder(row), row, epochs=2, images=20, **options)

    return make


class Hearing(Listener):
    """Keeps what is said."""

    def __init__(self):
        self.said = []

    def say(self, text: str) -> None:
        self.said.append(text)


class Notes:
    """An executor that finishes every job with `finish`, or fails it as told; the last first."""

    room = 2

    def __init__(self, finish=lambda job: None, fail: dict[str, str] | None = None):
        self.finish, self.fail = finish, fail or {}
        self.done, self.jobs, self.most, self.closed = [], [], 0, False

    def submit(self, job: Job) -> None:
        self.jobs.append(job)
        self.most = max(self.most, len(self.jobs))

    def wait(self) -> Done:
        job = self.jobs.pop()
        name = job.row.name if job.step == "run" else f"{job.step} {job.row.name}"
        self.done.append(name)
        if name in self.fail:
            return Done(job, f"{self.fail[name]} (log: {Run(job.folder).log})")
        self.finish(job)
        return Done(job)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def notes(make_run):
    """Return an executor that leaves finished runs."""

    def finish(job: Job) -> None:
        if job.step == "run":
            make_run(job.folder, job.row, epochs=2, images=20)

    return lambda finish=finish, **fail: Notes(finish, fail)


@pytest.fixture
def hearing() -> Hearing:
    return Hearing()
