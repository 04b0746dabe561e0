"""What a run needs to go on exactly where it was cut off.

Shuffling, augmentation and the order of batches are functions of (seed, epoch), so the state is:
every variable of the model (seed generators included, which Keras' own files leave out), every
variable of the optimizer, and the callbacks' states by name.
"""

import collections
import contextlib
import json
import pathlib
import re
import zipfile
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from experiments._files import atomic
from experiments.training.callbacks import Saved


class Checkpoint:
    """The folder `state/` of a run: the last epoch whole, and the weights of the best one."""

    def __init__(self, folder: pathlib.Path):
        self.folder = pathlib.Path(folder)
        self.last = self.folder / "last.npz"

    def best(self, epoch: int) -> pathlib.Path:
        """File with the model's variables after the given epoch, the best so far."""
        return self.folder / f"best-{epoch:04d}.npz"

    def save(
        self,
        model: Any,
        callbacks: Sequence[Saved],
        epoch: int,
        best: int,
        kept: contextlib.AbstractContextManager | None = None,
    ) -> None:
        """Write the state after an epoch; a cut at any moment leaves the one before whole.

        Within `kept`, the model has the weights that are kept where it is the best epoch.
        """
        if best == epoch:
            with kept or contextlib.nullcontext(), atomic(self.best(epoch)) as part:
                np.savez(part, **_arrays("model", model.variables))
        states = {callback.name: callback.state() for callback in callbacks}
        with atomic(self.last) as part:
            np.savez(
                part,
                callbacks=np.frombuffer(json.dumps(states).encode(), np.uint8),
                **_arrays("model", model.variables),
                **_arrays("optimizer", model.optimizer.variables),
            )
        for old in self.folder.glob("best-*.npz"):
            if old != self.best(best):
                old.unlink()

    def restore(self, model: Any, callbacks: Sequence[Saved]) -> None:
        """Load the last state, if there is one, into a model with a built optimizer."""
        if not self.last.exists():
            return
        state = self._read(self.last)
        if "callbacks" not in state:
            raise ValueError(
                f"{self.last} was written by an earlier version, which kept its state otherwise: "
                f"remove {self.folder} to begin this run anew, or finish it with that version"
            )
        states = json.loads(state["callbacks"].tobytes())
        if unknown := [callback.name for callback in callbacks if callback.name not in states]:
            raise ValueError(
                f"{self.last} was written by a version without {', '.join(unknown)}: remove "
                f"{self.folder} to begin this run anew, or finish it with that version"
            )
        _assign("model", model.variables, state, self.last)
        _assign("optimizer", model.optimizer.variables, state, self.last)
        for callback in callbacks:
            callback.restore(states[callback.name])

    def restore_best(self, model: Any, epoch: int) -> None:
        """Load the weights of the best epoch into the model."""
        path = self.best(epoch)
        _assign("model", model.variables, self._read(path), path)

    def _read(self, path: pathlib.Path) -> dict[str, np.ndarray]:
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as state:
                return {key: state[key] for key in state.files}
        # What numpy and zipfile raise on a cut file.
        except (zipfile.BadZipFile, EOFError, OSError, KeyError, ValueError) as error:
            raise ValueError(
                f"{path} is damaged or cut off ({error}): remove {self.folder} to begin this run "
                "anew, or put a whole copy of it back"
            ) from error


def _arrays(owner: str, variables: list) -> dict[str, np.ndarray]:
    return {f"{owner}/{i}/{v.path}": np.asarray(v.numpy()) for i, v in enumerate(variables)}


def _assign(owner: str, variables: list, state: dict, path: pathlib.Path) -> None:
    stored = [key for key in state if key.startswith(f"{owner}/")]
    if len(stored) != len(variables):
        raise ValueError(
            f"{path} holds {len(stored)} variables of the {owner}, this recipe's has "
            f"{len(variables)}: it belongs to another recipe or Keras version; use a new --run-dir"
        )
    stored.sort(key=lambda key: int(key.split("/")[1]))
    by_name = dict(zip(_told_apart(key.split("/", 2)[2] for key in stored), stored, strict=True))
    names = _told_apart(variable.path for variable in variables)
    for name, variable in zip(names, variables, strict=True):
        if name not in by_name:
            raise ValueError(
                f"{path} has no {variable.path}: it belongs to another recipe or Keras version; "
                "use a new --run-dir"
            )
        value = state[by_name[name]]
        if value.shape != tuple(variable.shape):
            raise ValueError(
                f"{path}: {by_name[name]} has shape {value.shape}, this recipe's variable "
                f"{tuple(variable.shape)}: it belongs to another recipe; use a new --run-dir"
            )
        variable.assign(value)


def _told_apart(paths: Iterable[str]) -> list[tuple[str, int]]:
    """Return each path without Keras' counters, and how many like it come before.

    Keras counts unnamed layers up from model to model, and orders the variables of a network built
    at another size otherwise: neither the path alone says which is which, nor the place.
    """
    seen, found = collections.Counter(), []
    for path in paths:
        name = re.sub(r"_\d+(?=[/_]|$)", "", path)
        found.append((name, seen[name]))
        seen[name] += 1
    return found
