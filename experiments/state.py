"""What a run needs to go on exactly where it was cut off, and the run's folder.

Shuffling, augmentation and the order of batches are functions of (seed, epoch), so the state is:
every variable of the model (seed generators included, which Keras' own files leave out), every
variable of the optimizer, the callbacks' counters and the history.
"""

import contextlib
import csv
import dataclasses
import fcntl
import io
import json
import os
import pathlib
import shutil
from collections.abc import Iterator

import numpy as np

from experiments import recipe
from experiments._files import atomic, write_text
from experiments.rows import Row


@dataclasses.dataclass
class Patience:
    """Counts epochs without a better value: the clock of early stopping and of plateaus.

    A value is better when it passes the best so far by more than `delta`, upwards, or downwards
    for a monitor that is a loss.
    """

    monitor: str
    patience: int
    delta: float = 0.0
    best: float | None = None
    wait: int = 0

    def exhausted(self, value: float) -> bool:
        """Take one epoch's value; True after `patience` epochs in a row without a better one."""
        if self.best is None or self._gain(value) > self.delta:
            self.best, self.wait = value, 0
            return False
        self.wait += 1
        return self.wait >= self.patience

    def _gain(self, value: float) -> float:
        return self.best - value if self.monitor.endswith("loss") else value - self.best


@dataclasses.dataclass
class Progress:
    """The part of a run's state that is not weights. `epoch` is the number of finished epochs."""

    epoch: int = 0
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    best_epoch: int = 0
    stopped: bool = False
    early_stop: dict | None = None
    plateau: dict | None = None


class Checkpoint:
    """The folder `state/` of a run: the last epoch whole, and the weights of the best one."""

    def __init__(self, folder: pathlib.Path):
        self.folder = pathlib.Path(folder)
        self.last = self.folder / "last.npz"

    def best(self, epoch: int) -> pathlib.Path:
        """File with the model's variables after the given epoch, the best so far."""
        return self.folder / f"best-{epoch:04d}.npz"

    def save(self, progress: Progress, model, optimizer) -> None:
        """Write the state after an epoch; a cut at any moment leaves the one before whole."""
        if progress.best_epoch == progress.epoch:
            with atomic(self.best(progress.epoch)) as part:
                np.savez(part, **_arrays("model", model.variables))
        with atomic(self.last) as part:
            np.savez(
                part,
                progress=np.frombuffer(json.dumps(dataclasses.asdict(progress)).encode(), np.uint8),
                **_arrays("model", model.variables),
                **_arrays("optimizer", optimizer.variables),
            )
        for old in self.folder.glob("best-*.npz"):
            if old != self.best(progress.best_epoch):
                old.unlink()

    def restore(self, model, optimizer) -> Progress:
        """Load the last state into model and (built) optimizer; a fresh `Progress` without one."""
        if not self.last.exists():
            return Progress()
        with np.load(self.last, allow_pickle=False) as state:
            _assign("model", model.variables, state, self.last)
            _assign("optimizer", optimizer.variables, state, self.last)
            return Progress(**json.loads(state["progress"].tobytes()))

    def restore_best(self, progress: Progress, model) -> None:
        """Load the weights of the best epoch into the model."""
        path = self.best(progress.best_epoch)
        with np.load(path, allow_pickle=False) as state:
            _assign("model", model.variables, state, path)

    def clear(self) -> None:
        """Remove the folder: the run is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _arrays(owner: str, variables: list) -> dict[str, np.ndarray]:
    return {f"{owner}/{i}/{v.path}": np.asarray(v.numpy()) for i, v in enumerate(variables)}


def _assign(owner: str, variables: list, state, path: pathlib.Path) -> None:
    stored = [key for key in state.files if key.startswith(f"{owner}/")]
    if len(stored) != len(variables):
        raise ValueError(
            f"{path} holds {len(stored)} variables of the {owner}, this recipe's has "
            f"{len(variables)}: it belongs to another recipe or Keras version; use a new --run-dir"
        )
    by_place = {int(key.split("/")[1]): key for key in stored}
    for place, variable in enumerate(variables):
        value = state[by_place[place]]
        if value.shape != tuple(variable.shape):
            raise ValueError(
                f"{path}: {by_place[place]} has shape {value.shape}, this recipe's variable "
                f"{tuple(variable.shape)}: it belongs to another recipe; use a new --run-dir"
            )
        variable.assign(value)


@contextlib.contextmanager
def run_folder(folder: pathlib.Path, row: Row) -> Iterator[bool]:
    """Hold a run's folder for this process alone; yields True when the run is finished already.

    Raises `ValueError` when another process holds it, or when it was begun by another recipe.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"{folder} is in use by another run; wait for it, or choose another --run-dir"
            ) from None
        begun = folder / "recipe.yaml"
        if begun.exists():
            changed = recipe.differences(recipe.load(str(begun)), row)
            if changed:
                raise ValueError(
                    f"{folder} was begun with another recipe ({'; '.join(changed)}); "
                    "choose another --run-dir, or remove that folder"
                )
        else:
            write_text(begun, recipe.dump(row))
        yield (folder / "metrics.json").exists()


def write_history(path: pathlib.Path, history: list[dict[str, float]]) -> None:
    """Write history.csv: one line an epoch, accuracies in percent, times in seconds."""
    text = io.StringIO()
    if history:
        writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator=os.linesep)
        writer.writeheader()
        writer.writerows(
            {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()}
            for row in history
        )
    write_text(path, text.getvalue())
