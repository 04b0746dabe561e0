"""Where the time of a training step goes, by kind of layer and beside the network.

The whole step is timed as in a run; then its parts alone: each distinct call of the network,
forward and backward on noise of its true shape, in a graph of its own, the optimizer, the batches.
Alone, a part may be faster (in the caches) or slower (not fused with its neighbor) than in the
step: what does not add up is `other`, and may be negative.
"""

import contextlib
import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

import augment
import zoo
from experiments import datasets
from experiments.bench import _calls, check
from experiments.datasets import Dataset, Split
from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.recipes import Row, Train
from experiments.timing import side_by_side
from experiments.training import feed, precision, steps, train
from experiments.training.fit import compiled
from experiments.training.part import seen

# What differs between rows; all others are of the whole profile.
COLUMNS = ("part", "layers", "ms", "percent", "gflop_s", "of_peak")
_SETTLE = 3  # first steps of a run, which compile and find their threads
_LARGEST = 4096  # matrix of which the peak is measured


def run(
    row: Row, place: Place, *, repeats: int = 10, noise: bool = False, listener: Listener = SILENT
) -> list[dict]:
    """Profile the training step of a row; one dictionary for each part, the whole step first.

    `ms` are of one step, `percent` of the whole step, `gflop_s` of convolutions and dense layers
    (6 per multiply-add, 4 where no gradient goes further), `of_peak` in percent of a matrix
    product's in the same precision. On the row's own images, or on noise of their size, where
    `noise` says so or there are none. A teacher, adversarial and generated images are left out.
    Raises ValueError for a row that trains no network.
    """
    check(repeats=repeats)
    if not isinstance(row, Train):
        raise ValueError(f"{row.recipe} trains no network of its own: give a row of kind train")
    data = _noise(row) if noise or not place.has(row.data) else place.dataset(row.data, listener)
    data = seen(data, row.share)
    batch = min(row.batch_size, len(data.train))

    def build(policy: str) -> keras.Model:
        return train.build(row, data, policy)

    model, found = precision.choose(row, build, cache_dir=place.cache_dir, listener=listener)
    chosen = found["chosen"]
    steps_per_epoch = feed.Plan(len(data.train), row.batch_size, row.seed).steps
    trainer = compiled(row, model, train.labels(row, data), steps_per_epoch).trainer
    precision.apply(trainer, chosen)
    listener.progress("the whole step", 0, 1)
    whole = _whole(row, trainer, data, repeats)
    listener.progress("the whole step", 1, 1)
    still = _on_one_batch(row, trainer, data, batch, repeats)
    rewriting = precision.rewriting if chosen == "bfloat16" else contextlib.nullcontext
    with rewriting():
        parts = _parts(trainer, batch, repeats, listener)
        optimizer = _median(_optimizer_step(trainer), repeats)
    peaks = {name: peak(name) for name in ("float32", "bfloat16")}
    macs = zoo.profile(model)[1]
    rows = [_row("step", whole, flop=6 * macs * batch)]
    rows += [_row(name, *values) for name, values in parts.items()]
    rows.append(_row("optimizer", optimizer))
    rows.append(_row("other", still - optimizer - sum(seconds for seconds, _, _ in parts.values())))
    rows.append(_row("waiting for batches", whole - still))
    rows += [_row(f"(beside) {name}", taken) for name, taken in _feeding(row, data, repeats)]
    top = peaks["float32" if chosen == "float32" else "bfloat16"]
    rows += [_row(f"(peak) {name}", None, rate=rate) for name, rate in peaks.items()]
    said = {
        "row": row.recipe,
        "network": row.model_name,
        "images": data.name,
        "size": "x".join(map(str, data.image_shape)),
        "batch": batch,
        "backend": keras.backend.backend(),
        "precision": chosen,
        "images_s": batch / whole,
        "load": os.getloadavg()[0],
    }
    for one in rows:
        one["percent"] = one["ms"] and 100 * one["ms"] / (1e3 * whole)
        one["of_peak"] = one["gflop_s"] and 100 * one["gflop_s"] / top
    return [one | said for one in rows]


def _row(
    part: str, seconds: float | None, layers: Any = "", flop: float = 0, rate: Any = ""
) -> dict:
    """Return a part's row; empty where a column says nothing of it."""
    return {
        "part": part,
        "layers": layers,
        "ms": "" if seconds is None else 1e3 * seconds,
        "percent": "",
        "gflop_s": flop / seconds / 1e9 if flop and seconds else rate,
        "of_peak": "",
    }


