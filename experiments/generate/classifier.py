"""What a classifier learns from generated images alone, tested on real ones.

It is trained as a row of a recipe says, once on generated images and once on the real ones that the
generator learned from, as many of each class. Source of the measure: Ravuri and Vinyals,
"Classification accuracy score for conditional generative models", NeurIPS 2019.
"""

import pathlib
from typing import Any

from experiments import recipes
from experiments.datasets import Dataset
from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.recipes import Train
from experiments.recipes.generated import Generated
from experiments.runs import Run
from experiments.training import part, train
from experiments.training.generated import check_conditional

GENERATED, REAL = "generated", "real"


def find(recipe: str, run: Run) -> Train:
    """Return the row that a classifier is trained by; ValueError for one that trains no network.

    Also for a generator that knows no classes, and what the row cannot have besides.
    """
    check_conditional(run.row, str(run))
    row = recipes.load(recipe)
    if not isinstance(row, Train):
        raise ValueError(
            f"classifier (--classifier) {recipe} is of kind {row.kind}: give a row of kind train"
        )
    if given := [name for name in ("distill", "adversarial", "sizes") if getattr(row, name)]:
        raise ValueError(
            f"classifier (--classifier) {recipe} has {', '.join(given)}: a classifier learns from "
            "labels alone here; give a plain row"
        )
    return row


def rows(row: Train, run: Run, per_class: int, seed: int) -> dict[str, Train]:
    """Return the rows of both trainings, by what they learn from; all else they have in common."""
    own = {"data": run.row.data, "share": run.row.share, "expect": None, "generated": None}
    made = Generated(run=str(run.path.resolve()), per_class=per_class, seed=seed, only=True)
    found = {GENERATED: own | {"generated": made}, REAL: own}
    return {
        name: row.model_copy(
            update=fields | {"recipe": f"{row.recipe}_{name}", "title": f"On {name} images"}
        )
        for name, fields in found.items()
    }


def scores(
    row: Train,
    run: Run,
    data: Dataset,
    folder: pathlib.Path,
    place: Place,
    *,
    seed: int = 0,
    listener: Listener = SILENT,
) -> dict[str, dict[str, Any]]:
    """Train both, in folders below `folder`; return their metrics and how many images each saw.

    Finished ones are not repeated, and ones that were cut off go on.
    """
    count = len(part.seen(data, run.row.share).train)
    per_class = max(1, round(count / len(data.class_names)))
    found = {}
    for name, one in rows(row, run, per_class, seed).items():
        listener.heading(f"A classifier on {name} images")
        metrics = train.run(one, folder / name, place, listener)
        found[name] = metrics | {"train": Run(folder / name).dataset["train"]}
    return found
