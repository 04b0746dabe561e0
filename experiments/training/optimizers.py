"""Optimizers: Keras' own by name, Muon, and what a row adds to them.

Weight decay is decoupled, as Keras does it: before each update, variable -= rate * decay *
variable, where rate is that of the schedule and of the variable's group.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from experiments.recipes.fitting import Average, Group, Optimizer
from experiments.training import averages
from experiments.training.muon import Muon
from experiments.training.schedules import PerStep

OURS = {"muon": Muon}
# The group of a variable of this name, where it is not of the layer HEAD.
GROUPS = {"kernel": "kernel", "bias": "bias", "gamma": "norm", "beta": "norm"}
HEAD = "logits"
NO_CHANGE = Group()


def make(
    spec: Optimizer,
    schedule: PerStep | None = None,
    average: Average | None = None,
    steps: int | None = None,
) -> keras.optimizers.Optimizer:
    """Make a fresh optimizer; ValueError for a name or arguments that there are not.

    `steps` is how many there will be, for an average that needs to know.
    """
    arguments = spec.model_dump(exclude={"name", "clip", "groups", "learning_rate"})
    arguments |= {"global_clipnorm": spec.clip} if spec.clip is not None else {}
    added: dict[str, Any] = {}
    try:
        base = OURS.get(spec.name.lower()) or type(keras.optimizers.get(spec.name))
        if spec.groups:
            base, added = _grouped(base), {"groups": spec.groups}
        if average:
            base = averages.averaging(base, type(average))
            added |= {"average": average, "total_steps": steps}
        return base(learning_rate=schedule or spec.learning_rate, **arguments, **added)
    except (ValueError, TypeError) as error:
        given = spec.model_dump(exclude={"name"}, exclude_none=True)
        raise ValueError(f"optimizer {spec.name} with {given}: {error}") from None


def build(optimizer: keras.optimizers.Optimizer, model: keras.Model) -> None:
    """Make an optimizer's variables for those of a model."""
    if isinstance(optimizer, Muon):
        optimizer.leave_out(model)
    optimizer.build(model.trainable_variables)
    if isinstance(optimizer, averages.Beside):
        optimizer.add_statistics(model)


def group(variable: keras.Variable) -> str:
    """Return the group of a variable by its name and its layer's."""
    if HEAD in variable.path.split("/")[:-1]:
        return "head"
    if variable.name not in GROUPS:
        raise ValueError(
            f"{variable.path} is in no group: optimizer.groups knows variables called "
            f"{', '.join(GROUPS)}, and those of the layer {HEAD}"
        )
    return GROUPS[variable.name]


class _Groups:
    """What a class of optimizers is given for groups: their factors on rate and decay."""

    def __init__(self, *args, groups: Mapping[str, Group], **options):
        super().__init__(*args, **options)
        self._groups, self._factors = dict(groups), ()

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Find the group of each variable."""
        if self.built:
            return
        super().build(variables)
        self._factors = tuple(self._groups.get(group(v), NO_CHANGE) for v in variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> Any:
        """Update a variable at the rate of its group."""
        factor = self._of(variable).rate
        return super().update_step(gradient, variable, _times(learning_rate, factor))

    def _of(self, variable: Any) -> Group:
        return self._factors[self._get_variable_index(variable)]

    def _parallel_update_step(self, grads: list, variables: list, learning_rate: Any) -> None:
        """Update many variables at once, as Keras does on torch: all of a rate together."""
        by_rate: dict[float, list] = {}
        for pair in zip(grads, variables, strict=True):
            by_rate.setdefault(self._of(pair[1]).rate, []).append(pair)
        for factor, pairs in by_rate.items():
            rate = _times(learning_rate, factor)
            super()._parallel_update_step(*map(list, zip(*pairs, strict=True)), rate)

    def _apply_weight_decay(self, variables: Sequence[keras.Variable]) -> None:
        if self.weight_decay is None:
            return
        for variable in variables:
            one = self._of(variable)
            if one.rate * one.decay and self._use_weight_decay(variable):
                rate = _times(self.learning_rate, one.rate)
                self.assign_sub(variable, variable * (self.weight_decay * one.decay) * rate)


def _times(rate: Any, factor: float) -> Any:
    return rate if factor == 1 else rate * factor


@functools.cache
def _grouped(base: type) -> type:
    if issubclass(base, keras.optimizers.Nadam):
        base = keras.optimizers.Nadam  # torch's own counts a step in every call for many variables
    return type(f"Grouped{base.__name__}", (_Groups, base), {})
