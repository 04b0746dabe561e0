"""The process that asks Keras Tuner's oracles: a line of JSON in, a line of JSON out.

It builds no model. `python -m experiments.sweeps.oracle` first reads what is searched, then
questions: {"ask": number} for the next trial's values, {"tell": number, "score": x or null} for the
end of one. An oracle is a function of these: told the same again, it says the same again.
"""

import json
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

from zoo import _space

# A sweep's `search` -> Keras Tuner's class, and its options by the sweep's fields.
_ORACLES = {
    "random": ("RandomSearchOracle", {"max_trials": "trials"}),
    "bayesian": ("BayesianOptimizationOracle", {"max_trials": "trials"}),
    "grid": ("GridSearchOracle", {"max_trials": "trials"}),
    "hyperband": (
        "HyperbandOracle",
        {"max_epochs": "epochs", "factor": "factor", "hyperband_iterations": "iterations"},
    ),
}


def main() -> None:
    """Answer until the input ends, which the death of the process that asks does too."""
    # What Keras and Keras Tuner print is no answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    with tempfile.TemporaryDirectory() as folder:
        oracle = Oracle(json.loads(sys.stdin.readline()), folder)
        for line in sys.stdin:
            question = json.loads(line)
            if "ask" in question:
                answer = oracle.ask(question["ask"])
            else:
                answer = oracle.tell(question["tell"], question["score"])
            print(json.dumps(answer), file=answers, flush=True)


class Oracle:
    """An oracle of Keras Tuner, by the fields of a sweep's row; its own files lie in `folder`."""

    def __init__(self, settings: Mapping[str, Any], folder: str):
        import keras_tuner

        self.space = _space.parse(settings["space"])
        self.objective = settings["objective"]
        hp = keras_tuner.HyperParameters()
        _space.suggested(self.space, hp)
        name, options = _ORACLES[settings["search"]]
        self.oracle = getattr(keras_tuner.oracles, name)(
            **{option: settings[field] for option, field in options.items()},
            objective=keras_tuner.Objective(self.objective, settings["direction"]),
            hyperparameters=hp,
            # 0 would be a seed by chance there.
            seed=settings["seed"] + 1,
            # A trial that failed is tried again by us; how many fail is told, and ends nothing.
            max_retries_per_trial=0,
            max_consecutive_failed_trials=sys.maxsize,
        )
        self.oracle.verbose = 0
        self.oracle._set_project_dir(folder, "oracle")
        self.trials: dict[int, Any] = {}

    def ask(self, number: int) -> dict[str, Any]:
        """Return the values of the trial `number`, from 1; whether to wait, or that all is over."""
        trial = self.oracle.create_trial(str(number))
        if trial.status != "RUNNING":
            return {"wait" if trial.status == "IDLE" else "over": True}
        values = trial.hyperparameters.values
        self.trials[number] = trial
        found = {
            "values": _space.chosen(
                self.space, lambda one: _plain(_space.decoded(one, values[one.name]))
            )
        }
        if "tuner/epochs" in values:
            found["epochs"] = int(values["tuner/epochs"])
        if "tuner/trial_id" in values:
            earlier = values["tuner/trial_id"]
            found["after"] = next(n for n, one in self.trials.items() if one.trial_id == earlier)
        return found

    def tell(self, number: int, score: float | None) -> dict[str, Any]:
        """Take note of the end of a trial, which failed where it has no score."""
        trial = self.trials[number]
        trial.status = "FAILED" if score is None else "COMPLETED"
        if score is not None:
            self.oracle.update_trial(trial.trial_id, {self.objective: score})
        self.oracle.end_trial(trial)
        return {}


def _plain(value: Any) -> Any:
    """Return a number of NumPy as one of Python."""
    return value.item() if hasattr(value, "item") else value


if __name__ == "__main__":
    main()
