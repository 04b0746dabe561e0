"""One row from start to end: what it keeps, what it learns from, and how it fails."""

import dataclasses

import numpy as np
import pytest

import augment
import zoo
from experiments import recipes
from experiments.datasets import Split
from experiments.place import Place
from experiments.runs import Run, names
from experiments.training import callbacks, check
from experiments.training.train import labels
from experiments.training.train import run as run_row


@pytest.fixture
def place(stripes, tmp_path, monkeypatch) -> Place:
    """A place whose data sets are all the stripes."""
    monkeypatch.setattr(Place, "dataset", lambda self, images, listener: stripes)
    return Place(runs=tmp_path)


@pytest.mark.backend
def test_a_run_folder_holds_what_its_readers_expect(finished):
    finished.check()
    metrics, history = finished.metrics, finished.history
    assert (metrics["recipe"], metrics["kind"], metrics["model"]) == (
        "test/tiny",
        "train",
        "alphanet_v4",
    )
    assert metrics["n"] == finished.dataset["validation"] == 24
    assert len(history["epoch"]) == metrics["epochs"] == 3
    assert history["lr"] == pytest.approx(0.01)
    assert list(history["images"]) == [64, 128, 192]
    profile = zoo.profile(zoo.load(finished.model_file))
    assert (metrics["parameters"], metrics["macs"]) == profile
    assert metrics["trainable"] == metrics["parameters"] > 0
    assert metrics["backend"] == finished.environment["backend"]
    kept = {path.name for path in finished.path.iterdir() if path.name != ".lock"}
    assert kept == {
        names.RECIPE,
        names.ENVIRONMENT,
        names.DATASET,
        names.HISTORY,
        names.METRICS,
        names.MODEL,
        names.PREDICTIONS,
        names.SAMPLES,
    }
    assert recipes.load(finished.path / names.RECIPE) == finished.row


def test_a_balanced_row_counts_classes_alike(parse, stripes):
    """A class of one image counts as much as one of sixteen; plain rows weigh nothing."""
    few = stripes.train.take(np.flatnonzero((stripes.train.labels > 0) | (np.arange(64) == 0)))
    data = dataclasses.replace(stripes, train=few)
    weights = labels(parse(balance="weights"), data).weights
    counts = np.bincount(few.labels)
    assert list(counts) == [1, 16, 16, 16]
    assert weights * counts == pytest.approx(np.full(4, 49 / 4))
    assert labels(parse(), data).weights is None


def test_the_balanced_accuracy_stands_in_the_metrics(finished):
    """The validation images are six of each class: it equals the plain accuracy."""
    assert finished.metrics["balanced_top1"] == pytest.approx(finished.metrics["top1"])


@pytest.mark.backend
def test_the_epoch_that_is_kept_is_the_one_that_the_row_names(
    parse, train, stripes, tmp_path, monkeypatch
):
    told, hear = [25.0, 75.0, 50.0], callbacks.Clock.on_epoch_end

    def on_epoch_end(clock, epoch: int, logs: dict) -> None:
        hear(clock, epoch, logs)
        clock.line["val_top1"] = told[epoch]

    monkeypatch.setattr(callbacks.Clock, "on_epoch_end", on_epoch_end)
    best = train(parse(keep="best"), tmp_path / "best", stripes)
    last = train(parse(keep="last"), tmp_path / "last", stripes)
    two = train(parse(keep="last", epochs=2), tmp_path / "two", stripes)
    for run in (best, last):
        assert (run.metrics["best_epoch"], run.metrics["last_top1"]) == (2, 50.0)
        assert run.metrics["keep"] == run.row.keep and run.metrics["epochs"] == 3
    weights = [zoo.load(run.model_file).get_weights() for run in (best, two)]
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))
    # History has six digits.
    assert best.metrics["loss"] == pytest.approx(best.history["val_loss"][1], rel=1e-4)
    assert last.metrics["loss"] == pytest.approx(last.history["val_loss"][2], rel=1e-4)
    assert best.metrics["train_top1"] == pytest.approx(best.history["top1"][1], rel=1e-4)


