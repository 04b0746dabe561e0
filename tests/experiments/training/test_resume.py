"""A run that was cut off ends bit-equal to one that was not."""

import dataclasses
import pathlib
from typing import ClassVar, Literal

import numpy as np
import pytest

from experiments import recipes
from experiments._files import write_json
from experiments.datasets import Split
from experiments.recipes import fitting, schemas
from experiments.recipes._part import Part
from experiments.runs import Run, names
from experiments.runs.folder import held

# All that has a state: dropout is in the network itself.
EVERYTHING = {
    "augment": {"alternating_flip": True, "width_shift": 3, "rotation": 9.0, "cutout": 8},
    "mix": {"mixup": 0.4, "cutmix": 1.0, "probability": 0.8},
    "loss": {"label_smoothing": 0.2, "validation": "smoothed"},
    "epochs": 4,
    "schedule": {"name": "plateau", "patience": 1, "factor": 0.5, "min_delta": 1.0},
    "early_stop": {"patience": 2, "monitor": "val_loss", "min_delta": 0.001},
    "distill": {"teacher": "somewhere/else", "alpha": 0.5},
    "adversarial": {"folder": "somewhere", "per_batch": 3},
}


@pytest.fixture(scope="module")
def extras(finished, stripes) -> dict:
    """A teacher, and seven images in the place of adversarial ones."""
    import zoo

    images = 255 - stripes.train.images[:7]
    extra = Split(images, stripes.train.labels[:7])
    return {"teacher": zoo.load(finished.model_file), "extra": extra}


@pytest.mark.backend
def test_a_run_that_is_cut_in_every_epoch_ends_like_an_unbroken_one(
    parse, train, assert_same, stripes, extras, tmp_path
):
    row = parse(**EVERYTHING)
    unbroken = train(row, tmp_path / "unbroken", stripes, **extras)
    epochs = unbroken.metrics["epochs"]
    assert epochs > 2 and len(set(unbroken.history["lr"])) > 1, "the test would show too little"
    for epoch in range(1, epochs + 1):
        broken = train(row, tmp_path / "broken", stripes, cut=epoch, **extras)
        assert broken.begun and not broken.finished
    assert_same(train(row, tmp_path / "broken", stripes, **extras), unbroken)
    assert not unbroken.state.exists()


@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_run_that_stopped_early_is_over_where_it_is_cut_afterwards(
    keep, parse, train, assert_same, stripes, tmp_path, monkeypatch
):
    """The cut comes after the last epoch: nothing is trained again."""
    stop = {"patience": 1, "monitor": "val_top1", "min_delta": 100.0}
    row = parse(early_stop=stop, keep=keep, epochs=5)
    unbroken = train(row, tmp_path / "unbroken", stripes)
    assert unbroken.metrics["epochs"] == 2
    with monkeypatch.context() as patch:
        patch.setattr(Run, "write_model", _raise)
        with pytest.raises(RuntimeError, match="cut"):
            train(row, tmp_path / "broken", stripes)
    (tmp_path / "broken" / names.HISTORY).unlink()
    assert_same(train(row, tmp_path / "broken", stripes), unbroken)


def test_a_cut_between_the_last_state_and_its_line_loses_no_line(
    parse, train, assert_same, finished, stripes, tmp_path, monkeypatch
):
    write = Run.write_history

    def cut(run: Run, lines: list) -> None:
        _raise() if len(lines) == 3 else write(run, lines)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "write_history", cut)
        with pytest.raises(RuntimeError, match="cut"):
            train(parse(), tmp_path / "run", stripes)
    assert_same(train(parse(), tmp_path / "run", stripes), finished)


def _raise(*_) -> None:
    raise RuntimeError("cut")


