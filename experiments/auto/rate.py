"""How fast a row trains on this machine: some of its own steps, on some of its own images."""

import dataclasses
import math
import pathlib
import tempfile
import time
from typing import NamedTuple

import numpy as np

from experiments.datasets import Dataset
from experiments.place import Place
from experiments.recipes import Share, Train
from experiments.recipes.rates import Constant
from experiments.runs import Run
from experiments.training.train import train

# Steps of which the first ones compile and settle; larger batches than this are no faster.
_STEPS, _SETTLE, _BATCH = 12, 4, 128


class Rate(NamedTuple):
    """Images a second in training, without validation; seconds until training is under way."""

    images: float
    start: float


def measured(row: Train, data: Dataset, place: Place) -> Rate:
    """Return how fast a row trains here: the median of some steps.

    A short training is carried out as any other, in a folder that is gone afterwards.
    """
    began, batch = time.perf_counter(), min(row.batch_size, _BATCH, len(data.train))
    few = dataclasses.replace(
        data,
        train=data.train.take(slice(_STEPS * batch)),
        validation=data.validation.take(slice(batch)),
    )
    short = {"batch_size": batch, "max_steps": _STEPS, "progress_every": 1, "max_hours": None}
    short |= {"epochs": math.ceil(_STEPS * batch / len(few.train))}
    short |= {"average": None, "schedule": Constant(), "share": Share()}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "rate"
        train(row.model_copy(update=short), path, few, cache_dir=place.cache_dir)
        steps = np.diff(Run(path).progress["seconds"])[_SETTLE:]
    step = float(np.median(steps))
    return Rate(batch / step, max(0.0, time.perf_counter() - began - _STEPS * step))
