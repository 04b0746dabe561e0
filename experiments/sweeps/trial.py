"""Trials: their rows, their scores; and what a sweep's own run says of them in the end."""

import math
import pathlib
import shutil

from experiments import recipes
from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.recipes import Row, Sweep
from experiments.runs import Run, making, metrics, names, trials
from experiments.sweeps.journal import Trial


def folder_of(folder: pathlib.Path, number: int) -> pathlib.Path:
    """Return the folder of a trial's run; trials count from 1."""
    return folder / names.TRIALS / f"{number:03}"


def row_of(row: Sweep, folder: pathlib.Path, trial: Trial) -> Row:
    """Return the row of a trial; ValueError for values that do not fit each other."""
    epochs = {} if trial.epochs is None else {"epochs": trial.epochs}
    goes_on = {"keep_state": True} if row.search == "hyperband" else {}
    if trial.after is not None:
        goes_on["goes_on_from"] = str(folder_of(folder, trial.after).resolve())
    own = {
        "recipe": f"{row.recipe}_{trial.number:03}",
        "title": f"Trial {trial.number}",
        "note": "",
        "expect": None,
    }
    return recipes.swept(row, trial.values | epochs).model_copy(update=own | goes_on)


def retrained(row: Sweep, best: Trial) -> Row:
    """Return the row that trains the best values once more, as `retrain` says."""
    own = {
        "recipe": f"{row.recipe}_retrained",
        "title": f"The values of trial {best.number}, trained anew",
        "note": "",
        "expect": None,
    }
    return recipes.swept(row, best.values | row.retrain).model_copy(update=own)


def score(row: Sweep, run: Run) -> float:
    """Return a finished trial's value of the objective; ValueError where it is no number."""
    column = run.history.get(row.objective)
    if column is None:
        raise ValueError(f"{run} has no {row.objective}; it has {', '.join(run.history)}")
    known = column if run.row.keep == "best" else column[-1:]
    if not any(map(math.isfinite, known)):
        raise ValueError(f"{row.objective} is {known[-1]}")
    return float(min(known) if row.falls else max(known))


def seconds(run: Run, before: int) -> float:
    """Return the time of a run's own epochs, those after the first `before`."""
    return float(run.history["seconds"][before:].sum())


def run(row: Sweep, folder: pathlib.Path, place: Place, listener: Listener = SILENT) -> dict:
    """Write what a sweep found, whose trials have ended; return the run's metrics.

    The scores are the best trial's, seconds those of all. Raises `ValueError` where none ended
    well.
    """
    told = trials.read(folder / names.TRIALS_TABLE)
    best = trials.best(told, row.falls)
    if best is None:
        sweep = f"python -m experiments sweep {row.recipe}"
        raise ValueError(f"{folder}: no trial has ended well; begin again: {sweep}")
    found = Run(folder_of(folder, best.trial))
    anew = Run(folder / names.RETRAINED)
    data = place.dataset(row.data, listener)
    found.check_data(data)
    with making(folder, row, data) as made:
        if made.finished:
            return made.metrics
        made.copy_outputs(found)
        scores = {key: found.metrics[key] for key in ("top1", "top3", "top5", "loss")}
        cost = {
            **{key: found.metrics[key] for key in ("parameters", "macs", "epochs")},
            "seconds": sum(one.seconds or 0 for one in told),
        }
        said = {
            "objective": row.objective,
            "best": best.trial,
            "score": best.score,
            "values": best.values,
            "run": str(found.path),
            "trials": len(told),
            "failed": sum(one.status == "failed" for one in told),
            **({"retrained": _retrained(anew)} if row.retrain is not None else {}),
        }
        built = metrics.build(row, found.dataset, scores, cost, sweep=said)
        made_of = {"model": found.metrics["model"]}
        done = made.finish(built | made_of)
    for one in told:  # no trial goes on any more
        shutil.rmtree(Run(folder_of(folder, one.trial)).state, ignore_errors=True)
    return done


def _retrained(anew: Run) -> dict:
    kept = ("top1", "top3", "top5", "loss", "epochs", "seconds")
    return {"run": str(anew.path)} | {key: anew.metrics[key] for key in kept}