@pytest.mark.backend
def test_a_loss_that_is_no_number_ends_the_run_at_once(
    parse, train, stripes, tmp_path, listening, monkeypatch
):
    from experiments.training.train import train as direct

    row = parse(optimizer={"name": "sgd", "learning_rate": 1e30}, epochs=50)
    for _ in range(2):  # the same command says the same
        with pytest.raises(ValueError, match=r"the loss is (nan|inf) in step \d+: ") as caught:
            direct(row, tmp_path / "run", stripes, listener=listening)
        assert "lower optimizer.learning_rate" in str(caught.value)
        assert "in a new --run-dir" in str(caught.value)
    ended = [text for text in listening.said if text.startswith("epoch")]
    assert len(ended) < 2 and not Run(tmp_path / "run").finished


def test_augmented_images_are_shown_as_training_saw_them(parse, train, stripes, tmp_path):
    run = train(parse(augment="C", epochs=1), tmp_path / "run", stripes)
    assert run.samples["augmented"].shape == (6, 5, 28, 28, 1)
    assert run.samples["original"].shape == (6, 28, 28, 1)


def test_mixed_images_are_shown_as_training_saw_them(parse, train, stripes, tmp_path):
    row = parse(mix={"cutmix": 1.0}, augment={"cutout": 9}, epochs=1, seed=4)
    samples = train(row, tmp_path / "run", stripes).samples
    images = stripes.train.images
    found = [np.flatnonzero((images == o).all(axis=(1, 2, 3)))[0] for o in samples["original"]]
    policy = augment.get(row.augment)
    for epoch in range(5):
        draws = {"seed": 4, "epoch": epoch, "n": 64, "shape": (28, 28, 1)}
        drawn = augment.draw_mix(augment.Mix(cutmix=1.0), indices=found, **draws)
        own, other = (
            augment.batch(images[numbers], policy, seed=4, epoch=epoch, indices=numbers)
            for numbers in (found, drawn["partner"])
        )
        mixed = np.asarray(augment.apply_mix(own, other, drawn)).round().astype("uint8")
        np.testing.assert_array_equal(samples["augmented"][:, epoch], mixed)


@pytest.mark.backend
@pytest.mark.parametrize("validation", ["plain", "smoothed"])
def test_the_loss_of_validation_images_is_plain_unless_smoothed(
    validation, parse, train, stripes, tmp_path
):
    loss = {"label_smoothing": 0.4, "validation": validation}
    row = parse(loss=loss, mix={"mixup": 1.0}, epochs=2, keep="last")
    run = train(row, tmp_path / "run", stripes)
    said = np.log(run.probs)
    plain = -said[np.arange(24), run.labels].mean()
    smoothed = 0.6 * plain - 0.4 * said.mean()
    expected = {"plain": plain, "smoothed": smoothed}[validation]
    assert abs(plain - smoothed) > 0.01, "the test would show too little"
    # History has six digits.
    assert run.history["val_loss"][-1] == pytest.approx(expected, rel=1e-4)
    assert run.metrics["loss"] == pytest.approx(plain, rel=1e-4)


def test_a_share_of_the_images_is_all_that_is_seen(parse, train, stripes, tmp_path):
    share = {"holdout": 0.25, "folds": 3, "fold": 1}
    run = train(parse(share=share, epochs=1), tmp_path / "run", stripes)
    assert (run.dataset["train"], run.metrics["n"]) == (32, 24)
    assert run.dataset["digest"] == stripes.digest


# Networks -------------------------------------------------------------------------------------


@pytest.mark.backend
def test_a_frozen_body_trains_the_classifier_alone(parse, train, stripes, finished, tmp_path):
    model = parse().model | {"weights": str(finished.model_file)}
    run = train(parse(model=model, freeze="body"), tmp_path / "run", stripes)
    before, after = (zoo.load(one.model_file) for one in (finished, run))
    # Batch normalization's statistics among it.
    for ours, theirs in zip(after.layers, before.layers, strict=True):
        pairs = list(zip(ours.get_weights(), theirs.get_weights(), strict=True))
        same = all(np.array_equal(a, b) for a, b in pairs)
        assert same == (ours.name != "logits"), ours.name
    trained = sum(weight.size for weight in after.get_layer("logits").get_weights())
    assert run.metrics["trainable"] == trained < run.metrics["parameters"]


