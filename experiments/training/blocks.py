"""Training on JAX without Keras' loop: blocks of steps, on images that lie on the accelerator.

Keras' `fit` hands over every batch and starts every step by itself, and where a network is small
the accelerator waits for that. Here some 100 steps, augmentation included, are one program, whose
state is donated; the host sends what is drawn for the next block, and reads the losses of the last
one, while the accelerator is at work. On a CPU, where XLA's loops are up to 60 times slower
(jax 40150), the same steps are started one by one.

To be removed as soon as Keras' own `steps_per_execution` is a scan on JAX (keras 23527, 3.16).
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from experiments.datasets import Split
from experiments.training import feed
from experiments.training._rows import Code, Drawing, Rows, seen
from experiments.training.predict import BATCH
from experiments.training.targets import Labels, Teacher

SHORTEST, USUAL, LONGEST = 50, 100, 200  # steps that are one program
TOLD = ("loss", "top1")  # what callbacks hear of a step
ONE_BY_ONE = 8  # steps of a block on a CPU, where a step may take seconds: they are told at once


def hindrance(trainer: keras.Model, targets: Labels, splits: Sequence[Split]) -> str | None:
    """Return why a compiled model trains by Keras' loop; None where it does in blocks.

    `splits` are the images that would lie on the accelerator.
    """
    if keras.backend.backend() != "jax":
        return "only JAX has another"
    size = sum(feed.nbytes(split) for split in splits)
    reasons = {
        "jit is off": not trainer.jit_compile or trainer.run_eagerly,
        "a teacher answers on the host": isinstance(targets, Teacher),
        "several devices share the work": keras.distribution.distribution() is not None,
        f"{size / 1e9:.2f} GB of images are too many for the device": (
            on_accelerator() and size >= feed.room()
        ),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def on_accelerator() -> bool:
    """Tell whether JAX computes on anything but a CPU."""
    import jax

    return jax.devices()[0].platform != "cpu"


def length(steps: int) -> int:
    """Return how many steps a block has where an epoch has so many of them, all of one size.

    What is left over goes step by step, which is one more program to compile: better nothing is.
    """
    if not on_accelerator():
        return ONE_BY_ONE
    if steps <= LONGEST:
        return max(steps, 1)
    divisors = [n for n in range(SHORTEST, LONGEST + 1) if steps % n == 0]
    return min(divisors, key=lambda n: abs(n - USUAL), default=USUAL)


class Blocks:
    """Takes the place of `fit` and `evaluate` of a compiled model whose optimizer is built.

    A step is Keras' own `train_step` on a batch of `drawing`; no more than `most` of them are done
    from the start of training on. Callbacks are called for each step as by Keras: before its
    block, and after the next block was started. They hear loss and top1, as by Keras the means of
    the epoch so far. Where one ends training, it ends with the block.
    """

    def __init__(self, trainer: keras.Model, drawing: Drawing, validation: Split, most: int):
        import jax

        self.trainer, self.drawing, self.validation, self.most = trainer, drawing, validation, most
        self.scans, self.length = on_accelerator(), length(drawing.plan.whole)
        # Images of training, and batches of validation that are one program, on the accelerator.
        self._source, self._tested = drawing.images, None
        self._learn = jax.jit(trainer.train_step, donate_argnums=0)
        self._scan = jax.jit(self._scanned, static_argnames="code", donate_argnums=0)
        self._test = jax.jit(trainer.test_step)
        self._scan_tests = jax.jit(functools.partial(jax.lax.scan, self._test_one))

    @property
    def told(self) -> str:
        """What is said of it."""
        how = "one program each" if self.scans else "step by step on a CPU"
        return f"trains in blocks of {self.length} steps, {how}"

    def fit(self, callbacks: list, *, initial_epoch: int, epochs: int) -> None:
        """Train from an epoch up to another one, or until a callback ends it."""
        trainer, tell = self.trainer, functools.partial(_tell, callbacks)
        for callback in callbacks:
            callback.set_model(trainer)
        self._build()
        trainer.stop_training = False
        tell("on_train_begin")
        try:
            if self.scans:
                self._to_accelerator()
            for epoch in range(initial_epoch, epochs):
                trainer.reset_metrics()
                tell("on_epoch_begin", epoch)
                self._epoch(epoch, tell)
                scores = _scores(trainer)
                tell("on_test_begin")
                found = self.evaluate()
                tell("on_test_end", found)
                scores |= {f"val_{name}": score for name, score in found.items()}
                tell("on_epoch_end", epoch, scores)
                if trainer.stop_training:
                    break
        finally:
            self._source, self._tested = self.drawing.images, None  # room for another phase
        trainer.optimizer.finalize_variable_values(trainer.trainable_variables)
        tell("on_train_end", scores)

    def evaluate(self) -> dict[str, float]:
        """Return the scores of the validation images."""
        trainer = self.trainer
        trainer.reset_metrics()
        groups = trainer.trainable_variables, trainer.non_trainable_variables
        groups = (*groups, trainer.metrics_variables)
        state = _values(groups)
        if self._tested:
            state, _ = self._scan_tests(state, self._tested)
        else:
            batches = feed.Validation(self.validation, BATCH)
            for number in range(len(batches)):
                _, state = self._test(state, batches[number])
        _assign(groups, state)
        return _scores(trainer)

    def _build(self) -> None:
        """Have Keras make the variables of the metrics, as its `fit` does."""
        images, numbers = self.drawing.images, next(self.drawing.plan.epoch(0))
        targets = self.drawing.rows(0, numbers[None])[0].targets[0]
        self.trainer._symbolic_build(data_batch=(images.batch(numbers), targets))

    def _to_accelerator(self) -> None:
        """Send all images; those of validation in equal batches, where they can be divided so."""
        import jax

        images, n = self.drawing.images, len(self.validation)
        self._source = jax.device_put(images.batch(np.arange(len(images))))
        sizes = [size for size in range(BATCH // 2, 2 * BATCH + 1) if n % size == 0]
        size = min(sizes, key=lambda size: abs(size - BATCH), default=n if n < BATCH else None)
        if size:
            both = self.validation.batch(np.arange(n)), self.validation.labels
            both = (array.reshape(-1, size, *array.shape[1:]) for array in both)
            self._tested = jax.device_put(tuple(both))

    def _epoch(self, epoch: int, tell: Callable) -> None:
        trainer, first, before = self.trainer, 0, None
        groups = trainer.trainable_variables, trainer.non_trainable_variables
        groups = (*groups, trainer.optimizer.variables, trainer.metrics_variables)
        left = self.most - int(keras.ops.convert_to_numpy(trainer.optimizer.iterations))
        state = _values(groups)
        try:
            for numbers in self._blocks(epoch):
                numbers = numbers[: left - first]
                for step in range(len(numbers)):
                    tell("on_train_batch_begin", first + step)
                state, told = self._run(state, *self.drawing.rows(epoch, numbers))
                _end(before, tell)
                before, first = (first, told), first + len(numbers)
                if trainer.stop_training:
                    break
            _end(before, tell)
        finally:
            _assign(groups, state)

    def _blocks(self, epoch: int) -> Iterator[np.ndarray]:
        """Yield the numbers of the images (steps, batch) of blocks; a shorter batch is alone."""
        batches, whole = list(self.drawing.plan.epoch(epoch)), self.drawing.plan.whole
        for start in range(0, whole, self.length):
            yield np.stack(batches[start : min(start + self.length, whole)])
        for batch in batches[whole:]:
            yield batch[None]

    def _run(self, state: tuple, rows: Rows, code: Code) -> tuple[tuple, Any]:
        """Start a block; return the state, and of its steps the losses and accuracies to come."""
        import jax

        if self.scans and rows.numbers[0].shape == (self.length, self.drawing.plan.batch_size):
            return self._scan(state, self._source, jax.device_put(rows), code=code)
        told = []
        for step in range(len(rows.targets)):
            state, one = self._step(self._learn, self._source, code, state, rows.row(step))
            told.append(one)
        return state, tuple(zip(*told, strict=True))

    def _scanned(self, state: tuple, source: Any, rows: Rows, code: Code) -> tuple[tuple, Any]:
        import jax

        step = functools.partial(self._step, self.trainer.train_step, source, code)
        return jax.lax.scan(step, state, rows)

    @staticmethod
    def _step(
        learn: Callable, source: Any, code: Code, state: tuple, row: Rows
    ) -> tuple[tuple, Any]:
        """Learn from a batch: a step of a scan, or one by itself."""
        logs, state = learn(state, (seen(source, row, code), row.targets))
        return state, tuple(logs[name] for name in TOLD)

    def _test_one(self, state: tuple, batch: tuple) -> tuple[tuple, None]:
        return self.trainer.test_step(state, batch)[1], None


def _scores(trainer: keras.Model) -> dict[str, float]:
    return {name: float(value) for name, value in trainer.get_metrics_result().items()}


def _tell(callbacks: list, event: str, *what: Any) -> None:
    for callback in callbacks:
        getattr(callback, event)(*what)


def _end(block: tuple[int, Any] | None, tell: Callable) -> None:
    """Wait for what is told of a block's steps, and tell it, from the first one's number on."""
    import jax

    first, told = block or (0, ())
    for step, values in enumerate(zip(*jax.device_get(told), strict=True)):
        logs = dict(zip(TOLD, map(float, values), strict=True))
        tell("on_train_batch_end", first + step, logs)


def _values(groups: Sequence[list]) -> tuple[list, ...]:
    return tuple([variable.value for variable in group] for group in groups)


def _assign(groups: Sequence[list], state: tuple[list, ...]) -> None:
    for group, values in zip(groups, state, strict=True):
        for variable, value in zip(group, values, strict=True):
            variable.assign(value)
