"""The objective of a study of Optuna's, by a trial that stands for one of its own."""

import sys
import types

import pytest

from experiments.place import Place
from experiments.runs import Run, names
from experiments.sweeps import objective

SPACE = {
    "optimizer.learning_rate": {"min": 0.0001, "max": 0.01, "sampling": "log"},
    "batch_size": {"min": 128, "max": 512, "step": 128},
    "augment": [None, "B"],
}


class Trial:
    """Suggests the least, and keeps what it hears; prunes after an epoch where told to."""

    def __init__(self, number: int = 0, prune: int | None = None):
        self.number, self.prune, self.asked, self.heard = number, prune, {}, []

    def suggest_float(self, name, low, high, *, step=None, log=False):
        self.asked[name] = (low, high, step, log)
        return low

    def suggest_int(self, name, low, high, *, step=1, log=False):
        self.asked[name] = (low, high, step, log)
        return low

    def suggest_categorical(self, name, choices):
        self.asked[name] = choices
        return choices[-1]

    def report(self, value, step):
        self.heard.append((step, value))

    def should_prune(self):
        return self.prune is not None and len(self.heard) >= self.prune


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(runs=tmp_path / "runs")


@pytest.fixture
def base(sweep, tmp_path) -> str:
    """A file of the tiny row."""
    return sweep().of


def test_a_trial_trains_in_its_own_folder_and_hears_its_epochs(base, place, tmp_path):
    run = objective(base, SPACE, folder=tmp_path / "optuna", epochs=3, place=place)
    trial = Trial(4)
    score = run(trial)
    made = Run(tmp_path / "optuna" / names.TRIALS / "005")
    assert trial.asked == {
        "optimizer.learning_rate": (0.0001, 0.01, None, True),
        "batch_size": (128, 512, 128, False),
        "augment": [0, 1],
    }
    assert (made.row.optimizer.learning_rate, made.row.batch_size) == (0.0001, 128)
    assert made.row.augment == "B" and made.metrics["epochs"] == 3
    column = made.history["val_top1"]
    assert score == column.max() and trial.heard == list(enumerate(column, start=1))
    assert run(Trial(4)) == score  # what is there is not made again


def test_a_trial_is_pruned_after_an_epoch(base, place, tmp_path, monkeypatch):
    class TrialPruned(Exception):
        pass

    monkeypatch.setitem(sys.modules, "optuna", types.SimpleNamespace(TrialPruned=TrialPruned))
    run = objective(base, SPACE, folder=tmp_path / "optuna", epochs=500, place=place)
    trial = Trial(prune=1)
    with pytest.raises(TrialPruned, match="after [0-9]+ epochs"):
        run(trial)
    assert not Run(tmp_path / "optuna" / names.TRIALS / "001").finished


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({"batchsize": [1, 2]}, "space.batchsize: 1 is refused"),
        ({"batch_size": []}, "give a list of one or more"),
    ],
)
def test_a_wrong_space_is_refused_at_once(base, tmp_path, space, told):
    with pytest.raises(ValueError, match=told):
        objective(base, space, folder=tmp_path / "optuna")


def test_a_training_that_fails_is_an_error_of_the_trial(base, place, tmp_path):
    space = {"optimizer.name": ["adam", "nadamm"]}
    run = objective(base, space, folder=tmp_path / "optuna", place=place)
    with pytest.raises(RuntimeError, match="trial 0: optimizer nadamm"):
        run(Trial())
