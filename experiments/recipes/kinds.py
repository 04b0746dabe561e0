"""The kinds of rows: what each may say, what runs it, and what it needs to be there. No Keras.

A new kind is a schema, a runner and a line in `KINDS`.
"""

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

from experiments.recipes.ensembles import Experts, Joint, Stack, Vote
from experiments.recipes.gan import Gan
from experiments.recipes.schemas import Row, Train
from experiments.recipes.sweep import Sweep


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of row. Functions are named `module:function`, so that recipes load no Keras."""

    schema: type[Row]
    about: str
    """What its command does, a sentence without its end."""
    example: str
    run: str
    """(row, folder, place, listener) -> metrics: makes the run, begun again it goes on."""
    work: str
    """(row, rows, size): `experiments.cost.Work` that the run takes."""
    check: str | None = None
    """(row, rows, place): raises ValueError for what does not fit, `rows` by needed name among
    it; no result is read, no Keras imported."""
    needs: tuple[str, ...] = ()
    """Fields that name rows of the same paper, or folders, whose runs must be finished."""
    prepare: str | None = None
    """(row, folder, place, listener): what must be made before its parts can be told."""
    parts: str | None = None
    """(row, folder, place) -> [(row, folder)]: rows to run first, in folders of the run's own."""
    search: str | None = None
    """(step, place, room, listener) -> `experiments.progress.Course`: jobs of which each follows
    from how those before it ended; they run in processes of their own, `room` at once."""
    has_model: bool = True
    """Whether it has a classifier of its own."""
    has_history: bool = True
    network: bool = False
    """Whether it is one network, which can be attacked, and be fitted weights to."""
    images: str | None = None
    """(run, labels, seed=) -> uint8 images (n, h, w, c): what its runs make, where these are
    generators and no classifiers: no accuracy is theirs."""


KINDS = {
    "train": Kind(
        schema=Train,
        about="Train one network",
        example="alphanet/alphanet_v4 --data-dir ~/data --set epochs=2",
        run="experiments.training.train:run",
        check="experiments.training.check:check",
        work="experiments.cost:of_training",
        needs=("distill.teacher", "generated.run"),
        network=True,
    ),
    "stack": Kind(
        schema=Stack,
        about="Freeze finished runs and train a dense head on their outputs",
        example="alphanet/alphastack --data-dir ~/data",
        run="experiments.ensembles.stack:run",
        check="experiments.ensembles.members:check",
        work="experiments.cost:of_stack",
        needs=("members",),
        parts="experiments.ensembles.parts:folds",
    ),
    "vote": Kind(
        schema=Vote,
        about="Let finished runs vote",
        example="laptop/mode --data-dir ~/data",
        run="experiments.ensembles.vote:run",
        check="experiments.ensembles.members:check",
        work="experiments.cost:of_vote",
        needs=("members",),
        has_model=False,
        has_history=False,
    ),
    "experts": Kind(
        schema=Experts,
        about="Attack a finished run, train experts for its classes on that, let them vote",
        example="laptop/experts --data-dir ~/data",
        run="experiments.ensembles.experts:run",
        check="experiments.ensembles.members:check_clean",
        work="experiments.cost:of_experts",
        needs=("member",),
        prepare="experiments.ensembles.experts:prepare",
        parts="experiments.ensembles.parts:experts",
        has_model=False,
        has_history=False,
    ),
    "joint": Kind(
        schema=Joint,
        about="Train networks together whose weights follow their correctness (a warning)",
        example="laptop/joint --data-dir ~/data",
        run="experiments.ensembles.joint:run",
        check="experiments.ensembles.members:check_alone",
        work="experiments.cost:of_joint",
    ),
    "sweep": Kind(
        schema=Sweep,
        about="Search for the best values of a row's fields, a process for each trial",
        example="sweeps/quick --workers 2",
        run="experiments.sweeps.trial:run",
        check="experiments.sweeps.check:check",
        work="experiments.cost:of_sweep",
        search="experiments.sweeps.search:Search",
        has_model=False,
        has_history=False,
    ),
    "gan": Kind(
        schema=Gan,
        about="Train a generator of images against a discriminator",
        example="generators/mnist_small --data-dir ~/data",
        run="experiments.generate.gan:run",
        check="experiments.generate.sizes:check",
        work="experiments.cost:of_gan",
        images="experiments.generate.gan:images",
        has_model=False,
    ),
}


def function(name: str) -> Callable:
    """Return the function that a kind names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def needed(row: Row) -> list[str]:
    """Return the names of rows or folders that a row needs, in order."""
    found = []
    for field in KINDS[row.kind].needs:
        value = _value(row, field)
        found += [value] if isinstance(value, str) else list(value or ())
    return found


def with_needed(row: Row, names: list[str]) -> Row:
    """Return the row with other runs in the place of those that it needs, in their order."""
    fields = [field for field in KINDS[row.kind].needs if _value(row, field) is not None]
    lists = [field for field in fields if isinstance(_value(row, field), list)]
    if not lists and len(names) != len(needed(row)):
        raise ValueError(f"{row.recipe} needs {len(needed(row))} finished runs, not {len(names)}")
    changes: dict[str, Any] = {}
    for place, field in enumerate(fields):
        top, _, inner = field.partition(".")
        value = names if field in lists else names[place]
        changes[top] = getattr(row, top).model_copy(update={inner: value}) if inner else value
    return row.model_copy(update=changes)


def _value(row: Row, field: str) -> Any:
    """Return the value of a field with dots; None where a part on the way is not given."""
    value: Any = row
    for part in field.split("."):
        value = getattr(value, part) if value is not None else None
    return value
