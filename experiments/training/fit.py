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
from experiments.training import (
    averages,
    blocks,
    callbacks,
    feed,
    optimizers,
    precision,
    schedules,
)
from experiments.training._rows import Drawing
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
    drawing = Drawing(images, plan, policy, targets, row.mix and row.mix.spec())
    last = -(-span.total // plan.steps)
    epochs = min(phase.end, last)
    over = budget.ended or any(one.stopped for one in stop)
    if clock.epoch < epochs and not over:
        why = blocks.hindrance(trainer, targets, [images, phase.data.validation])
        made_by = blocks.Blocks if why is None else functools.partial(_Keras, why=why)
        loop = made_by(trainer, drawing, phase.data.validation, span.total)
        if keras.backend.backend() == "jax":  # no other has a choice
            listener.say(loop.told)
        first = [averages.Averages(loop.evaluate)] if isinstance(row.average, Ema) else []
        tell = callbacks.Tell(listener, clock, last, plan.steps)
        heard = [*first, *saved, callbacks.Finite(), tell, callbacks.Keep(keep)]
        loop.fit(heard, initial_epoch=clock.epoch, epochs=epochs)
    if phase.last:
        if row.keep == "best":
            checkpoint.restore_best(trainer, best.epoch)
        else:
            averages.use(optimizer)
        if row.refresh:
            again = itertools.islice(drawing.batches(clock.epoch - 1), row.refresh)
            refresh(trainer, again, row.seed)
    whole = clock.steps == row.epochs * plan.steps
    return Fitted(clock.history, "epochs" if whole else budget.ended or "early_stop")


class _Keras:
    """Keras' own loop, in the form of `Blocks`; a callback ends it with its last step."""

    def __init__(
        self, trainer: keras.Model, drawing: Drawing, validation: Split, most: int, why: str
    ):
        self.trainer, self.drawing = trainer, drawing
        self.validation = feed.Validation(validation, BATCH)
        self.told = f"trains by Keras' loop: {why}"

    def fit(self, heard: list, *, initial_epoch: int, epochs: int) -> None:
        self.trainer.fit(
            self.drawing.batches(initial_epoch),
            steps_per_epoch=self.drawing.plan.steps,
            initial_epoch=initial_epoch,
            epochs=epochs,
            validation_data=self.validation,
            callbacks=heard,
            shuffle=False,
            verbose=0,
        )

    def evaluate(self) -> dict[str, float]:
        return self.trainer.evaluate(self.validation, verbose=0, return_dict=True)


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
