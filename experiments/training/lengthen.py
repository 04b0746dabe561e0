"""A run that goes on where a shorter one of the same row ended."""

import shutil

from experiments import recipes
from experiments._files import atomic_folder
from experiments.recipes import Train
from experiments.recipes.lengthened import by_the_end
from experiments.runs import Run, check_backend
from experiments.training.checkpoint import Checkpoint

# Fields in which the two may differ.
_OWN = {"recipe", "title", "note", "expect", "epochs", "goes_on_from", "keep_state"}


def take_over(row: Train, made: Run) -> None:
    """Give a run the state of the shorter one that it goes on from, unless it has one already.

    Raises `ValueError` for one that is not finished, kept no state, is none of the same training,
    or none of the same images or backend; and where more epochs change the first ones too.
    """
    if row.goes_on_from is None or Checkpoint(made.state).last.exists():
        return
    shorter = Run(row.goes_on_from)
    _ = shorter.metrics  # says how to make it
    told = f"{row.recipe} cannot go on from {shorter}"
    if not Checkpoint(shorter.state).last.exists():
        raise ValueError(f"{told}, which kept no state: run that with keep_state: true")
    changed = recipes.differences(shorter.row, row)
    changed = [one for one in changed if one.partition(":")[0].partition(".")[0] not in _OWN]
    if changed or shorter.row.epochs > row.epochs:
        less = f"epochs: {shorter.row.epochs} -> {row.epochs}"
        raise ValueError(f"{told}, which is another training: {'; '.join(changed) or less}")
    if bound := by_the_end(row):
        raise ValueError(f"{told}: {', '.join(bound)} depends on the number of epochs")
    check_backend(shorter, made.environment["backend"])
    made.check_same(shorter.dataset, str(shorter))
    made.note(precision=shorter.environment["precision"])
    with atomic_folder(made.state) as part:
        shutil.copytree(shorter.state, part, dirs_exist_ok=True)
