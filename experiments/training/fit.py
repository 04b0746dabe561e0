"""One phase of a row's training: what is fitted to which batches, and what happens beside it."""

import functools
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import keras

import augment
from experiments.datasets import Split
from experiments.listener import Listener
from experiments.recipes import Learned
from experiments.recipes.fitting import Ema
from experiments.runs import Run
from experiments.training import (
    averages,
    callbacks,
    feed,
    loops,
    optimizers,
    precision,
    schedules,
    steps,
)
from experiments.training._rows import Drawing
from experiments.training.budget import Budget
from experiments.training.checkpoint import Checkpoint
from experiments.training.dropout import DropoutRate
from experiments.training.phases import Phase
from experiments.training.progress import Progress, measured
from experiments.training.refresh import normalizations, refresh
from experiments.training.targets import Labels


class Fitted(NamedTuple):
    """The history of a run so far, what ended it, and the lines within its epochs."""

    history: list[dict]
    ended_by: str
    progress: list[dict] = []


def fit(
    row: Learned,
    made: Run,
    model: keras.Model,
    phase: Phase,
    *,
    targets: Labels,
    extra: Split | None,
    listener: Listener,
    wall: callbacks.Stopwatch,
) -> Fitted:
    """Train a model to the end of a phase, from where its run was saved.

    `targets` say what trains it; images `extra` are the row's adversarial ones.
    After the last one it has the weights that the row keeps.
    """
    images = phase.data.train.join(extra) if extra else phase.data.train
    plan = _plan(row, phase, extra)
    trainer, schedule, total = compiled(row, model, targets, plan.steps)
    optimizer = trainer.optimizer
    precision.apply(trainer, made.environment["precision"]["chosen"])
    if row.refresh:
        normalizations(model)

    beside = _beside(row, model, made, phase, plan, schedule=schedule, listener=listener, wall=wall)
    clock, best, budget, progress, saved = beside
    saved += targets.beside(model, clock, listener)
    checkpoint = Checkpoint(made.state)
    checkpoint.restore(trainer, saved)

    def keep() -> None:
        kept = averages.used(optimizer) if best.weights == "ema" else None
        checkpoint.save(trainer, saved, clock.epoch, best.epoch, kept)
        made.write_history(clock.history)

    policy = None if row.augment is None else augment.get(row.augment)
    drawing = Drawing(images, plan, policy, targets, row.mix and row.mix.spec())
    last = -(-total // plan.steps)
    epochs = min(phase.end, last)
    over = budget.ended or any(getattr(one, "stopped", False) for one in saved)
    if clock.epoch < epochs and not over:
        loop = loops.choose(row, trainer, drawing, phase.data.validation, total)
        if keras.backend.backend() == "jax":  # no other has a choice
            listener.say(loop.told)
        first = [averages.Averages(loop.evaluate)] if isinstance(row.average, Ema) else []
        tell = callbacks.Tell(listener, clock, last, plan.steps)
        heard = [*first, *saved, steps.Finite(), tell, callbacks.Keep(keep)]
        loop.fit(heard, initial_epoch=clock.epoch, epochs=epochs)
    if phase.last:
        if row.keep == "best" and best.epoch:  # a budget may end training before the last size
            checkpoint.restore_best(trainer, best.epoch)
        else:
            averages.use(optimizer)
        if row.refresh:
            again = itertools.islice(drawing.batches(clock.epoch - 1), row.refresh)
            refresh(trainer, again, row.seed)
    whole = clock.steps == row.epochs * plan.steps
    ended_by = "epochs" if whole else budget.ended or "early_stop"
    return Fitted(clock.history, ended_by, progress.lines if progress else [])


class _Beside(NamedTuple):
    """What happens beside the steps and is saved with them; the first four by name."""

    clock: callbacks.Clock
    best: callbacks.Best
    budget: Budget
    progress: Progress | None
    saved: list[callbacks.Saved]


def _beside(
    row: Learned,
    model: keras.Model,
    made: Run,
    phase: Phase,
    plan: feed.Plan,
    *,
    schedule: schedules.PerStep | None,
    listener: Listener,
    wall: callbacks.Stopwatch,
) -> _Beside:
    clock = callbacks.Clock(plan.seen, plan.seen_in, schedule and schedule.at, phase.size)
    best, budget = callbacks.Best(clock, row.last_size), Budget(row, clock)
    rates = schedules.callbacks(row.schedule, clock)
    dropout = [DropoutRate(row.dropout, model)] if row.dropout else []
    stop = [callbacks.Stopping(row.early_stop, clock, phase.last)] if row.early_stop else []
    seed = callbacks.TorchSeed(row.seed, clock)
    saved = [clock, best, *rates, *dropout, *stop, seed, budget, wall]
    progress = None
    if row.validate_every or row.progress_every:
        measure = functools.partial(measured, model, phase.data.validation)
        parts = (plan.steps, measure, made.write_progress, clock, budget, listener)
        progress = Progress(row, *parts)
        saved.append(progress)
    return _Beside(clock, best, budget, progress, saved)


def _plan(row: Learned, phase: Phase, extra: Sequence | None) -> feed.Plan:
    return feed.Plan(
        len(phase.data.train),
        row.batch_size,
        row.seed,
        extra=len(extra) if extra else 0,
        per_batch=row.adversarial.per_batch if extra else 0,
    )


class Compiled(NamedTuple):
    """A network up to its logits, its optimizer built; what its rate goes by, and all its steps."""

    trainer: keras.Model
    schedule: schedules.PerStep | None
    steps: int


def compiled(row: Learned, model: keras.Model, targets: Labels, steps_per_epoch: int) -> Compiled:
    """Return what trains a row's network."""
    span = schedules.Span(steps_per_epoch, row.epochs, row.max_steps)
    schedule = schedules.per_step(row.schedule, row.optimizer.learning_rate, span)
    optimizer = optimizers.make(row.optimizer, schedule, row.average, span.total)
    trainer = targets.trainer(model)
    trainer.compile(
        optimizer=optimizer,
        loss=targets.loss(),
        metrics=targets.metrics(model.output.shape[-1]),
        jit_compile=row.jit,
    )
    optimizers.build(optimizer, trainer)
    return Compiled(trainer, schedule, span.total)