def test_a_finished_run_is_not_repeated(parse, train, stripes, finished, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")}
    before.pop(finished.path / ".lock")
    assert train(parse(), finished.path, stripes).metrics == finished.metrics
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


# What a folder is not to be gone on with ------------------------------------------------------


@pytest.mark.parametrize("state", ["begun", "finished"])
def test_another_recipe_in_the_same_folder_is_refused(state, request, parse, train, stripes):
    run = request.getfixturevalue(state)
    with pytest.raises(ValueError, match=r"another recipe \(batch_size: 16 -> 8; epochs: 3 -> 7\)"):
        train(parse(epochs=7, batch_size=8), run.path, stripes)


def _one_pixel(data, changed):
    images = data.train.images.copy()
    images[5, 1, 1] ^= 1
    return changed(data, "train", images=images)


OTHERS = {
    "one pixel": (_one_pixel, "the train images or labels are others, by their digest"),
    "one label": (
        lambda data, changed: changed(data, "validation", labels=data.validation.labels[::-1]),
        "the validation images or labels are others, by their digest",
    ),
    "order of classes": (
        lambda data, changed: dataclasses.replace(data, class_names=tuple("abdc")),
        "class 2 is 'c' and 'd'",
    ),
    "fewer classes": (
        lambda data, changed: dataclasses.replace(data, class_names=tuple("abc")),
        "4 classes and 3",
    ),
    "fewer images": (
        lambda data, changed: dataclasses.replace(data, train=data.train.take(range(60))),
        "training images: 64 and 60",
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_other_images_in_the_same_folder_are_refused(
    what, parse, train, changed, stripes, finished
):
    change, told = OTHERS[what]
    with pytest.raises(ValueError, match="begun on other images") as caught:
        train(parse(), finished.path, change(stripes, changed))
    assert told in str(caught.value) and "--data-dir" in str(caught.value)


def test_another_backend_in_the_same_folder_is_refused(parse, train, stripes, begun):
    write_json(begun.path / names.ENVIRONMENT, {"backend": "abacus"})
    with pytest.raises(ValueError, match="begun on abacus.*go on with --backend abacus"):
        train(parse(), begun.path, stripes)


def test_two_runs_never_share_a_folder(parse, train, stripes, tmp_path):
    with held(tmp_path / "run", parse()):
        with pytest.raises(ValueError, match="run is in use by another run"):
            train(parse(), tmp_path / "run", stripes)


# States that are of no use --------------------------------------------------------------------


def _truncate(file: pathlib.Path) -> None:
    file.write_bytes(file.read_bytes()[:2000])


def _of_an_earlier_version(file: pathlib.Path) -> None:
    with np.load(file) as state:
        arrays = {key: state[key] for key in state.files if key != "callbacks"}
    np.savez(file, progress=np.zeros(3), **arrays)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_truncate, "last.npz is damaged or cut off"),
        (lambda file: file.write_bytes(b""), "last.npz is damaged or cut off"),
        (_of_an_earlier_version, "last.npz was written by an earlier version"),
    ],
)
def test_a_state_of_no_use_is_told_with_the_way_on(damage, told, parse, train, stripes, begun):
    damage(begun.state / "last.npz")
    with pytest.raises(ValueError, match=told) as caught:
        train(parse(), begun.path, stripes)
    assert f"remove {begun.state} to begin this run anew" in str(caught.value)


@pytest.mark.parametrize(("units", "layers"), [(5, 1), (3, 2)])
def test_the_state_of_another_network_is_refused(units, layers, tmp_path):
    import keras

    from experiments.training.checkpoint import Checkpoint

    def compiled(units: int, layers: int) -> keras.Model:
        dense = [keras.layers.Dense(units) for _ in range(layers)]
        model = keras.Sequential([keras.Input((4,)), *dense])
        model.compile("adam", "mse")
        model.optimizer.build(model.trainable_variables)
        return model

    checkpoint = Checkpoint(tmp_path)
    checkpoint.save(compiled(3, 1), [], epoch=1, best=1)
    with pytest.raises(ValueError, match="belongs to another recipe"):
        checkpoint.restore(compiled(units, layers), [])


