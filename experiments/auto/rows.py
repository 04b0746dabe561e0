"""A choice as rows of a recipe, and as files that people read, edit and run."""

import math
import pathlib
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from experiments import recipes
from experiments.auto.choose import HOLDOUT, Chosen, Known, batch
from experiments.auto.ways import MIRRORS, Way
from experiments.recipes import Row

_STACK = "stack"
_WIDTH = 96  # characters of a comment
# As in `laptop/stack`: it begins as the members' mean, and more epochs did worse there.
_HEAD = {"tap": "logits", "head": [], "optimizer": {"name": "adam", "learning_rate": 0.001}}
_HEAD |= {"batch_size": 64, "epochs": 3}
# Hours are counted to so many digits: a recipe is read.
_DIGITS = 4


def rows(
    chosen: Sequence[Chosen],
    known: Known,
    name: str,
    data: Mapping[str, Any],
    *,
    seed: int,
    hours: float,
) -> list[Row]:
    """Return the rows of a choice, named NAME/WAY; several, and then the stack of them.

    `data` says how the pictures are read, `hours` is what all may take at most: each network its
    share, and twice what its epochs are thought to take where that is more.
    """
    color = any(one.way.pretrained for one in chosen) or not known.gray
    images = {**data, "size": chosen[0].side, "channels": 3 if color else 1}
    share = {"share": {"holdout": HOLDOUT}} if len(chosen) > 1 else {}
    found = [
        _validated(
            {
                "recipe": f"{name}/{one.name}",
                "title": one.way.about,
                "data": images,
                "model": dict(one.way.model),
                "augment": _augment(one.way, known),
                "batch_size": batch(one.way, known),
                **_epochs(one, known, share),
                "max_hours": round(max(hours / len(chosen), one.seconds / 1800), _DIGITS),
                "keep": "last",
                "seed": seed + place,
                **({"balance": "weights"} if known.uneven else {}),
                **_scaled(one.way, known),
                **share,
            }
        )
        for place, one in enumerate(chosen)
    ]
    if len(chosen) > 1:
        members = [one.name for one in chosen]
        content = {"recipe": f"{name}/{_STACK}", "kind": "stack", "data": images}
        content |= {"title": "All of them together", "members": members, "seed": seed}
        found.append(_validated(content | _HEAD | {"keep": "last"}))
    return found


def write(row: Row, why: Sequence[str], folder: pathlib.Path, command: str) -> pathlib.Path:
    """Write a row with the reasons for it, and the command that runs it; return the file."""
    from experiments._files import write_text

    path = folder / f"{row.name}.yaml"
    text = [*why, "", "Change it, and run it into another folder:", ""]
    lines = [line for part in text for line in textwrap.wrap(part, _WIDTH) or [""]]
    comment = "".join(f"# {line}".rstrip() + "\n" for line in lines)
    write_text(path, f"{comment}#   {command}\n{recipes.dump(row)}")
    return path


def _epochs(one: Chosen, known: Known, share: Mapping[str, Any]) -> dict[str, int]:
    """Return whole epochs, and where the last one is not to be whole the steps of all."""
    epochs = math.ceil(one.epochs)
    if epochs == one.epochs:
        return {"epochs": epochs}
    images = known.train * (1 - (HOLDOUT if share else 0))
    steps = math.ceil(images / batch(one.way, known))
    return {"epochs": epochs, "max_steps": max(1, round(one.epochs * steps))}


def _validated(content: Mapping[str, Any]) -> Row:
    return recipes.parse(content, str(content["recipe"]))


def _augment(way: Way, known: Known) -> dict[str, Any]:
    left_out = MIRRORS if known.gray else ()
    return {key: value for key, value in way.augment.items() if key not in left_out}


def _scaled(way: Way, known: Known) -> dict[str, Any]:
    """Return how a way is fitted, with the rate of learning for its batch."""
    optimizer = dict(way.fitted["optimizer"])
    factor = (batch(way, known) / way.batch) ** way.scaling
    optimizer["learning_rate"] = float(f"{optimizer['learning_rate'] * factor:.3g}")
    return {**way.fitted, "optimizer": optimizer}
