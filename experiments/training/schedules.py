"""How the learning rate changes: by the step, inside the optimizer, or after an epoch's scores.

What goes by the step is a share of the optimizer's own rate and a function of the number of steps
done before: 0 for the first one. It needs no state, `iterations` is saved with the optimizer. The
end of a schedule is where the step after the last one would be, so that the last one counts.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from experiments.recipes import fitting, rates
from experiments.training.callbacks import Clock, Saved, Waiting


@dataclasses.dataclass(frozen=True)
class Span:
    """How many steps a training takes, at most `max_steps` of them."""

    steps_per_epoch: int
    epochs: int
    max_steps: int | None = None

    @property
    def total(self) -> int:
        """Steps in all."""
        steps = self.steps_per_epoch * self.epochs
        return steps if self.max_steps is None else min(steps, self.max_steps)


class PerStep(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule as Keras' optimizers take it: a rate for each step, in whatever is compiled."""

    def __init__(self, spec: rates.Warmed, peak: float, span: Span):
        self.spec, self.peak, self.span = spec, peak, span

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step, a tensor of one number."""
        return self._rate(ops.cast(step, "float32"), ops)

    def at(self, step: int) -> float:
        """Return the rate of a step, a number."""
        return float(self._rate(np.float64(step), np))

    def _rate(self, step: Any, xp: Any) -> Any:
        share, warm = SHARES[type(self.spec)], self.spec.warmup * self.span.steps_per_epoch
        rate = self.peak * share(self, xp.maximum(step, warm), warm, xp)
        if not warm:
            return rate
        first = self.peak * self.spec.warmup_start
        last = self.peak * float(share(self, np.float64(warm), warm, np))
        return xp.where(step < warm, first + (last - first) * (step / warm), rate)


# The share of the rate at a step, which is `warm` or later; `xp` is numpy or keras.ops. A jump is
# half a step before the step that it counts from: rounding cannot put it off.


def _constant(schedule: PerStep, step: Any, warm: float, xp: Any) -> Any:
    return xp.ones_like(step)


def _milestones(schedule: PerStep, step: Any, warm: float, xp: Any) -> Any:
    share = xp.ones_like(step)
    for epoch in schedule.spec.epochs:
        passed = step + 0.5 >= epoch * schedule.span.steps_per_epoch
        share = share * xp.where(passed, schedule.spec.factor, 1.0)
    return share


def _exponential(schedule: PerStep, step: Any, warm: float, xp: Any) -> Any:
    spec = schedule.spec
    every = spec.every * schedule.span.steps_per_epoch
    times = xp.floor((step - warm + 0.5) / every) if spec.staircase else (step - warm) / every
    return xp.maximum(xp.exp(times * math.log(spec.factor)), spec.min_lr / schedule.peak)


def _cosine(schedule: PerStep, step: Any, warm: float, xp: Any) -> Any:
    end, done = schedule.spec.end, step - warm
    angle = math.pi * xp.minimum(done / _left(schedule, warm), 1.0)
    return end + (1 - end) * (1 + xp.cos(angle)) / 2


def _one_cycle(schedule: PerStep, step: Any, warm: float, xp: Any) -> Any:
    spec, left = schedule.spec, _left(schedule, warm)
    done = xp.minimum(step - warm, left)
    top = math.floor(spec.peak * left)
    rise = spec.start + (1 - spec.start) * (done / max(top, 1))
    fall = 1 + (spec.end - 1) * ((done - top) / max(left - top, 1))
    return xp.where(done < top, rise, fall)


def _left(schedule: PerStep, warm: float) -> float:
    """Return the steps after the warm-up; one where there are none, which is never asked for."""
    return max(schedule.span.total - warm, 1)


class Plateau(Waiting):
    """Multiplies the rate after epochs without a better value."""

    name = "plateau"

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Lower the rate where it was waited long enough, and wait anew."""
        if self.exhausted():
            self.wait = 0
            rate = max(self.clock.line["lr"] * self.spec.factor, self.spec.min_lr)
            self.model.optimizer.learning_rate.assign(rate)


SHARES: dict[type, Callable[[PerStep, Any, float, Any], Any]] = {
    rates.Constant: _constant,
    rates.Milestones: _milestones,
    rates.Exponential: _exponential,
    rates.Cosine: _cosine,
    rates.OneCycle: _one_cycle,
}
# What goes by the step needs no callback.
SCHEDULES: dict[type, Callable[[fitting.Schedule, Clock], Saved] | None] = {
    **dict.fromkeys(SHARES),
    fitting.Plateau: Plateau,
}


def callbacks(spec: fitting.Schedule, clock: Clock) -> list[Saved]:
    """Return what carries a schedule out after epochs."""
    make = SCHEDULES[type(spec)]
    return [make(spec, clock)] if make else []


def per_step(spec: fitting.Schedule, peak: float, span: Span) -> PerStep | None:
    """Return what carries a schedule out step by step; None where the optimizer's own rate does."""
    changes = type(spec) in SHARES and spec != rates.Constant()
    return PerStep(spec, peak, span) if changes else None


def rate(
    spec: fitting.Schedule,
    peak: float,
    step: int,
    steps_per_epoch: int,
    epochs: int,
    max_steps: int | None = None,
) -> float:
    """Return the rate of a step (from 0) of a schedule that goes by the step."""
    return PerStep(spec, peak, Span(steps_per_epoch, epochs, max_steps)).at(step)
