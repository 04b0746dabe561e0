"""A data set of a few images, rows of a network that trains on it in a moment, and cuts."""

import dataclasses
import pathlib
import shutil

import numpy as np
import pytest

from experiments import recipes
from experiments.datasets import Dataset
from experiments.listener import Listener
from experiments.runs import Run

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