# Schedules ------------------------------------------------------------------------------------


class Falling(Part):
    """A schedule of these tests: the rate falls by a factor that shrinks."""

    name: Literal["falling"]
    factor: float


class Row(schemas.Train):
    """A row that may have it."""

    schedule: fitting.Constant | Falling


@pytest.fixture
def falling(monkeypatch):
    """Add the schedule to the tables."""
    from experiments.training import callbacks, schedules

    class Fall(callbacks.Saved):
        name: ClassVar = "falling"

        def __init__(self, spec, clock):
            super().__init__()
            self.clock, self.factor = clock, spec.factor

        def state(self) -> dict:
            return {"factor": self.factor}

        def on_epoch_end(self, epoch, logs=None):
            self.model.optimizer.learning_rate.assign(self.clock.line["lr"] * self.factor)
            self.factor /= 2

    kind = dataclasses.replace(recipes.KINDS["train"], schema=Row)
    monkeypatch.setitem(recipes.KINDS, "train", kind)
    monkeypatch.setitem(schedules.SCHEDULES, Falling, Fall)


def test_a_schedule_is_a_line_in_a_table_and_is_resumed(
    falling, parse, train, assert_same, stripes, tmp_path
):
    row = parse(schedule={"name": "falling", "factor": 0.5})
    unbroken = train(row, tmp_path / "unbroken", stripes)
    assert unbroken.history["lr"] == pytest.approx([0.01, 0.005, 0.00125])
    train(row, tmp_path / "broken", stripes, cut=3)
    assert_same(train(row, tmp_path / "broken", stripes), unbroken)


# What goes by the step --------------------------------------------------------------------------

GROUPS = {"bias": {"decay": 0.0}, "norm": {"rate": 4.0}, "head": {"rate": 0.5}}
SGD = {"name": "sgd", "learning_rate": 0.05, "momentum": 0.85, "nesterov": True}
BY_THE_STEP = {
    "constant": {
        "schedule": {"name": "constant", "warmup": 1.5},
        "optimizer": SGD | {"clip": 1.0},
    },
    "milestones": {
        "schedule": {"name": "milestones", "epochs": [1, 2], "factor": 0.5},
        "optimizer": SGD | {"weight_decay": 0.01, "groups": GROUPS},
        "average": {"name": "ema", "decay": 0.9},
    },
    "exponential": {
        "schedule": {"name": "exponential", "factor": 0.5, "staircase": True},
        "optimizer": {"name": "adamw", "weight_decay": 0.01, "groups": GROUPS},
        "average": {"name": "lookahead", "every": 3},
    },
    "cosine": {
        "schedule": {"name": "cosine", "warmup": 0.5},
        "optimizer": {"name": "lion", "learning_rate": 0.001},
        "average": {"name": "ema", "decay": 0.9, "every": 3},
        "keep": "last",
    },
    "one_cycle": {
        "schedule": {"name": "one_cycle", "start": 0.2, "end": 0.07},
        "optimizer": {"name": "muon", "learning_rate": 0.1, "groups": GROUPS},
        "average": {"name": "lookahead", "every": 3, "rising": True},
        "keep": "last",
    },
    "plateau": {
        "schedule": {"name": "plateau", "patience": 1, "factor": 0.5, "min_delta": 100.0},
        "optimizer": SGD,
        "average": {"name": "ema"},
    },
}


@pytest.mark.backend
@pytest.mark.parametrize("name", BY_THE_STEP)
def test_what_goes_by_the_step_is_resumed(name, parse, train, assert_same, stripes, tmp_path):
    row = parse(**BY_THE_STEP[name])
    unbroken = train(row, tmp_path / "unbroken", stripes)
    train(row, tmp_path / "broken", stripes, cut=3)
    assert_same(train(row, tmp_path / "broken", stripes), unbroken)
