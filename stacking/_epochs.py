"""What Keras' `fit` is given: batches in our own order, and a history in our own units."""

import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from stacking._progress import Progress

TOP = (1, 3, 5)
SCORES = ("loss", *(f"top{k}" for k in TOP))


class Feed(keras.utils.PyDataset):
    """The batches of all epochs in a row; batch i is a function of (seed, i), nothing is reset.

    Keras on TensorFlow repeats one order under a seed when it shuffles arrays itself.
    """

    num_batches = None  # endless: the caller counts steps, and no epoch waits for a new iterator

    def __init__(
        self,
        read: Callable[[np.ndarray, int], Any],
        labels: np.ndarray,
        batch_size: int,
        seed: int,
    ):
        super().__init__()
        self.read, self.labels, self.batch_size, self.seed = read, labels, batch_size, seed
        self.steps = -(-len(labels) // batch_size)
        self._epoch, self._order = -1, np.empty(0, int)

    def __getitem__(self, index: int) -> tuple[Any, np.ndarray]:
        epoch, step = divmod(index, self.steps)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, order(len(self.labels), self.seed, epoch)
        rows = self._order[step * self.batch_size : (step + 1) * self.batch_size]
        return self.read(rows, epoch), self.labels[rows]


def order(n: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order of n images in an epoch."""
    return np.random.default_rng((seed, epoch)).permutation(n)


class NotFinite(ValueError):
    """A loss is NaN or infinite: no further step can mend the head."""


class Record(keras.callbacks.Callback):
    """Writes the history, tells each line, and holds the weights of the best epoch.

    It must be the first callback, so that it sees the learning rate that the epoch had. Raises
    `NotFinite` in the step in which the loss is lost.
    """

    def __init__(self, head: keras.Model, images: int, passes: list[float], tell: Progress):
        super().__init__()
        self.head, self.images, self.passes, self.tell = head, images, passes, tell
        self.history: list[dict[str, float]] = []
        self.best: list[np.ndarray] | None = None
        self._reached = -1.0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Start the clock."""
        self._began, self._epoch = time.perf_counter(), epoch

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Look at the loss, the mean of the epoch so far."""
        self._check("loss", logs["loss"], f"step {batch + 1} of epoch {self._epoch + 1}")

    def _check(self, name: str, loss: float, where: str) -> None:
        if not math.isfinite(loss):
            raise NotFinite(
                f"{name} is {loss} in {where}: lower the learning rate, or check the members'"
                " outputs (member_outputs) for huge values; the head has its first weights again"
            )

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Add the epoch's line."""
        seconds = time.perf_counter() - self._began
        self._check("val_loss", logs.get("val_loss", 0.0), f"epoch {epoch + 1}")
        scores = {
            name: float(logs[name]) * (1 if name.endswith("loss") else 100)
            for name in (*SCORES, *(f"val_{score}" for score in SCORES))
            if name in logs
        }
        times = {
            "lr": float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
            "seconds": seconds,
            "images_per_second": self.images / seconds,
            "members_seconds": self.passes[epoch] if epoch < len(self.passes) else 0.0,
        }
        self.history.append({"epoch": epoch + 1} | scores | times)
        if scores.get("val_top1", -1.0) > self._reached:
            self._reached, self.best = scores["val_top1"], self.head.get_weights()
        shown = [f"{k} {scores[k]:.4g}" for k in ("loss", "top1", "val_top1") if k in scores]
        text = f"epoch {epoch + 1}: {', '.join(shown)}, {seconds:.2f} s"
        self.tell(text, epoch + 1, self.params["epochs"])
