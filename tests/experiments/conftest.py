"""Recipe files, runs without Keras, one that makes images, an executor that only takes notes."""

import pathlib
from typing import Literal

import numpy as np
import pytest
import yaml

from experiments import recipes, runs
from experiments.datasets import Dataset, Split
from experiments.listener import Listener
from experiments.place import Place
from experiments.plan import Done, Job
from experiments.recipes import KINDS, Row, Share
from experiments.recipes.kinds import Kind
from experiments.runs import Run, metrics, names
from experiments.training import generated

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


@pytest.fixture(scope="session")
def stripes() -> Dataset:
    """64 and 24 images of noise, 28x28 and gray, with a bright line where their class says."""
    rng = np.random.default_rng(0)

    def split(n: int) -> Split:
        labels = np.arange(n) % 4
        images = rng.integers(0, 150, (n, 28, 28, 1), np.uint8)
        images[np.arange(n), 7 * labels] = 255
        return Split(images, labels)

    return Dataset("stripes", split(64), split(24), tuple("abcd"), tuple("abcd"))


class Maker(Row):
    """A kind of these tests that makes images: each of the gray of its class, and of its draw."""

    kind: Literal["maker"] = "maker"
    share: Share = Share()
    conditional: bool = True


def made(run: Run, labels: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Return images of the run's shape: 60 times the label, and seed and number in the corner."""
    images = np.empty((len(labels), *run.dataset["image_shape"]), np.uint8)
    images[:] = 60 * np.asarray(labels)[:, None, None, None]
    images[:, 0, 0, 0], images[:, 0, 1, 0] = seed, np.arange(len(labels))
    made.calls.append((str(run), len(labels), seed))
    return images


@pytest.fixture
def maker(monkeypatch, stripes, tmp_path):
    """Add a kind that makes images; return a function that leaves a finished run of it.

    `maker.calls` are the (run, images, seed) that were made.
    """
    kind = Kind(
        schema=Maker,
        about="Make",
        example="x",
        run="test:run",
        work="test:work",
        images="test:made",
        has_history=False,
    )
    monkeypatch.setitem(KINDS, "maker", kind)
    monkeypatch.setattr(generated, "function", {"test:made": made}.get)
    monkeypatch.setattr(made, "calls", [], raising=False)

    def make(name: str = "maker", on: Dataset = stripes, **fields) -> Run:
        content = {"recipe": f"test/{name}", "kind": "maker", "data": {"name": "stripes"}}
        row = recipes.parse(content | fields, "test")
        with runs.making(tmp_path / "runs" / "test" / name, row, on) as run:
            (run.path / names.MODEL).write_bytes(name.encode())
            run.finish(dict.fromkeys(metrics.REQUIRED, 0) | {"n": len(on.validation)})
        return run

    make.calls = made.calls
    return make
