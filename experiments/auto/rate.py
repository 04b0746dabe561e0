"""How fast a row trains on this machine: some of its own steps, on some of its own images."""

import dataclasses
import pathlib
import tempfile

from experiments.datasets import Dataset
from experiments.place import Place
from experiments.recipes import Share, Train
from experiments.recipes.rates import Constant
from experiments.runs import Run
from experiments.training.train import train

# Epochs of so many batches, of which the first compiles; larger batches are no faster.
_EPOCHS, _STEPS, _BATCH = 3, 2, 256


def measured(row: Train, data: Dataset, place: Place) -> float:
    """Return the images a second of a row's training steps, without validation.

    A short training is carried out as any other, in a folder that is gone afterwards.
    """
    batch = min(row.batch_size, _BATCH)
    count = min(len(data.train), _STEPS * _BATCH)
    few = dataclasses.replace(
        data,
        train=data.train.take(slice(count)),
        validation=data.validation.take(slice(batch)),
    )
    short = {"epochs": _EPOCHS, "batch_size": batch, "max_hours": None, "average": None}
    short |= {"schedule": Constant(), "share": Share()}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "rate"
        train(row.model_copy(update=short), path, few, cache_dir=place.cache_dir)
        speeds = Run(path).history["images_per_second"]
    return float(speeds[1:].max())
