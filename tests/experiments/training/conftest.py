"""A data set of a few images, rows of a network that trains on it in a moment, and cuts."""

import dataclasses
import pathlib
import shutil
from typing import Literal

import numpy as np
import pytest

from experiments import recipes, runs
from experiments.datasets import Dataset, Split
from experiments.listener import Listener
from experiments.recipes import KINDS, Row, Share
from experiments.recipes.kinds import Kind
from experiments.runs import Run, metrics, names
from experiments.training import generated

# Two convolutions; without XLA and self-tests, which take longer than all epochs.
TINY = {
    "recipe": "test/tiny",
    "data": {"name": "stripes"},
    "model": {
        "name": "alphanet_v4",
        "filters": [4, 4],
        "kernels": [3, 3],
        "pools": [True, True],
        "dense": 8,
    },
    "jit": False,
    "precision": "float32",
    "batch_size": 16,
    "epochs": 3,
    "optimizer": {"name": "adam", "learning_rate": 0.01},
}
CLOCKS = ("seconds", "images_per_second", "seconds_per_epoch", "wall_seconds", "date")


class Cut(Exception):
    """Stands for what ends a process."""


class Listening(Listener):
    """Keeps what it hears; cuts training off in the first step of the epoch `cut`."""

    def __init__(self, cut: int | None = None):
        self.cut, self.said = cut, []

    def say(self, text: str) -> None:
        self.said.append(text)

    def progress(self, what: str, done: int, total: int) -> None:
        if self.cut is not None and what.startswith(f"epoch {self.cut} of"):
            raise Cut


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


@pytest.fixture(scope="session")
def parse():
    """Return a row of the tiny network, changed."""
    return lambda **changes: recipes.parse(TINY | changes, "test")


@pytest.fixture(scope="session")
def train():
    """Train a row, cut off in the epoch `cut` where given; return its run."""
    from experiments.training.train import train

    def run(row, folder: pathlib.Path, data: Dataset, *, cut: int | None = None, **options) -> Run:
        if cut is None:
            train(row, folder, data, **options)
        else:
            with pytest.raises(Cut):
                train(row, folder, data, listener=Listening(cut), **options)
        return Run(folder)

    return run


@pytest.fixture(scope="session")
def assert_same():
    """Assert that two runs are bit-equal: weights, history and metrics, but for times."""
    import zoo

    def check(one: Run, other: Run) -> None:
        weights = [zoo.load(run.model_file).get_weights() for run in (one, other)]
        for ours, theirs in zip(*weights, strict=True):
            assert np.array_equal(ours, theirs)
        for key in one.history.keys() | other.history.keys():
            assert key in CLOCKS or np.array_equal(one.history[key], other.history[key]), key
        assert _timeless(one.metrics) == _timeless(other.metrics)
        assert np.array_equal(one.probs, other.probs)

    return check


def _timeless(metrics: dict) -> dict:
    return {key: value for key, value in metrics.items() if key not in CLOCKS}


@pytest.fixture(scope="session")
def finished(parse, train, stripes, tmp_path_factory) -> Run:
    """A finished run of the tiny row."""
    return train(parse(), tmp_path_factory.mktemp("finished") / "run", stripes)


@pytest.fixture(scope="session")
def _begun(parse, train, stripes, tmp_path_factory) -> Run:
    return train(parse(), tmp_path_factory.mktemp("begun") / "run", stripes, cut=2)


@pytest.fixture
def begun(_begun, tmp_path) -> Run:
    """A run of the tiny row that was cut off in its second epoch."""
    return Run(shutil.copytree(_begun.path, tmp_path / "begun"))


@pytest.fixture(scope="session")
def changed():
    """Return a data set with a split's images or labels replaced, as another folder would have."""

    def change(data: Dataset, split: str, **fields) -> Dataset:
        other = dataclasses.replace(getattr(data, split), **fields)
        return dataclasses.replace(data, **{split: other}, digest=None)

    return change


@pytest.fixture
def listening():
    """Return a listener that keeps what it hears."""
    return Listening()


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
