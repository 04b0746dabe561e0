"""Blocks of steps on JAX: what they share with Keras' loop, and scans with single steps."""

import functools
import re
import shutil

import keras
import numpy as np
import pytest

import augment
import zoo
from experiments.datasets import Dataset, Enlarged, Split
from experiments.runs import Run
from experiments.training import _rows, blocks, checkpoint, enlarging, feed
from experiments.training.targets import Labels, Teacher

pytestmark = pytest.mark.backend

# Four steps of 15 images and one of four make an epoch; the network has dropout.
PLAIN = {
    "jit": "auto",
    "batch_size": 15,
    "augment": {"alternating_flip": True, "width_shift": 0.1, "rotation": 9.0, "cutout": 8},
    "loss": {"label_smoothing": 0.2},
    "optimizer": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9, "nesterov": True},
    "schedule": {"name": "one_cycle", "start": 0.2, "end": 0.07},
    "average": {"name": "lookahead", "every": 3, "rising": True},
    "keep": "last",
}
# All else that has a state, or a part in a batch; it stops early. SGD too: a bias before batch
# normalization has rounding errors for a gradient, of which Adam makes whole steps.
OTHER = {
    "jit": "auto",
    "batch_size": 15,
    "epochs": 5,
    "augment": {"channel_shift": 30.0, "width_shift": 3},
    "mix": {"mixup": 0.4, "cutmix": 1.0, "probability": 0.8},
    "adversarial": {"folder": "somewhere", "per_batch": 3},
    "optimizer": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9},
    "schedule": {"name": "plateau", "patience": 1, "factor": 0.5, "min_delta": 100.0},
    "early_stop": {"patience": 2, "monitor": "val_top1", "min_delta": 100.0},
    "average": {"name": "ema", "decay": 0.9},
    "refresh": 2,
}
ROWS = {"plain": PLAIN, "other": OTHER}
TIMES = ("seconds", "images_per_second")

jax_alone = pytest.mark.skipif(keras.backend.backend() != "jax", reason="blocks are for JAX")


@pytest.fixture(scope="module")
def run(parse, train, stripes):
    """Train a row of the table, changed; other options are those of `train`."""

    def of(name: str, folder, changes: dict | None = None, **options) -> Run:
        if "adversarial" in ROWS[name]:
            options["extra"] = Split(255 - stripes.train.images[:7], stripes.train.labels[:7])
        return train(parse(**ROWS[name] | (changes or {})), folder, stripes, **options)

    return of


@pytest.fixture(scope="module")
def looped(run, tmp_path_factory):
    """Return a run of a row in blocks, step by step as on every CPU."""
    return functools.cache(lambda name: run(name, tmp_path_factory.mktemp(name) / "run"))


@pytest.fixture
def by_keras(monkeypatch) -> None:
    """Train by Keras' loop."""
    monkeypatch.setattr(blocks, "hindrance", lambda *_: "a test")


@pytest.fixture
def scans(monkeypatch) -> None:
    """Take the CPU for an accelerator, with blocks of two steps."""
    monkeypatch.setattr(blocks, "on_accelerator", lambda: True)
    monkeypatch.setattr(feed, "room", lambda: 1e9)
    monkeypatch.setattr(blocks, "length", lambda steps: 2)


@jax_alone
@pytest.mark.parametrize("name", ROWS)
def test_step_by_step_it_is_keras_s_loop(name, looped, run, by_keras, assert_same, tmp_path):
    assert_same(run(name, tmp_path / "run"), looped(name))


@jax_alone
@pytest.mark.parametrize("name", ROWS)
def test_a_scan_is_the_same_up_to_rounding(name, looped, run, scans, tmp_path):
    """Weights begin at about 0.3, and 15 steps of rounding are far below a change of any score."""
    ours, theirs = run(name, tmp_path / "run"), looped(name)
    weights = (zoo.load(one.model_file).get_weights() for one in (ours, theirs))
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert ours.history.keys() == theirs.history.keys()
    for key in ours.history.keys() - set(TIMES):
        np.testing.assert_allclose(ours.history[key], theirs.history[key], rtol=1e-4, err_msg=key)
    assert ours.metrics["ended_by"] == theirs.metrics["ended_by"]


