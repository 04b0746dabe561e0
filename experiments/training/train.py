"""Train one row of a recipe into a run folder; begun again, it goes on where it was cut off."""

import functools
import pathlib

import keras
import numpy as np

import augment
import zoo
from experiments.datasets import Dataset, Split
from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.recipes import Train
from experiments.recipes.fitting import Optimizer
from experiments.runs import Run, making, metrics
from experiments.training import adversarial, callbacks, feed, precision, schedules
from experiments.training.checkpoint import Checkpoint
from experiments.training.part import seen
from experiments.training.predict import BATCH, augmented_views, predict_probs
from experiments.training.targets import Labels, Teacher


def run(row: Train, folder: pathlib.Path, place: Place, listener: Listener = SILENT) -> dict:
    """Train a row where its data, its teacher and its adversarial images lie; return its metrics.

    Raises `ValueError` for an optimizer that cannot be made and a precision that there is not,
    before data is read, and for a teacher or adversarial images of other data.
    """
    optimizer(row.optimizer)
    precision.check(row)
    data, teacher, extra = place.dataset(row.data, listener), None, None
    if row.distill:
        taught_by = Run(place.named(row, row.distill.teacher))
        taught_by.check_data(data)
        teacher = zoo.load(taught_by.model_file)
    if row.adversarial:
        extra = adversarial.read(row.adversarial.folder, data, row.adversarial.classes)
    given = {"teacher": teacher, "extra": extra, "cache_dir": place.cache_dir}
    return train(row, folder, data, **given, listener=listener)


def train(
    row: Train,
    folder: pathlib.Path,
    data: Dataset,
    *,
    teacher: keras.Model | None = None,
    extra: Split | None = None,
    cache_dir: pathlib.Path | None = None,
    listener: Listener = SILENT,
) -> dict:
    """Train a row on a data set and return its metrics (accuracies in percent).

    When the folder holds an unfinished run of the same row, training goes on from its last whole
    epoch and ends with the weights and the history that an unbroken run would have had. A finished
    run is not repeated. `teacher` is the model of `row.distill`, `extra` the images of
    `row.adversarial`, `cache_dir` keeps the self-tests of `precision: auto`.
    Raises `ValueError` for a folder in use or begun with another recipe, before any work, and for
    a loss that is no number any more.
    """
    for field, given, name in (
        (row.distill, teacher, "teacher"),
        (row.adversarial, extra, "extra"),
    ):
        if (field is None) != (given is None):
            raise ValueError(f"{row.recipe} and {name}= do not go together: give both or neither")
    policy = None if row.augment is None else augment.get(row.augment)
    part = seen(data, row.share)
    with making(folder, row, part) as made:
        if made.finished:
            return made.metrics
        make = functools.partial(build, row, part)
        model = precision.built(row, made, make, cache_dir=cache_dir, listener=listener)
        history = _fit(row, made, model, part, teacher, extra, listener)
        made.write_history(history)  # a cut may have come between the last state and its line
        made.write_model(model)
        views = policy and augmented_views(part.train.images, policy, row.seed)
        scores = made.write_outputs(part, predict_probs(model, part.validation.images), views)
        return made.finish(metrics.build(row, made.dataset, scores, cost(model), history=history))


def _fit(
    row: Train,
    made: Run,
    model: keras.Model,
    part: Dataset,
    teacher: keras.Model | None,
    extra: Split | None,
    listener: Listener,
) -> list[dict]:
    """Train the model to the epoch that the row keeps; return the history."""
    targets = Labels() if teacher is None else Teacher(row.distill, teacher, model)
    trainer = compiled(row, model, targets)
    precision.apply(trainer, made.environment["precision"]["chosen"])
    plan = feed.Plan(
        len(part.train),
        row.batch_size,
        row.seed,
        extra=len(extra) if extra else 0,
        per_batch=row.adversarial.per_batch if extra else 0,
    )
    clock = callbacks.Clock(plan.seen)
    best = callbacks.Best(clock)
    stop = [callbacks.Stopping(row.early_stop, clock)] if row.early_stop else []
    seed = callbacks.TorchSeed(row.seed, clock)
    saved = [clock, best, *schedules.callbacks(row.schedule, clock), *stop, seed]
    checkpoint = Checkpoint(made.state)
    checkpoint.restore(trainer, saved)

    def keep() -> None:
        checkpoint.save(trainer, saved, clock.epoch, best.epoch)
        made.write_history(clock.history)

    others = [callbacks.Finite(), callbacks.Tell(listener, clock, row.epochs, plan.steps)]
    if clock.epoch < row.epochs and not any(one.stopped for one in stop):
        images = part.train.join(extra) if extra else part.train
        policy = None if row.augment is None else augment.get(row.augment)
        trainer.fit(
            feed.batches(images, plan, policy, targets, epoch=clock.epoch),
            steps_per_epoch=plan.steps,
            initial_epoch=clock.epoch,
            epochs=row.epochs,
            validation_data=feed.Validation(part.validation, BATCH),
            callbacks=[*saved, *others, callbacks.Keep(keep)],
            shuffle=False,
            verbose=0,
        )
    if row.keep == "best":
        checkpoint.restore_best(trainer, best.epoch)
    return clock.history


def build(row: Train, data: Dataset, policy: str = "float32") -> keras.Model:
    """Build the row's network for the data set's images, under the row's seed and a policy."""
    keras.utils.set_random_seed(row.seed)
    keras.config.set_dtype_policy(policy)
    try:
        model = zoo.build(**row.model, input_shape=data.image_shape, classes=len(data.class_names))
        return zoo.freeze(model) if row.freeze == "body" else model
    finally:
        keras.config.set_dtype_policy("float32")


def optimizer(spec: Optimizer) -> keras.optimizers.Optimizer:
    """Make a fresh Keras optimizer from its name and arguments."""
    arguments = spec.model_dump(exclude={"name"})
    try:
        return keras.optimizers.get({"class_name": spec.name, "config": arguments})
    except (ValueError, TypeError) as error:
        raise ValueError(f"optimizer {spec.name} with {arguments}: {error}") from None


def cost(model: keras.Model) -> dict:
    """Return what a model costs: parameters, those that are trained, multiply-adds of an image."""
    parameters, macs = zoo.profile(model)
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    return {"parameters": parameters, "trainable": trainable, "macs": macs}


def compiled(row: Train, model: keras.Model, targets: Labels) -> keras.Model:
    """Return the model up to its logits, compiled, its optimizer built."""
    trainer = keras.Model(model.input, model.get_layer("logits").output, name="trainer")
    trainer.compile(
        optimizer=optimizer(row.optimizer),
        loss=targets.loss(),
        metrics=targets.metrics(model.output.shape[-1]),
        jit_compile=row.jit,
    )
    trainer.optimizer.build(trainer.trainable_variables)
    return trainer
