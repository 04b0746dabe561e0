"""Robustness: what is measured on what, for models and for their votes."""

import csv

import numpy as np
import pytest
from rich.console import Console

import augment
from experiments import _robustness, evaluate, robust
from experiments.datasets import Dataset, Split

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
def card(data, tmp_path_factory):
    """Two models and their votes, measured once."""
    out = tmp_path_factory.mktemp("card")
    models = {"one": matcher(data, 1), "two": matcher(data, 2)}
    options = {"epsilons": (8.0, 60.0), "console": Console(quiet=True)}
    return models, out, robust.measure(models, data, out, **options)


def scores(rows, model):
    return {(r["measure"], r["strength"]): r["top1"] for r in rows if r["model"] == model}


def test_every_model_and_vote_has_every_measure(card):
    _, out, rows = card
    wanted = {("clean", 0.0)} | {(name, eps) for name in ATTACKS for eps in (8.0, 60.0)}
    wanted |= {(kind, float(severity)) for kind in CORRUPTIONS for severity in range(1, 6)}
    for model in ("one", "two", "vote: mean", "vote: mode"):
        assert scores(rows, model).keys() == wanted
    with open(out / _robustness.FILE) as file:
        written = list(csv.DictReader(file))
    assert [(row["model"], float(row["top1"])) for row in written] == [
        (row["model"], row["top1"]) for row in rows
    ]
    assert {"device", "date", "command", "versions"} <= written[0].keys()


def test_scores_are_those_of_the_images_they_name(card, data):
    models, _, rows = card
    images, labels = data.validation.images, data.validation.labels
    found = scores(rows, "one")

    def top1(changed):
        return evaluate.accuracy(evaluate.predict_probs(models["one"], changed), labels)["top1"]

    assert found["clean", 0.0] == top1(images) > 95
    attacked = augment.fgsm(models["one"], images, labels, epsilon=60.0)
    assert found["fgsm", 60.0] == top1(attacked) < 5
    assert found["pgd", 60.0] < 5
    assert found["contrast", 3.0] == top1(augment.corrupt(images, "contrast", 3))
    # The mean of two linear models falls to images made against it.
    assert scores(rows, "vote: mean")["fgsm", 60.0] < 5


def test_a_limit_draws_images_by_the_seed(data, tmp_path):
    model = {"one": matcher(data, 1)}
    options = {"epsilons": (4.0,), "limit": 12, "console": Console(quiet=True)}
    first = robust.measure(model, data, tmp_path, **options)
    again = robust.measure(model, data, tmp_path, **options)
    assert {row["n"] for row in first} == {12}
    assert first == again
    assert not any(row["model"].startswith("vote") for row in first)


def test_the_report_reads_the_card(card):
    _, out, rows = card
    section = _robustness.section(out / _robustness.FILE)
    read, found = section["card"], scores(rows, "two")
    assert (read.n, read.models) == (60, ["one", "two", "vote: mean", "vote: mode"])
    assert read.clean("two") == found["clean", 0.0]
    assert read.attacked("two", "pgd", 8.0) == found["pgd", 8.0]
    severities = [found["jpeg", float(severity)] for severity in range(1, 6)]
    assert read.corrupted("two", "jpeg") == pytest.approx(np.mean(severities))
    axes = section["figure"].axes[0]
    assert len(axes.lines) == 8  # FGSM and PGD of four
    assert axes.lines[0].get_ydata().tolist() == [
        scores(rows, "one")[key] for key in (("clean", 0.0), ("fgsm", 8.0), ("fgsm", 60.0))
    ]


def test_a_damaged_card_is_named(tmp_path):
    (tmp_path / "robustness.csv").write_text("model,measure\none,clean\n")
    with pytest.raises(ValueError, match=r"robustness.csv cannot be used \(no n, strength, top1\)"):
        _robustness.read(tmp_path / "robustness.csv")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"epsilons": ()}, "grey levels above 0"),
        ({"epsilons": (0.0,)}, "grey levels above 0"),
        ({"limit": 0}, "limit=0"),
    ],
)
def test_numbers_that_do_not_fit(data, tmp_path, options, told):
    with pytest.raises(ValueError, match=told):
        robust.measure({"m": matcher(data, 1)}, data, tmp_path, console=Console(), **options)


def test_models_of_other_images_cannot_vote(data, tmp_path):
    import keras

    image = keras.Input((8, 8, 3))
    probs = keras.layers.Dense(CLASSES, "softmax", name="probs")(keras.layers.Flatten()(image))
    models = {"one": matcher(data, 1), "other": keras.Model(image, probs)}
    with pytest.raises(ValueError, match=r"they cannot vote: one .*16, 16.*other .*8, 8"):
        robust.measure(models, data, tmp_path, console=Console())