@jax_alone
def test_scans_enlarge_images_that_are_stored_small(
    stripes, parse, train, scans, tmp_path, monkeypatch
):
    """Of training and of validation; with nothing drawn, programs differ in their images alone."""
    halves = [Split(s.images[:, ::2, ::2], s.labels) for s in (stripes.train, stripes.validation)]
    small = [Split(Enlarged(s.images, 28, "bicubic"), s.labels) for s in halves]
    large = [Split(np.asarray(s.images), s.labels) for s in small]
    row = parse(**PLAIN | {"augment": None, "epochs": 1, "average": None})
    runs = []
    for name, (one, other) in {"large": large, "small": small}.items():
        monkeypatch.setattr(enlarging, "on_accelerator", lambda: True)
        data = Dataset("stripes", one, other, tuple("abcd"), tuple("abcd"))
        runs.append(train(row, tmp_path / name, data))
    for ours, theirs in zip(*(zoo.load(run.model_file).get_weights() for run in runs), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)  # as above, of rounding
    for key in ("loss", "val_loss", "val_top1"):
        np.testing.assert_allclose(*(run.history[key] for run in runs), rtol=1e-4)


@jax_alone
@pytest.mark.parametrize("how", ["step by step", "scans"])
def test_a_run_that_was_cut_off_ends_like_an_unbroken_one(
    how, looped, run, assert_same, request, tmp_path
):
    if how == "scans":
        request.getfixturevalue("scans")
    unbroken = looped("plain") if how != "scans" else run("plain", tmp_path / "unbroken")
    broken = run("plain", tmp_path / "broken", cut=2)
    assert broken.begun and not broken.finished
    assert_same(run("plain", tmp_path / "broken"), unbroken)


@jax_alone
@pytest.mark.parametrize("how", ["step by step", "scans"])
def test_training_ends_after_exactly_so_many_steps(how, run, request, tmp_path, monkeypatch):
    """Eight: an epoch of five, a block of two, and a part of a block."""
    if how == "scans":
        request.getfixturevalue("scans")
    done, save = [], checkpoint.Checkpoint.save

    def saved(self, model, *rest) -> None:
        done.append(int(model.optimizer.iterations))
        save(self, model, *rest)

    monkeypatch.setattr(checkpoint.Checkpoint, "save", saved)
    found = run("plain", tmp_path / "run", {"max_steps": 8})
    assert found.metrics["ended_by"] == "max_steps" and done == [5, 8]
    assert list(found.history["images"]) == [64, 64 + 45]


@jax_alone
def test_training_ends_with_the_block_in_which_its_hours_end(run, scans, tmp_path):
    found = run("plain", tmp_path / "run", {"max_hours": 1e-9})
    assert found.metrics["ended_by"] == "max_hours"
    assert list(found.history["images"]) == [30]


@jax_alone
def test_divergence_is_told_with_its_step(parse, stripes, listening, tmp_path, monkeypatch):
    from experiments.training.train import train

    # The first update leaves no number of the second step finite, however it is rounded.
    changes = {"optimizer": {"name": "sgd", "learning_rate": 3e38}, "average": None}
    row, told = parse(**PLAIN | changes | {"schedule": {"name": "constant"}}), set()
    for why, scanned in (("a test", False), (None, False), (None, True)):
        monkeypatch.setattr(blocks, "hindrance", lambda *_, why=why: why)
        monkeypatch.setattr(blocks, "on_accelerator", lambda scanned=scanned: scanned)
        with pytest.raises(ValueError, match=r"the loss is (nan|inf) in step \d+: ") as caught:
            train(row, tmp_path / f"{why}{scanned}", stripes, listener=listening)
        told |= set(re.findall(r"step \d+", str(caught.value)))
    assert told == {"step 2"}
    assert listening.said == [
        "trains by Keras' loop: a test",
        f"trains in blocks of {blocks.ONE_BY_ONE} steps, step by step on a CPU",
        "trains in blocks of 4 steps, one program each",
    ]


@jax_alone
def test_each_size_of_the_images_has_blocks_of_its_own(
    parse, train, stripes, scans, assert_same, tmp_path
):
    def padded(split: Split) -> Split:
        return Split(np.pad(split.images, ((0, 0), (0, 4), (0, 4), (0, 0))), split.labels)

    parts = {key: padded(getattr(stripes, key)) for key in ("train", "validation")}
    larger = Dataset("stripes", **parts, class_names=tuple("abcd"), class_ids=tuple("abcd"))
    averaging = {"name": "resnext_narrow3", "blocks": 1, "flatten": False}
    changes = {"sizes": [[1, 32], [1, 28]], "epochs": None, "model": averaging}
    row, copies = parse(**PLAIN | changes), {32: larger}
    unbroken = train(row, tmp_path / "unbroken", stripes, copies=copies)
    assert list(unbroken.history["size"]) == [32, 28]
    train(row, tmp_path / "broken", stripes, copies=copies, cut=2)
    assert_same(train(row, tmp_path / "broken", stripes, copies=copies), unbroken)