@pytest.mark.backend
def test_a_network_of_mixed_precision_says_float32(parse, train, stripes, tmp_path):
    import keras

    row = parse(precision="mixed_bfloat16", epochs=1)
    model = zoo.load(train(row, tmp_path / "run", stripes).model_file)
    assert {layer.compute_dtype for layer in model.layers} >= {"bfloat16", "float32"}
    assert model.get_layer("logits").compute_dtype == model.output.dtype == "float32"
    assert {weight.dtype for weight in model.weights if "seed" not in weight.path} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


def test_an_optimizer_that_there_is_not_is_told_before_data_is_read(parse, tmp_path, monkeypatch):
    monkeypatch.setattr(Place, "dataset", None)
    for changes in ({"name": "adamm"}, {"name": "adam", "momentun": 0.9}):
        with pytest.raises(ValueError, match=f"optimizer {changes['name']} with"):
            run_row(parse(optimizer=changes), tmp_path / "run", Place())
    assert not (tmp_path / "run").exists()


# Teachers and adversarial images --------------------------------------------------------------


@pytest.mark.backend
def test_a_network_learns_from_a_teacher(parse, finished, place, tmp_path):
    row = parse(distill={"teacher": str(finished.path)})
    metrics = run_row(row, tmp_path / "run", place)
    history, best = Run(tmp_path / "run").history, metrics["best_epoch"] - 1
    # Of validation images the loss and the accuracy are those by the labels, as in every run.
    assert history["val_loss"][best] == pytest.approx(metrics["loss"], rel=1e-4)
    assert history["val_top1"][best] == pytest.approx(metrics["top1"], abs=1e-3)
    assert history["loss"][best] != pytest.approx(history["val_loss"][best], rel=0.05)


def test_a_teacher_of_other_images_is_refused(parse, finished, place, stripes, monkeypatch):
    row = parse(distill={"teacher": str(finished.path)})
    for teacher in ({"name": "stripes", "resample": "bicubic"}, {"name": "lines"}):
        with pytest.raises(ValueError, match="distillation needs the same images"):
            check.check(row, {str(finished.path): parse(data=teacher)}, place)
    check.check(row, {str(finished.path): finished.row}, place)
    other = dataclasses.replace(stripes, class_names=tuple("abdc"))
    monkeypatch.setattr(Place, "dataset", lambda *_: other)
    with pytest.raises(ValueError, match="class 2 is 'c' and 'd'"):
        run_row(row, place.runs / "run", place)


@pytest.mark.parametrize("field", ["distill", "adversarial"])
def test_a_teacher_and_extra_images_go_with_their_fields(field, parse, train, stripes, tmp_path):
    fields = {"distill": {"teacher": "x"}, "adversarial": {"folder": "x"}}
    name = {"distill": "teacher", "adversarial": "extra"}[field]
    with pytest.raises(ValueError, match=f"test/tiny and {name}= do not go together"):
        train(parse(**{field: fields[field]}), tmp_path / "run", stripes)
    with pytest.raises(ValueError, match=f"test/tiny and {name}= do not go together"):
        train(parse(), tmp_path / "run", stripes, **{name: stripes.train})
    assert not (tmp_path / "run").exists()


def test_extra_images_are_seen_and_counted(parse, train, stripes, tmp_path):
    class Counting(Split):
        seen: list = []

        def join(self, other):
            self.seen.append(len(other))
            return super().join(other)

    part = Counting(stripes.train.images, stripes.train.labels)
    data = dataclasses.replace(stripes, train=part)
    row = parse(adversarial={"folder": "x", "per_batch": 4}, epochs=1)
    run = train(row, tmp_path / "run", data, extra=stripes.train.take(range(5)))
    assert Counting.seen == [5] and run.dataset["train"] == 64
    plain = train(parse(epochs=1), tmp_path / "plain", stripes)
    assert run.history["loss"] != plain.history["loss"]


def test_networks_and_folders_that_do_not_fit_are_told_beforehand(parse, tmp_path, place):
    row = parse(adversarial={"folder": str(tmp_path / "none")})
    with pytest.raises(ValueError, match="none holds no adversarial images"):
        check.check(row, {}, place)
    with pytest.raises(ValueError, match="filterss"):
        check.check(parse(model={"name": "alphanet_v4", "filterss": [1]}), {}, place)
