"""Train one row of a recipe into a run folder; begun again, it goes on where it was cut off."""

import pathlib
import time

import keras
import numpy as np

import augment
import zoo
from experiments import datasets, distill, evaluate, feed
from experiments._files import atomic, read_json, write_json
from experiments.environment import environment
from experiments.rows import Data, Optimizer, Row, Train
from experiments.state import Checkpoint, Patience, Progress, run_folder, write_history

# Keras' plateau ignores gains below 1e-4, that is 0.01 percent.
PLATEAU_DELTA = 0.01
VALIDATION_BATCH = 256


def train(
    row: Train,
    run_dir: pathlib.Path,
    data: datasets.Dataset,
    *,
    teacher: keras.Model | None = None,
    extra: datasets.Split | None = None,
    verbose: int = 1,
) -> dict:
    """Train a row on a data set and return its metrics (accuracies in percent).

    The run's folder is the one of the contract in `experiments.evaluate`; when it holds an
    unfinished run of the same row, training goes on from its last whole epoch and ends with the
    weights and the history that an unbroken run would have had. A finished run is not repeated.
    `teacher` is the model of `row.distill`, `extra` the images of `row.adversarial`, `verbose`
    that of `keras.Model.fit`.
    Raises `ValueError` for a folder in use or begun with another recipe, before any work.
    """
    for field, given, name in (
        (row.distill, teacher, "teacher"),
        (row.adversarial, extra, "extra"),
    ):
        if (field is None) != (given is None):
            raise ValueError(f"{row.recipe} and {name}= do not go together: give both or neither")
    policy = None if row.augment is None else augment.get(row.augment)
    run_dir = pathlib.Path(run_dir)
    with run_folder(run_dir, row) as finished:
        if finished:
            return read_json(run_dir / "metrics.json")
        seen = training_part(row.data, data)
        begin(run_dir, seen)
        model = build(row, seen)
        trainer = _compile(row, model)
        said = None if teacher is None else distill.teacher_of(teacher, model)
        checkpoint = Checkpoint(run_dir / "state")
        progress = checkpoint.restore(trainer, trainer.optimizer)
        keeper = Keeper(row, run_dir, checkpoint, progress)
        if not progress.stopped and progress.epoch < row.epochs:
            images = seen.train.join(extra) if extra else seen.train
            plan = feed.Plan(
                len(seen.train),
                row.batch_size,
                row.seed,
                extra=len(extra) if extra else 0,
                per_batch=row.adversarial.per_batch if extra else 0,
            )
            stream = feed.batches(images, plan, policy, epoch=progress.epoch, teacher=said)
            keeper.images = plan.seen
            trainer.fit(
                stream,
                steps_per_epoch=plan.steps,
                initial_epoch=progress.epoch,
                epochs=row.epochs,
                validation_data=feed.Validation(seen.validation, VALIDATION_BATCH),
                callbacks=[keeper],
                shuffle=False,
                verbose=verbose,
            )
        if row.keep == "best":
            checkpoint.restore_best(progress, trainer)
        with atomic(run_dir / "model.keras") as part:
            model.save(part)
        scores = evaluate.write_outputs(run_dir, model, seen, policy=policy, seed=row.seed)
        metrics = summary(row, model, progress.history, seen, scores)
        write_json(run_dir / "metrics.json", metrics)
        checkpoint.clear()
        return metrics


def training_part(spec: Data, data: datasets.Dataset) -> datasets.Dataset:
    """Return the data set without what a run is not to see: held-out images, and its fold."""
    seen = data.holdout(spec.holdout)[0] if spec.holdout else data
    return seen if spec.folds is None else seen.without(seen.folds(spec.folds)[spec.fold])


def begin(run_dir: pathlib.Path, data: datasets.Dataset) -> None:
    """Note where and on what a run happens; going on elsewhere would not end bit-equal.

    Raises `ValueError` when the run was begun on another backend or on other images.
    """
    found, described = environment(), describe(data)
    if (run_dir / "environment.json").exists():
        backend = read_json(run_dir / "environment.json")["backend"]
        if backend != found["backend"]:
            raise ValueError(
                f"{run_dir} was begun on {backend}, this is {found['backend']}: go on with "
                f"--backend {backend}, or choose another --run-dir"
            )
        if read_json(run_dir / "dataset.json") != described:
            raise ValueError(
                f"{run_dir} was begun on other images ({run_dir / 'dataset.json'}): give the "
                "--data-dir that it began with, or choose another --run-dir"
            )
    write_json(run_dir / "dataset.json", described)
    write_json(run_dir / "environment.json", found)


def check(row: Train) -> None:
    """Raise `ValueError` for a network or an optimizer that cannot be made, before data is read."""
    optimizer(row.optimizer)
    zoo.build(**row.model)