def _noise(row: Train) -> Dataset:
    """Return images of noise in the shape of the row's data set."""
    facts = datasets.facts(row.data.name)
    shape = facts and facts.image_shape
    if shape is None:
        raise ValueError(
            f"{row.recipe}: the size of {row.data.name} is not known: give its images (--data-dir)"
        )
    height, width = [row.data.size] * 2 if row.data.size else shape[:2]
    shape = height, width, row.data.channels or shape[2]
    rng = np.random.default_rng(0)

    def split(n: int) -> Split:
        return Split(rng.integers(0, 256, (n, *shape), np.uint8), np.arange(n) % facts.classes)

    names = tuple(map(str, range(facts.classes)))
    # Enough for any share and folds to leave a batch, and every class in it.
    count = max(4 * row.batch_size, 4 * facts.classes)
    return Dataset("noise", split(count), split(facts.classes), names, names)


class _Ends(keras.callbacks.Callback):
    """Notes when steps end."""

    def __init__(self):
        super().__init__()
        self.at = []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.at.append(time.perf_counter())


def _whole(row: Train, trainer: keras.Model, data: Dataset, repeats: int) -> float:
    """Time steps of `fit` on the row's own stream, by its median."""
    plan = feed.Plan(len(data.train), row.batch_size, row.seed)
    ends = _Ends()
    trainer.fit(
        _batches(row, data, plan),
        steps_per_epoch=_SETTLE + repeats,
        callbacks=steps.Steps([steps.Finite(), ends], trainer),
        shuffle=False,
        verbose=0,
    )
    return statistics.median(b - a for a, b in itertools.pairwise(ends.at[_SETTLE - 1 :]))


def _batches(row: Train, data: Dataset, plan: feed.Plan, augmented: bool = True) -> Iterator[tuple]:
    """Return the row's own stream of batches."""
    policy = augment.get(row.augment) if augmented and row.augment is not None else None
    mix = row.mix.spec() if augmented and row.mix else None
    return feed.batches(data.train, plan, policy, train.labels(row, data), epoch=0, mix=mix)


def _on_one_batch(
    row: Train, trainer: keras.Model, data: Dataset, batch: int, repeats: int
) -> float:
    """Time the step where nothing is read or augmented."""
    plan = feed.Plan(len(data.train), batch, row.seed)
    images, targets = next(_batches(row, data, plan))
    images, targets = ops.convert_to_tensor(images), ops.convert_to_tensor(targets)
    return _median(lambda: trainer.train_on_batch(images, targets), repeats)


def _parts(trainer: keras.Model, batch: int, repeats: int, listener: Listener) -> dict:
    """Return part -> (seconds, calls, floating-point operations) of a step."""
    known, found, all_calls = {}, {}, _calls.calls(trainer)
    for done, call in enumerate(all_calls):
        listener.progress("layers", done, len(all_calls))
        if (key := call.same()) not in known:
            known[key] = _median(_calls.training_step(call, batch), repeats)
        seconds, count, flop = found.get(call.part, (0, 0, 0))
        found[call.part] = seconds + known[key], count + 1, flop + call.flop(batch)
    listener.progress("layers", len(all_calls), len(all_calls))
    return dict(sorted(found.items(), key=lambda item: -item[1][0]))


def _optimizer_step(trainer: keras.Model) -> Callable[[], Any]:
    """Return a function that updates all weights by gradients of zeros."""
    optimizer, variables = trainer.optimizer, trainer.trainable_variables
    gradients = [ops.zeros(v.shape, v.dtype) for v in variables]
    if keras.backend.backend() == "jax":
        import jax

        update = jax.jit(optimizer.stateless_apply)
        known = [[v.value for v in some] for some in (optimizer.variables, variables)]
        return lambda: jax.block_until_ready(update(known[0], gradients, known[1]))

    def update():
        optimizer.apply(gradients, variables)

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(update, autograph=False)
    return update


def _feeding(row: Train, data: Dataset, repeats: int) -> list[tuple[str, float]]:
    """Time what prepares batches, beside the step in a thread of its own."""
    plan = feed.Plan(len(data.train), row.batch_size, row.seed)

    def seconds(augmented: bool) -> float:
        stream = _batches(row, data, plan, augmented)
        return _median(lambda: ops.convert_to_numpy(next(stream)[0]), repeats)

    reading = seconds(augmented=False)
    taken = [("reading", reading)]
    if row.augment is None and row.mix is None:
        return taken
    return [*taken, ("augmentation", seconds(augmented=True) - reading)]


def peak(dtype: str) -> float:
    """Return the GFLOP/s of a matrix product, of matrices large enough for a tenth of a second."""
    size, rng = 256, np.random.default_rng(0)
    while True:
        array = rng.standard_normal((size, size), np.float32)
        a = ops.convert_to_tensor(array, dtype)

        def product(a=a):
            return float(ops.cast(ops.matmul(a, a)[0, 0], "float32"))

        seconds = _median(product, 3)
        if seconds > 0.1 or size == _LARGEST:
            return 2 * size**3 / seconds / 1e9
        size *= 2


def _median(step: Callable[[], Any], repeats: int) -> float:
    return side_by_side({"": step}, repeats=repeats, turn=0.05, limit=2)[""]
