"""Averages of the weights, kept by the optimizer: in what is compiled, and saved with its state.

The moving statistics of batch normalization are no variables of the optimizer's: after each epoch,
`Averages` averages those of its end, by the decay of all the epoch's steps together.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from experiments.recipes.averages import Ema, Lookahead
from experiments.recipes.fitting import Average

STATISTICS = ("moving_mean", "moving_variance")
Pairs = list[tuple[keras.Variable, Any]]


class _Averaging:
    """What a class of optimizers is given for averages; a subclass says how they are updated."""

    def __init__(self, *args, average: Average, total_steps: int | None, **options):
        super().__init__(*args, **options)
        self.average, self.total_steps = average, total_steps
        self._averages = []

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Make the averages: they begin as the variables are."""
        if self.built:
            return
        super().build(variables)
        self._averages = self._beginning_as(variables)

    def _beginning_as(self, variables: Sequence[keras.Variable]) -> list[keras.Variable]:
        made = self.add_optimizer_variables(variables, "average")
        for average, variable in zip(made, variables, strict=True):
            average.assign(ops.copy(variable.value))  # JAX donates the buffers of either
        return made

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence | None = None) -> None:
        """Update the variables, then the averages."""
        super().apply(grads, trainable_variables)
        step, every = self._iterations, self.average.every
        _assign(self._changed, None if every == 1 else ops.equal(step % every, 0))


class Beside(_Averaging):
    """Moving averages beside the variables, of the moving statistics too."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._statistics, self._of_statistics = [], list

    def _changed(self) -> Pairs:
        pairs = zip(self._averages, self._trainable_variables, strict=True)
        share = 1 - self._decay(ops.cast(self._iterations // self.average.every, "float32"), ops)
        return [(average, average + share * (now - average)) for average, now in pairs]

    def _decay(self, times: Any, xp: Any) -> Any:
        return xp.minimum(self.average.decay, times / (9 + times))

    def add_statistics(self, model: keras.Model) -> None:
        """Make averages of a model's moving statistics too."""
        found = [v for v in model.non_trainable_variables if v.name in STATISTICS]
        self._statistics = self._beginning_as(found)
        self._of_statistics = lambda: found  # a list would make them the optimizer's own variables

    def average_statistics(self, since: int) -> None:
        """Average the statistics as they are now, by the decay of all steps from `since` on."""
        every = self.average.every
        times = np.arange(since // every, _done(self) // every) + 1.0
        share = np.float32(1 - np.prod(self._decay(times, np)))
        for average, variable in zip(self._statistics, self._of_statistics(), strict=True):
            old, now = (ops.convert_to_numpy(one.value) for one in (average, variable))
            average.assign(old + share * (now - old))

    def pairs(self) -> list[tuple[keras.Variable, keras.Variable]]:
        """Return the model's variables and their averages."""
        variables = [*self._trainable_variables, *self._of_statistics()]
        return list(zip(variables, [*self._averages, *self._statistics], strict=True))


class Slow(_Averaging):
    """Slow variables, which the fast ones return to."""

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence | None = None) -> None:
        """Update the variables and the slow ones, which are those of the end."""
        super().apply(grads, trainable_variables)
        _assign(self._slow, ops.equal(self._iterations, self.total_steps))

    def _slow(self) -> Pairs:
        slow = zip(self._trainable_variables, self._averages, strict=True)
        return [(variable, average.value) for variable, average in slow]

    def _changed(self) -> Pairs:
        spec, decay = self.average, self.average.decay
        if spec.rising:
            done = ops.cast(self._iterations, "float32") / self.total_steps
            decay = decay**spec.every * ops.power(done, 3)
        values = [slow + (1 - decay) * (fast - slow) for fast, slow in self._slow()]
        both = (zip(of, values, strict=True) for of in (self._averages, self._trainable_variables))
        return [pair for pairs in both for pair in pairs]


def _assign(changed: Callable[[], Pairs], due: Any | None) -> None:
    """Assign new values, all the time or in the steps where it is `due`.

    JAX cannot assign inside a branch: there the values are chosen.
    """

    def assign() -> None:
        for variable, value in changed():
            variable.assign(value)

    if due is None:
        assign()
    elif keras.backend.backend() == "jax":
        for variable, value in changed():
            variable.assign(ops.where(due, value, variable.value))
    else:
        ops.cond(due, assign, lambda: None)


def _done(optimizer: keras.optimizers.Optimizer) -> int:
    return int(ops.convert_to_numpy(optimizer.iterations))


BY_SPEC = {Ema: Beside, Lookahead: Slow}


@functools.cache
def averaging(base: type, average: type) -> type:
    """Return a class of optimizers that averages as well."""
    kind = BY_SPEC[average]
    return type(f"{average.__name__}{base.__name__}", (kind, base), {})


def use(optimizer: keras.optimizers.Optimizer) -> None:
    """Give the model the averages of its variables; nothing where there are none beside them."""
    if isinstance(optimizer, Beside):
        for variable, average in optimizer.pairs():
            variable.assign(ops.copy(average.value))


@contextlib.contextmanager
def used(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Let the model have the averages for a while."""
    pairs = optimizer.pairs() if isinstance(optimizer, Beside) else []
    # Copies: what torch and TensorFlow return may be the variable's own memory.
    before = [np.array(ops.convert_to_numpy(variable.value)) for variable, _ in pairs]
    use(optimizer)
    try:
        yield
    finally:
        for (variable, _), value in zip(pairs, before, strict=True):
            variable.assign(value)


class Averages(keras.callbacks.Callback):
    """Averages the moving statistics of each epoch, and scores the averaged network.

    It comes before the clock, which writes down what it adds: `val_loss_ema`, `val_top1_ema`.
    """

    def __init__(self, validation: Any):
        super().__init__()
        self.validation = validation

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Take note of where the epoch begins."""
        self._since = _done(self.model.optimizer)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Average, and add the scores to those of the epoch."""
        optimizer = self.model.optimizer
        optimizer.average_statistics(self._since)
        with used(optimizer):
            found = self.model.evaluate(self.validation, verbose=0, return_dict=True)
        logs |= {f"val_{score}_ema": found[score] for score in ("loss", "top1")}
