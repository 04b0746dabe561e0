"""Adversarial images of a finished run, kept as a data set to train and to measure on.

What a set holds says `experiments.training.adversarial`, how it is made
`experiments.training.attack`.
"""

import dataclasses
import pathlib
from typing import Any

from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.recipes import Attack
from experiments.runs import Run
from experiments.training.attack import check_target, make


@dataclasses.dataclass(frozen=True)
class Attacked:
    """A set of adversarial images; `content` says what it depends on, and accuracies in percent."""

    folder: pathlib.Path
    content: dict[str, Any]


def attack(
    run: Run, out: pathlib.Path, spec: Attack, place: Place, listener: Listener = SILENT
) -> Attacked:
    """Attack a finished run on its data and keep the images in the folder `out`.

    Raises `ValueError`, before Keras is imported and images are decoded, for a run without a
    model, for data that is not there and for a folder that holds something else.
    """
    _ = run.model_file
    place.check(run.row.data)
    check_target(out)
    place.load_backend()
    data = place.dataset(run.row.data, listener)
    return Attacked(pathlib.Path(out), make(run, out, spec, data, listener))
