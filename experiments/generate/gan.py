"""Train a generator and a discriminator as a row says, and ask a finished generator for images."""

import functools
import pathlib
import time

import keras
import numpy as np

import zoo
from experiments.datasets import Dataset
from experiments.generate.training import Pair, epoch, steps
from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.recipes.gan import Gan
from experiments.runs import Run, making, metrics, outputs
from experiments.training.callbacks import Stopwatch
from experiments.training.checkpoint import Checkpoint
from experiments.training.part import seen

BATCH = 256  # images in a call of a finished generator: always, so that an image is always the same
SHOWN = 64  # images of a sheet of an unconditional generator
ROWS = 10  # at most of a sheet of a conditional one, a class each
EACH = 8  # images of a class on a sheet
BETWEEN = 10  # images of a strip from one latent point to another


def run(row: Gan, folder: pathlib.Path, place: Place, listener: Listener = SILENT) -> dict:
    """Train a row's generator where its data lies; return the run's metrics.

    An unfinished run goes on from its last whole epoch and ends as an unbroken one.
    """
    wall, part = Stopwatch(), seen(place.dataset(row.data, listener), row.share)
    return train(row, folder, part, listener=listener, wall=wall)


def train(
    row: Gan,
    folder: pathlib.Path,
    data: Dataset,
    *,
    listener: Listener = SILENT,
    wall: Stopwatch | None = None,
) -> dict:
    """Train on a data set's training images, and return the metrics; see `run`."""
    wall, batches = wall or Stopwatch(), steps(row, data)
    with making(folder, row, data) as made:
        if made.finished:
            return made.metrics
        pair, history = Pair(row, data), _History()
        checkpoint = Checkpoint(made.state)
        checkpoint.restore(pair, [history, wall])
        sheets = _Sheets(row, made, len(history.lines), pair.classes)
        for number in range(len(history.lines), row.epochs):
            began = time.perf_counter()
            losses = []
            for place, (images, labels) in enumerate(epoch(row, data, number)):
                losses.append(pair.step(number * batches + place, images, labels))
                listener.progress(f"epoch {number + 1} of {row.epochs}", place + 1, batches)
            history.add(losses, time.perf_counter() - began, batches * row.batch_size)
            if (number + 1) % row.sheet_every == 0 or number + 1 == row.epochs:
                sheets.add(number + 1, pair.averaged())
            checkpoint.save(pair, [history, wall], number + 1, best=0)
            made.write_history(history.lines)
            listener.say(history.told(row.epochs))
        model = pair.averaged()
        made.write_model(model)
        sheets.strip(model)
        return made.finish(_metrics(row, made, pair, history, wall.seconds))