# Batches ----------------------------------------------------------------------------------------

MIX = augment.Mix(mixup=0.4, cutmix=1.0, probability=0.8)
WHOLE = {"alternating_flip": True, "width_shift": 3, "cutout": 5}


@jax_alone
@pytest.mark.parametrize("mix", [None, MIX])
@pytest.mark.parametrize("policy", [None, {}, WHOLE, "C"], ids=["none", "empty", "whole", "C"])
@pytest.mark.parametrize("small", [False, True], ids=["", "enlarged"])
def test_blocks_are_made_of_the_batches_of_the_feed(small, policy, mix, stripes, monkeypatch):
    import jax

    split = stripes.train
    if small:
        split = Split(Enlarged(split.images, 40, "bicubic"), split.labels)
    plan = feed.Plan(50, 15, seed=3, extra=14, per_batch=2)
    policy = None if policy is None else augment.get(policy)
    drawing = _rows.Drawing(split, plan, policy, Labels(mixed=bool(mix)), mix)
    batches, (_, as_it_is) = drawing.batches(2), enlarging.apart(split.images)
    monkeypatch.setattr(enlarging, "on_accelerator", lambda: True)
    images, enlarge = enlarging.apart(split.images)
    assert images is stripes.train.images
    resident = jax.device_put(images)
    rows, code = drawing.rows(2, np.stack(list(plan.epoch(2))[: plan.whole]))
    compiled = jax.jit(functools.partial(_rows.seen, code=code, enlarge=enlarge))
    for step in range(plan.whole):
        images, targets = next(batches)
        np.testing.assert_array_equal(rows.row(step).targets, targets)
        by_itself = _rows.seen(split, rows.row(step), code, as_it_is)
        np.testing.assert_array_equal(by_itself, images)
        # In one program, products and sums may be rounded together: of 0 to 255, and where a
        # channel was shifted.
        ours = compiled(resident, rows.row(step))
        assert ours.dtype == images.dtype
        np.testing.assert_allclose(ours, images, atol=1e-3)


@pytest.mark.parametrize(
    ("steps", "due"), [(0, 1), (7, 7), (200, 200), (211, 100), (781, 71), (1000, 100), (390, 78)]
)
def test_blocks_divide_an_epoch_where_they_can(steps, due, monkeypatch):
    monkeypatch.setattr(blocks, "on_accelerator", lambda: True)
    assert blocks.length(steps) == due
    monkeypatch.setattr(blocks, "on_accelerator", lambda: False)
    assert blocks.length(steps) == blocks.ONE_BY_ONE


# Keras' loop ------------------------------------------------------------------------------------


def _compiled(**options) -> keras.Model:
    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten()])
    model.compile("sgd", **options)
    return model


def test_other_backends_have_keras_s_loop(stripes, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "abacus")
    assert blocks.hindrance(None, Labels(), [stripes.train]) == "only JAX has another"


@jax_alone
def test_what_needs_the_host_is_trained_by_keras_s_loop(stripes, monkeypatch):
    splits = [stripes.train, stripes.validation]
    assert blocks.hindrance(_compiled(), Labels(), splits) is None
    assert blocks.hindrance(_compiled(jit_compile=False), Labels(), splits) == "jit is off"
    assert blocks.hindrance(_compiled(run_eagerly=True), Labels(), splits) == "jit is off"
    teacher = Teacher.__new__(Teacher)
    assert blocks.hindrance(_compiled(), teacher, splits) == "a teacher answers on the host"
    with monkeypatch.context() as patch:
        patch.setattr(keras.distribution, "distribution", lambda: "two of them")
        told = "several devices share the work"
        assert blocks.hindrance(_compiled(), Labels(), splits) == told
    monkeypatch.setattr(blocks, "on_accelerator", lambda: True)
    for room, told in ((88 * 28 * 28, True), (88 * 28 * 28 + 1, False)):
        monkeypatch.setattr(feed, "room", lambda room=room: room)
        found = blocks.hindrance(_compiled(), Labels(), splits)
        assert found == ("0.00 GB of images are too many for the device" if told else None)


@jax_alone
def test_a_distilled_network_says_so(parse, train, stripes, finished, listening, tmp_path):
    from experiments.training.train import train as direct

    row = parse(distill={"teacher": "somewhere"}, jit="auto", epochs=1)
    teacher = zoo.load(shutil.copy(finished.model_file, tmp_path / "teacher.keras"))
    direct(row, tmp_path / "run", stripes, teacher=teacher, listener=listening)
    assert listening.said[0] == "trains by Keras' loop: a teacher answers on the host"
