"""Robustness: what is measured on what, for models and for their votes."""

import csv
import dataclasses

import numpy as np
import pytest

import augment
from experiments.datasets import Dataset, Split
from experiments.place import Place
from experiments.runs import Run, tables
from experiments.runs.scores import accuracy
from experiments.studies import robust
from experiments.training.predict import predict_probs

CLASSES, SIDE = 3, 16
ATTACKS, CORRUPTIONS = ("fgsm", "pgd"), tuple(augment.CORRUPTIONS)


@pytest.fixture(scope="module")
def data():
    """Images that are a pattern of their class under noise."""
    rng = np.random.default_rng(0)
    patterns = rng.integers(64, 192, (CLASSES, SIDE, SIDE, 3))
    labels = np.repeat(np.arange(CLASSES), 20)
    images = patterns[labels] + rng.normal(0, 30, (len(labels), SIDE, SIDE, 3))
    split = Split(images.clip(0, 255).astype(np.uint8), labels)
    names = tuple("abc")
    return Dataset("patterns", split, split, names, names)


def matcher(data, seed):
    """A linear classifier: the mean of some images of each class is its pattern."""
    import keras

    image = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 128, -1)(image))
    logits = keras.layers.Dense(CLASSES, name="logits")(x)
    model = keras.Model(image, keras.layers.Softmax(name="probs")(logits), name="matcher")
    rng, images = np.random.default_rng(seed), np.asarray(data.train.images) / 128 - 1
    chosen = [rng.choice(np.flatnonzero(data.train.labels == c), 5) for c in range(CLASSES)]
    patterns = np.stack([images[rows].mean(axis=0).ravel() for rows in chosen])
    model.get_layer("logits").set_weights([0.1 * patterns.T, -0.05 * (patterns**2).sum(axis=1)])
    return model


@pytest.fixture(scope="module")
def card(data):
    """Two models and their votes, measured once."""
    models = {"one": matcher(data, 1), "two": matcher(data, 2)}
    return models, robust.measure(models, data, epsilons=(8.0, 60.0))


def scores(rows, model):
    return {(r["measure"], r["strength"]): r["top1"] for r in rows if r["model"] == model}


def test_every_model_and_vote_has_every_measure(card):
    wanted = {("clean", 0.0)} | {(name, eps) for name in ATTACKS for eps in (8.0, 60.0)}
    wanted |= {(kind, float(severity)) for kind in CORRUPTIONS for severity in range(1, 6)}
    for model in ("one", "two", "vote: mean", "vote: mode"):
        assert scores(card[1], model).keys() == wanted
    assert {row["n"] for row in card[1]} == {60}


def test_scores_are_those_of_the_images_they_name(card, data):
    models, rows = card
    images, labels = data.validation.images, data.validation.labels
    found = scores(rows, "one")

    def top1(changed):
        return accuracy(predict_probs(models["one"], changed), labels)["top1"]

    assert found["clean", 0.0] == top1(images) > 95
    attacked = augment.fgsm(models["one"], images, labels, epsilon=60.0)
    assert found["fgsm", 60.0] == top1(attacked) < 5
    assert found["pgd", 60.0] < 5
    assert found["contrast", 3.0] == top1(augment.corrupt(images, "contrast", 3))
    # The mean of two linear models falls to images made against it.
    assert scores(rows, "vote: mean")["fgsm", 60.0] < 5


def test_a_limit_draws_images_by_the_seed_and_changes_none(data, monkeypatch):
    model, seen = {"one": matcher(data, 1)}, []

    def note(kind, find):
        def noting(*given, **options):
            found = find(*given, **options)
            seen.append((kind, given[1:] if kind == "corrupt" else (), found))
            return found

        monkeypatch.setattr(augment, kind, noting)

    for kind in ("pgd", "corrupt"):
        note(kind, getattr(augment, kind))

    def measured(**options):
        seen.clear()
        return robust.measure(model, data, epsilons=(4.0,), **options), list(seen)

    first, some = measured(limit=12)
    assert {row["n"] for row in first} == {12}
    assert measured(limit=12)[0] == first
    assert not any(row["model"].startswith("vote") for row in first)
    rows = np.sort(np.random.RandomState(0).permutation(60)[:12])
    for (what, strength, part), (*same, whole) in zip(some, measured()[1], strict=True):
        assert [what, strength] == same
        # Batches of another size sum in another order, which decides ties of the gradient.
        assert np.mean(part != whole[rows]) < (0.001 if what == "pgd" else 1e-9)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"epsilons": ()}, "grey levels above 0"),
        ({"epsilons": (0.0,)}, "grey levels above 0"),
        ({"epsilons": (float("nan"),)}, "grey levels above 0"),
        ({"limit": 0}, "limit=0"),
    ],
)
def test_numbers_that_do_not_fit(data, options, told):
    with pytest.raises(ValueError, match=told):
        robust.measure({"m": matcher(data, 1)}, data, **options)


