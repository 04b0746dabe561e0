"""Keras Tuner's oracles as a sweep asks them: the same questions get the same answers."""

import math
import os
import signal

import pytest

from experiments.sweeps.asking import SETTINGS, Asking
from experiments.sweeps.oracle import Oracle

FIXED = {"batch_size": [64, 128, 256], "augment": [None, "B"]}
MANY = {
    "optimizer.name": ["adam", "sgd"],
    "optimizer.learning_rate": {"min": 1e-4, "max": 1e-1, "sampling": "log"},
    "optimizer.momentum": {"choices": [0.0, 0.9], "when": {"optimizer.name": "sgd"}},
    "batch_size": {"min": 32, "max": 128, "step": 32},
    "augment": [None, "B", {"horizontal_flip": 0.5}],
}


@pytest.fixture
def settings(sweep):
    """Return what an oracle is told of a sweep."""

    def of(**fields) -> dict:
        row = sweep(**fields)
        return row.model_dump(include=set(SETTINGS)) | {"direction": "max"}

    return of


def _score(values: dict) -> float:
    """A bowl in the logarithm of the rate, best at 0.01."""
    return 50 - 10 * (math.log10(values["optimizer.learning_rate"]) + 2) ** 2


def _search(oracle, score=_score, most: int = 100) -> list[dict]:
    """Ask one trial after the other."""
    found = []
    for number in range(1, most):
        answer = oracle.ask(number)
        if "values" not in answer:
            assert answer == {"over": True}
            return found
        found.append(answer)
        oracle.tell(number, score(answer["values"]))
    return found


@pytest.mark.parametrize("search", ["random", "bayesian"])
def test_proposals_lie_in_the_space_and_follow_from_the_seed(settings, tmp_path, search):
    def asked(seed: int) -> list[dict]:
        told = settings(space=MANY, search=search, trials=8, seed=seed)
        return [one["values"] for one in _search(Oracle(told, str(tmp_path / f"{seed}")))]

    first, again, other = asked(0), asked(0), asked(1)
    assert first == again != other and len(first) == 8
    for values in first:
        assert 1e-4 <= values["optimizer.learning_rate"] <= 1e-1
        assert values["batch_size"] in (32, 64, 96, 128)
        assert values["augment"] in MANY["augment"]
        assert ("optimizer.momentum" in values) == (values["optimizer.name"] == "sgd")
    assert len({values["optimizer.name"] for values in first}) == 2


def test_a_bayesian_search_comes_close_to_the_best_value(settings, tmp_path):
    """Of one dimension: 3 trials by chance, and 4 by what these scored."""
    space = {"optimizer.learning_rate": MANY["optimizer.learning_rate"]}
    told = settings(space=space, search="bayesian", trials=7)
    rates = [
        one["values"]["optimizer.learning_rate"] for one in _search(Oracle(told, str(tmp_path)))
    ]
    # A tenth of a decade: the bowl is 0.1 below its best there, of 90 that it covers.
    assert min(abs(math.log10(rate) + 2) for rate in rates) < 0.1


def test_a_grid_has_every_combination_once(settings, tmp_path):
    told = settings(space=FIXED, search="grid", trials=None)
    found = [one["values"] for one in _search(Oracle(told, str(tmp_path)), lambda values: 1.0)]
    assert len(found) == 6 and all(one not in found[:place] for place, one in enumerate(found))
    told = settings(space=MANY | {"optimizer.learning_rate": [0.1]}, search="grid", trials=None)
    found = _search(Oracle(told, str(tmp_path / "b")), lambda values: 1.0)
    assert len(found) == 36  # 3 kinds of optimizer, 4 sizes of batches, 3 augmentations


@pytest.mark.parametrize(("epochs", "factor", "iterations"), [(9, 3, 1), (4, 2, 2), (1, 3, 1)])
def test_hyperband_takes_better_ones_along(sweep, settings, tmp_path, epochs, factor, iterations):
    fields = {"epochs": epochs, "factor": factor, "iterations": iterations}
    fields |= {"search": "hyperband", "trials": None}
    found = _search(Oracle(settings(**fields), str(tmp_path)))
    row = sweep(**fields)
    expected = [(begin, end) for many, begin, end in row.rounds(epochs) for _ in range(many)]
    begun = [one.get("after") and found[one["after"] - 1]["epochs"] or 0 for one in found]
    assert sorted(zip(begun, (one["epochs"] for one in found), strict=True)) == sorted(expected)
    scores = [_score(one["values"]) for one in found]
    for one in found:
        if "after" in one:  # of the trials that are as long as the one before it, it is a good one
            before = found[one["after"] - 1]
            assert before["values"] == one["values"] and before["epochs"] < one["epochs"]
            same = sorted(
                score
                for other, score in zip(found, scores, strict=True)
                if other["epochs"] == before["epochs"]
            )
            assert _score(one["values"]) >= same[0]


def test_failed_trials_are_no_scores(settings, tmp_path):
    oracle = Oracle(settings(search="bayesian", trials=6), str(tmp_path))
    for number in range(1, 7):
        assert "values" in oracle.ask(number)
        oracle.tell(number, None)
    assert oracle.ask(7) == {"over": True}


def test_the_process_of_an_oracle_may_die(settings, tmp_path):
    """Begun again, it is told all that it was told, and goes on as one that lives does."""
    told = settings(trials=4)
    lives = [one["values"] for one in _search(Oracle(told, str(tmp_path)))]
    asking = Asking(told, "tensorflow", tmp_path / "oracle.log")
    asking.begin([])
    found = [asking.ask(1)["values"]]
    asking.tell(1, 3.0)
    os.kill(asking.process.pid, signal.SIGKILL)
    found += [asking.ask(number)["values"] for number in (2, 3, 4)]
    assert found == lives and asking.ask(5) == {"over": True}
    process = asking.process
    asking.close()
    assert process.returncode is not None