def images(run: Run, labels: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Return images (n, h, w, c) uint8 of a finished generator, of labels (n,).

    Image i depends on (seed, i, labels[i]) alone; an unconditional generator ignores labels.
    Raises ValueError for no labels, and for what is no number of a class.
    """
    labels, file = np.asarray(labels), run.generator_file
    if labels.ndim != 1 or not labels.size or labels.dtype.kind not in "iu":
        raise ValueError(
            f"labels of type {labels.dtype} and shape {labels.shape}: whole numbers (n,), n > 0, "
            "are expected, a class for each image"
        )
    if run.row.conditional and not 0 <= labels.min() <= labels.max() < run.classes:
        raise ValueError(
            f"labels from {labels.min()} to {labels.max()}: {run} has classes 0 to "
            f"{run.classes - 1}"
        )
    return _asked(_loaded(file, file.stat().st_mtime_ns), labels, seed)


@functools.lru_cache(maxsize=1)
def _loaded(path: pathlib.Path, changed: int) -> keras.Model:
    """Read a model once; a file that was `changed` since is another."""
    return keras.saving.load_model(path, compile=False)


def _asked(model: keras.Model, labels: np.ndarray, seed: int) -> np.ndarray:
    size = model.inputs[0].shape[1]
    draws = (np.random.default_rng((seed, number)) for number in range(len(labels)))
    numbers = np.array([rng.standard_normal(size, np.float32) for rng in draws])
    return _images(model, numbers.reshape(-1, size), np.asarray(labels))


def _images(model: keras.Model, latent: np.ndarray, labels: np.ndarray) -> np.ndarray:
    parts = []
    for start in range(0, len(latent), BATCH):
        given = [latent[start : start + BATCH], labels[start : start + BATCH].astype(np.int32)]
        n = len(given[0])
        given = [np.concatenate([one, np.repeat(one[-1:], BATCH - n, axis=0)]) for one in given]
        made = model.predict_on_batch(given if len(model.inputs) > 1 else given[0])
        parts.append(np.clip(np.rint(np.asarray(made)[:n]), 0, 255).astype(np.uint8))
    return np.concatenate(parts)


class _History:
    """The lines of history.csv; what a checkpoint keeps of them."""

    name = "history"

    def __init__(self):
        self.lines: list[dict] = []

    def add(self, losses: list[tuple], seconds: float, images: int) -> None:
        """Add an epoch: losses of its steps, as tensors; ValueError where one is no number."""
        found = np.array([[float(one) for one in both] for both in losses])
        if not np.isfinite(found).all():
            step = int(np.argmin(np.isfinite(found).all(axis=1))) + 1
            raise ValueError(
                f"the losses are {found[step - 1].tolist()} in step {step} of epoch "
                f"{len(self.lines) + 1}: training has diverged; try lower learning rates, "
                "discriminator.spectral_norm=true or loss=hinge, in a new --run-dir"
            )
        of_discriminator, of_generator = found.mean(axis=0).tolist()
        line = {"epoch": len(self.lines) + 1, "discriminator_loss": of_discriminator}
        line |= {"generator_loss": of_generator, "images": (len(self.lines) + 1) * images}
        self.lines.append(line | {"seconds": seconds, "images_per_second": images / seconds})

    def told(self, epochs: int) -> str:
        """Tell the last epoch."""
        last = self.lines[-1]
        return (
            f"epoch {last['epoch']} of {epochs}: discriminator loss "
            f"{last['discriminator_loss']:.4g}, generator loss {last['generator_loss']:.4g}; "
            f"{last['seconds']:.1f} s"
        )

    def state(self) -> list[dict]:
        """Return the lines."""
        return self.lines

    def restore(self, state: list[dict]) -> None:
        """Go on after these lines."""
        self.lines = state


class _Sheets:
    """Images of the same latent numbers over the epochs, kept in the run's folder."""

    def __init__(self, row: Gan, run: Run, epochs: int, classes: int):
        self._run, self._seed = run, row.seed
        rows = np.arange(min(classes, ROWS)) if row.conditional else np.zeros(SHOWN // EACH, int)
        self._labels = np.repeat(rows, EACH)
        self._kept = {k: v for k, v in outputs.sheets(run.path).items() if int(k) <= epochs}

    def add(self, number: int, model: keras.Model) -> None:
        """Keep the images of an epoch."""
        self._kept[str(number)] = _asked(model, self._labels, self._seed)
        outputs.write_sheets(self._run.path, self._kept)

    def strip(self, model: keras.Model) -> None:
        """Keep images on the way from one latent point to another, a row of each class."""
        rows, size = self._labels[::EACH], model.inputs[0].shape[1]
        ends = np.random.default_rng((self._seed, len(self._labels))).standard_normal((2, size))
        share = np.linspace(0, 1, BETWEEN)[:, None]
        # Normal numbers lie on a sphere: on the straight way between two the norm would fall.
        way = np.sqrt(1 - share) * ends[0] + np.sqrt(share) * ends[1]
        latent = np.tile(way.astype(np.float32), (len(rows), 1))
        strip = _images(model, latent, np.repeat(rows, BETWEEN))
        outputs.write_sheets(self._run.path, self._kept, strip)


def _metrics(row: Gan, made: Run, pair: Pair, history: _History, wall: float) -> dict:
    """Return what the run says of itself; how good its images are, `measure` tells."""
    counts = [zoo.profile(network) for network in (pair.generator, pair.discriminator)]
    lines = history.lines
    seconds = [line["seconds"] for line in lines]
    return metrics.build(
        row,
        made.dataset,
        {},
        {"parameters": counts[0][0], "macs": counts[0][1]},
        discriminator={"parameters": counts[1][0], "macs": counts[1][1]},
        epochs=len(lines),
        images=lines[-1]["images"],
        seconds=sum(seconds),
        seconds_per_epoch=float(np.median(seconds)),
        images_per_second=float(np.median([line["images_per_second"] for line in lines])),
        wall_seconds=wall,
        losses={key: lines[-1][key] for key in ("discriminator_loss", "generator_loss")},
    )