def build(row: Train, data: datasets.Dataset) -> keras.Model:
    """Build the row's network for the data set's images, under the row's seed and precision."""
    keras.utils.set_random_seed(row.seed)
    keras.config.set_dtype_policy(row.precision)
    try:
        shape = data.train.images.shape[1:]
        model = zoo.build(**{"input_shape": shape, "classes": len(data.class_names)} | row.model)
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


class Keeper(keras.callbacks.Callback):
    """After each epoch: history, best epoch, plateau, early stopping, then the whole state."""

    def __init__(self, row: Train, run_dir: pathlib.Path, checkpoint: Checkpoint, state: Progress):
        super().__init__()
        self.row, self.run_dir, self.checkpoint, self.progress = row, run_dir, checkpoint, state
        self.early_stop = row.early_stop and Patience(
            row.early_stop.monitor, row.early_stop.patience, **state.early_stop or {}
        )
        self.plateau = row.plateau and Patience(
            row.plateau.monitor, row.plateau.patience, PLATEAU_DELTA, **state.plateau or {}
        )
        self.images = 0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Start the epoch's clock."""
        self.began = time.perf_counter()

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Seed torch at the first step: its dropout draws from a generator that is no variable.

        Not before: the data loader's start, once a process, draws from the same generator.
        """
        if batch == 0 and keras.backend.backend() == "torch":
            keras.utils.set_random_seed(hash((self.row.seed, self.progress.epoch)) % 2**32)

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Stop the training part of the clock: Keras has waited for the last step by now."""
        self.trained = time.perf_counter() - self.began

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Record the epoch and write the state."""
        progress, learning_rate = self.progress, self.model.optimizer.learning_rate
        line = {"epoch": epoch + 1} | {
            key: float(value) * (100 if "top" in key else 1) for key, value in logs.items()
        }
        line["lr"] = float(np.asarray(learning_rate.numpy()))
        line["seconds"] = time.perf_counter() - self.began
        line["images_per_second"] = self.images / self.trained
        progress.history.append(line)
        progress.epoch = epoch + 1
        if line["val_top1"] > max([old["val_top1"] for old in progress.history[:-1]], default=-1):
            progress.best_epoch = epoch + 1
        if self.plateau:
            if self.plateau.exhausted(line[self.plateau.monitor]):
                self.plateau.wait = 0
                rule = self.row.plateau
                learning_rate.assign(max(line["lr"] * rule.factor, rule.min_lr))
            progress.plateau = {"best": self.plateau.best, "wait": self.plateau.wait}
        if self.early_stop:
            progress.stopped = self.early_stop.exhausted(line[self.early_stop.monitor])
            progress.early_stop = {"best": self.early_stop.best, "wait": self.early_stop.wait}
        self.model.stop_training = progress.stopped
        self.checkpoint.save(progress, self.model, self.model.optimizer)
        write_history(self.run_dir / "history.csv", progress.history)


def describe(data: datasets.Dataset) -> dict:
    """Return what a report needs to know of a data set, without its images."""
    return {
        "name": data.name,
        "class_names": list(data.class_names),
        "class_ids": list(data.class_ids),
        "train": len(data.train.labels),
        "validation": len(data.validation.labels),
        "image_shape": list(data.train.images.shape[1:]),
    }


def summary(
    row: Row, model: keras.Model, history: list[dict], data: datasets.Dataset, scores: dict
) -> dict:
    """Return the metrics of a finished run: what ran, what it scored and what it cost."""
    parameters, macs = zoo.profile(model)
    seconds = [line["seconds"] for line in history]
    best = max(history, key=lambda line: line["val_top1"])
    found = environment()
    return {
        "recipe": row.recipe,
        "kind": row.kind,
        "model": row.model["name"] if row.kind == "train" else "+".join(row.members),
        "dataset": data.name,
        "n": len(data.validation.labels),
        **scores,
        "train_top1": best["top1"],
        "epochs": len(history),
        "best_epoch": best["epoch"],
        "seconds": sum(seconds) + sum(line.get("members_seconds", 0) for line in history),
        "seconds_per_epoch": float(np.median(seconds)),
        "images_per_second": float(np.median([line["images_per_second"] for line in history])),
        "parameters": parameters,
        "trainable": sum(int(np.prod(v.shape)) for v in model.trainable_variables),
        "macs": macs,
        "seed": row.seed,
        **{key: found[key] for key in ("backend", "device", "date", "command")},
        "expect": row.expect.model_dump(exclude_none=True) if row.expect else None,
    }


def _compile(row: Train, model: keras.Model) -> keras.Model:
    """Return the model up to its logits, compiled: the loss is exact on logits, not on probs."""
    trainer = keras.Model(model.input, model.get_layer("logits").output, name="trainer")
    plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classes = model.output.shape[-1]
    trainer.compile(
        optimizer=optimizer(row.optimizer),
        loss=distill.loss(row.distill) if row.distill else plain,
        metrics=[distill.TopK(min(k, classes), name=f"top{k}") for k in (1, 3, 5)],
        jit_compile=row.jit,
    )
    trainer.optimizer.build(trainer.trainable_variables)
    return trainer
