"""The objective of a study of Optuna's: a trial is a run folder, made by a process of its own."""

import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from experiments import recipes
from experiments.executor import LOOK, Spawned
from experiments.place import Place
from experiments.plan import Job
from experiments.recipes import Sweep
from experiments.recipes.fitting import known_monitor
from experiments.runs import Run, history
from experiments.runs.names import HISTORY
from experiments.sweeps.check import check
from experiments.sweeps.journal import Trial
from experiments.sweeps.trial import folder_of, row_of, score
from zoo._space import Dimension, chosen


def objective(
    row: str,
    space: Mapping[str, Any],
    *,
    folder: pathlib.Path | str,
    objective: str = "val_top1",
    epochs: int | None = None,
    deadline: float | None = None,
    place: Place | None = None,
) -> Callable[[Any], float]:
    """Return what `optuna.Study.optimize` takes: trains `row` with what a trial suggests.

        study = optuna.create_study(direction="maximize")
        study.optimize(objective("laptop/alphanet", {"batch_size": [32, 64]}, folder="runs/o"), 20)

    `row` and `space` are those of a row of kind sweep, `folder` is that of the trials' run folders;
    of a trial that was cut off, or is suggested again under its number, what is there is taken up.
    After each epoch the trial hears the `objective`, a column of the history, and may be pruned.
    Raises `ValueError` for a space that does not fit the row, at once; the objective raises
    `RuntimeError` for a training that failed or took more than `deadline` seconds.
    """
    place, folder = place or Place(), pathlib.Path(folder)
    base = recipes.load(row)
    sweep = Sweep(
        kind="sweep",
        recipe=f"{base.recipe}_optuna",
        data=base.data,
        of=row,
        space=dict(space),
        trials=1,
        epochs=epochs,
        objective=known_monitor(objective),
    )
    check(sweep, {}, place)
    dimensions = sweep.dimensions

    def run(trial: Any) -> float:
        """Train with the values that the trial suggests; return the objective."""
        values = chosen(dimensions, lambda one: _suggested(trial, one))
        own = Trial(trial.number + 1, values)
        where = folder_of(folder, own.number)
        job = Job(row_of(sweep, folder, own), where, place, deadline=deadline)
        if not Run(where).finished:
            _carry_out(job, trial, sweep.objective)
        return score(sweep, Run(where))

    return run


def _suggested(trial: Any, one: Dimension) -> Any:
    """Return what a trial of Optuna's suggests for a dimension."""
    if one.choices is not None:
        # By their places: Optuna keeps no lists and mappings.
        return one.choices[trial.suggest_categorical(one.name, list(range(len(one.choices))))]
    if one.logarithmic and one.step is not None:
        raise ValueError(f"space.{one.name}: Optuna has no steps on a logarithmic scale")
    if one.whole:
        step = one.step or 1
        return trial.suggest_int(one.name, one.low, one.high, step=step, log=one.logarithmic)
    return trial.suggest_float(one.name, one.low, one.high, step=one.step, log=one.logarithmic)


def _carry_out(job: Job, trial: Any, objective: str) -> None:
    """Run a job in a process, and tell the trial of its epochs."""
    hands, told = Spawned(1), 0
    try:
        hands.submit(job)
        while (done := hands.look()) is None:
            told = _report(job.folder, trial, objective, told)
            time.sleep(LOOK)
        if done.error:
            raise RuntimeError(f"trial {trial.number}: {done.error}")
        _report(job.folder, trial, objective, told)
    finally:
        hands.close()


def _report(folder: pathlib.Path, trial: Any, objective: str, told: int) -> int:
    """Tell the trial of epochs that it has not heard of; raises where it is to be pruned."""
    file = folder / HISTORY
    if not file.is_file():
        return told
    column = history.read(file).get(objective, ())
    for epoch in range(told, len(column)):
        trial.report(float(column[epoch]), epoch + 1)
    if len(column) > told and trial.should_prune():
        import optuna

        raise optuna.TrialPruned(f"after {len(column)} epochs: {column[-1]:.4g}")
    return len(column)
