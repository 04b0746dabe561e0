"""One phase of a row's training: what is fitted to which batches, and what happens beside it."""

import functools
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import keras

import augment
from experiments.datasets import Split
from experiments.listener import Listener
from experiments.recipes import Train
from experiments.recipes.fitting import Ema
from experiments.runs import Run
from experiments.training import averages, callbacks, feed, optimizers, precision, schedules
from experiments.training.budget import Budget
from experiments.training.checkpoint import Checkpoint
from experiments.training.phases import Phase
from experiments.training.predict import BATCH
from experiments.training.refresh import normalizations, refresh
from experiments.training.targets import Labels, Teacher


class Fitted(NamedTuple):
    """The history of a run so far, and what ended it."""

    history: list[dict]
    ended_by: str


def fit(
    row: Train,
    made: Run,
    model: keras.Model,
    phase: Phase,
    *,
    teacher: keras.Model | None,
    extra: Split | None,
    listener: Listener,
    wall: callbacks.Stopwatch,
) -> Fitted:
    """Train a model to the end of a phase, from where its run was saved.

    After the last one it has the weights that the row keeps.
    """
    images = phase.data.train.join(extra) if extra else phase.data.train
    targets = Labels(row.loss, mixed=row.mix is not None)
    if teacher is not None:
        targets = Teacher(row.distill, teacher, model, targets)
    plan = _plan(row, phase, extra)
    span = schedules.Span(plan.steps, row.epochs, row.max_steps)
    schedule = schedules.per_step(row.schedule, row.optimizer.learning_rate, span)
    optimizer = optimizers.make(row.optimizer, schedule, row.average, span.total)
    trainer = _compiled(row, model, targets, optimizer)
    precision.apply(trainer, made)
    if row.refresh:
        normalizations(model)

    clock = callbacks.Clock(plan.seen, plan.seen_in, schedule and schedule.at, phase.size)
    best, budget = callbacks.Best(clock, row.last_size), Budget(row, clock)
    stop = [callbacks.Stopping(row.early_stop, clock)] if row.early_stop else []
    seed = callbacks.TorchSeed(row.seed, clock)
    saved = [clock, best, *schedules.callbacks(row.schedule, clock), *stop, seed, budget, wall]
    checkpoint = Checkpoint(made.state)
    checkpoint.restore(trainer, saved)

    def keep() -> None:
        kept = averages.used(optimizer) if best.weights == "ema" else None
        checkpoint.save(trainer, saved, clock.epoch, best.epoch, kept)
        made.write_history(clock.history)

    policy = None if row.augment is None else augment.get(row.augment)
    batches = functools.partial(
        feed.batches, images, plan, policy, targets, mix=row.mix and row.mix.spec()
    )
    last = -(-span.total // plan.steps)
    epochs = min(phase.end, last)
    over = budget.ended or any(one.stopped for one in stop)
    if clock.epoch < epochs and not over:
        validation = feed.Validation(phase.data.validation, BATCH)
        first = [averages.Averages(validation)] if isinstance(row.average, Ema) else []
        tell = callbacks.Tell(listener, clock, last, plan.steps)
        trainer.fit(
            batches(epoch=clock.epoch),
            steps_per_epoch=plan.steps,
            initial_epoch=clock.epoch,
            epochs=epochs,
            validation_data=validation,
            callbacks=[*first, *saved, callbacks.Finite(), tell, callbacks.Keep(keep)],
            shuffle=False,
            verbose=0,
        )
    if phase.last:
        if row.keep == "best":
            checkpoint.restore_best(trainer, best.epoch)
        else:
            averages.use(optimizer)
        if row.refresh:
            again = itertools.islice(batches(epoch=clock.epoch - 1), row.refresh)
            refresh(trainer, again, row.seed)
    whole = clock.steps == row.epochs * plan.steps
    return Fitted(clock.history, "epochs" if whole else budget.ended or "early_stop")


def _plan(row: Train, phase: Phase, extra: Sequence | None) -> feed.Plan:
    return feed.Plan(
        len(phase.data.train),
        row.batch_size,
        row.seed,
        extra=len(extra) if extra else 0,
        per_batch=row.adversarial.per_batch if extra else 0,
    )


def _compiled(
    row: Train, model: keras.Model, targets: Labels, optimizer: keras.optimizers.Optimizer
) -> keras.Model:
    """Return the model up to its logits, compiled, its optimizer built."""
    trainer = keras.Model(model.input, model.get_layer("logits").output, name="trainer")
    trainer.compile(
        optimizer=optimizer,
        loss=targets.loss(),
        metrics=targets.metrics(model.output.shape[-1]),
        jit_compile=row.jit,
    )
    optimizers.build(optimizer, trainer)
    return trainer