def test_models_of_other_images_cannot_vote(data):
    import keras

    image = keras.Input((8, 8, 3))
    probs = keras.layers.Dense(CLASSES, "softmax", name="probs")(keras.layers.Flatten()(image))
    models = {"one": matcher(data, 1), "other": keras.Model(image, probs)}
    with pytest.raises(ValueError, match=r"they cannot vote: one .*16, 16.*other .*8, 8"):
        robust.measure(models, data)


def test_a_model_that_is_not_finite_is_named(data):
    broken = matcher(data, 1)
    broken.get_layer("logits").bias.assign([0, np.nan, 0])
    with pytest.raises(ValueError, match=r"two has weights that are not finite \(logits/bias\)"):
        robust.measure({"one": matcher(data, 1), "two": broken}, data)


# Runs --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(data, finish, tmp_path_factory) -> list[Run]:
    folder = tmp_path_factory.mktemp("runs")
    return [
        finish(folder / name, matcher(data, seed), data, recipe=f"test/{name}", share={})
        for seed, name in ((1, "one"), (2, "two"))
    ]


@pytest.fixture
def place(data, monkeypatch) -> Place:
    """Where a data set is that `experiments.datasets` does not know."""
    monkeypatch.setattr(Place, "check", lambda *_: None)
    monkeypatch.setattr(Place, "dataset", lambda *_: data)
    return Place()


def test_runs_are_measured_and_the_rows_are_kept(runs, card, place, tmp_path):
    found = robust.of_runs(runs, place, tmp_path / "out", epsilons=(8.0, 60.0))
    assert found.rows == card[1]
    assert found.path == tmp_path / "out" / tables.ROBUSTNESS
    with open(found.path) as file:
        written = list(csv.DictReader(file))
    assert [(row["model"], float(row["top1"])) for row in written] == [
        (row["model"], row["top1"]) for row in found.rows
    ]
    assert {"device", "date", "command", "versions"} <= written[0].keys()


def test_runs_that_cannot_vote_together_are_refused_at_once(
    runs, data, finish, place, monkeypatch, tmp_path
):
    monkeypatch.setattr(Place, "dataset", lambda *_: pytest.fail("data was decoded"))
    small = {"name": "patterns", "size": 8, "resample": "nearest"}
    size = finish(tmp_path / "size", matcher(data, 1), data, data=small, share={})
    turned = dataclasses.replace(data, class_names=tuple("bca"), class_ids=tuple("bca"))
    order = finish(tmp_path / "order", matcher(data, 1), turned, share={})
    darker = Split(data.validation.images // 2, data.validation.labels)
    darker = dataclasses.replace(data, validation=darker, digest=None)
    images = finish(tmp_path / "images", matcher(data, 1), darker, share={})
    for other, told in (
        (size, r"patterns at 8 px \(nearest\), .* for patterns: .* cannot vote"),
        (order, "class 0 is 'a' and 'b'"),
        (images, "the validation images or labels are others"),
        (Run(runs[0].path), "given twice"),
        (Run(tmp_path / "none"), r"none/model\.keras does not exist"),
    ):
        with pytest.raises(ValueError, match=told):
            robust.of_runs([runs[0], other], place, tmp_path / "out")
    with pytest.raises(ValueError, match="no runs given"):
        robust.of_runs([], place, tmp_path / "out")


def test_other_data_and_places_that_cannot_be_written_are_refused(
    runs, data, place, monkeypatch, tmp_path
):
    turned = dataclasses.replace(data, class_names=tuple("bca"), class_ids=tuple("bca"))
    monkeypatch.setattr(Place, "dataset", lambda *_: turned)
    with pytest.raises(ValueError, match="class 0 is 'a' and 'b'.*--data-dir"):
        robust.of_runs(runs, place, tmp_path / "out")
    monkeypatch.setattr(Place, "dataset", lambda *_: pytest.fail("data was decoded"))
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot write to .*a file stands where a folder"):
        robust.of_runs(runs, place, tmp_path / "file")
