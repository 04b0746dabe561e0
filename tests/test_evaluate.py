"""Scores, what is kept of a model's predictions, and the classes of single image files."""

import json
import re

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from sklearn.metrics import log_loss, top_k_accuracy_score

from experiments.datasets import Dataset, Split
from experiments.evaluate import (
    accuracy,
    calibration_error,
    evaluate,
    model_file,
    predict_probs,
    write_outputs,
)
from experiments.predict import predict

NAMES = ("goldfish, Carassius auratus", "monarch", "school bus [yellow]", "lemon")
RNG = np.random.default_rng(0)


def network(classes=4, shape=(16, 16, 3)):
    """A network small enough to compile in a second; its answers vary from image to image."""
    import keras

    keras.utils.set_random_seed(0)
    x = inputs = keras.Input(shape)
    x = keras.layers.Rescaling(1 / 64, -2)(x)
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    x = keras.layers.Flatten()(x)
    return keras.Model(inputs, keras.layers.Dense(classes, "softmax", name="probs")(x))


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    def split(n: int) -> Split:
        images = RNG.integers(0, 256, (n, 16, 16, 3), np.uint8)
        return Split(images, RNG.integers(0, len(NAMES), n))

    return Dataset("noise", split(20), split(37), NAMES, NAMES)


@pytest.fixture(scope="module")
def run(model, dataset, tmp_path_factory):
    """A run's folder as far as evaluation and prediction read it."""
    folder = tmp_path_factory.mktemp("run")
    model.save(folder / "model.keras")
    described = {"name": "noise", "class_names": NAMES, "image_shape": [16, 16, 3]}
    (folder / "dataset.json").write_text(json.dumps(described))
    return folder


# Scores ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 4, 10, 200])
def test_scores_are_those_of_scikit_learn(classes):
    probs = RNG.random((500, classes)).astype(np.float32) ** 3
    probs /= probs.sum(axis=1, keepdims=True)
    labels = RNG.integers(0, classes, 500)
    scores = accuracy(probs, labels)
    for k in (1, 3, 5):
        if k < classes:
            labels_seen = {"labels": np.arange(classes)} if classes > 2 else {}
            scored = probs if classes > 2 else probs[:, 1]
            expected = 100 * top_k_accuracy_score(labels, scored, k=k, **labels_seen)
            assert scores[f"top{k}"] == pytest.approx(expected)
        else:
            assert scores[f"top{k}"] == 100
    # float32 probabilities: scikit-learn takes the logarithm in single precision.
    assert scores["loss"] == pytest.approx(log_loss(labels, probs, labels=range(classes)), rel=1e-5)


def test_of_equal_probabilities_the_lower_class_ranks_first():
    """As in argmax; scikit-learn ranks the higher class first, so it is given classes reversed."""
    probs = RNG.integers(1, 4, (400, 7)).astype(np.float32)
    probs /= probs.sum(axis=1, keepdims=True)
    labels = RNG.integers(0, 7, 400)
    scores = accuracy(probs, labels)
    assert scores["top1"] == pytest.approx(100 * np.mean(probs.argmax(axis=1) == labels))
    for k in (1, 3, 5):
        expected = top_k_accuracy_score(6 - labels, probs[:, ::-1], k=k, labels=np.arange(7))
        assert scores[f"top{k}"] == pytest.approx(100 * expected)
    constant = np.full((7, 7), 1 / 7)
    assert accuracy(constant, np.arange(7))["top1"] == pytest.approx(100 / 7)


def test_a_sure_mistake_has_a_finite_loss():
    loss = accuracy(np.eye(3, dtype=np.float32), np.array([1, 2, 0]))["loss"]
    assert loss == pytest.approx(-np.log(np.finfo(np.float32).eps))


@pytest.mark.parametrize(
    ("bins", "expected"),
    [
        (1, 0.85 - 0.5),
        # Up to 0.75: 0.7 and 0.75, one right; above: 0.95 and 1, one right.
        (4, (2 * (0.725 - 0.5) + 2 * (0.975 - 0.5)) / 4),
        # Up to 0.7 and 0.8: one each, wrong and right; above 0.9: 0.95 and 1, one right.
        (10, (0.7 + 0.25 + 2 * (0.975 - 0.5)) / 4),
    ],
)
def test_calibration_error_of_a_case_computed_by_hand(bins, expected):
    confidence = np.array([0.7, 0.75, 0.95, 1.0])
    probs = np.stack([1 - confidence, confidence], axis=1)
    error = calibration_error(probs, np.array([0, 1, 0, 1]), bins=bins)
    assert error == pytest.approx(100 * expected)


def test_calibration_tells_sure_from_right():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 10, 1000)
    assert calibration_error(np.eye(10)[labels], labels) == 0
    assert calibration_error(np.eye(10)[(labels + 1) % 10], labels) == 100
    # Labels drawn with the probabilities told: 15 bins of about 1,300 images, gaps of about 1 %.
    probs = rng.dirichlet(np.ones(5), 20000)
    drawn = (probs.cumsum(axis=1) > rng.random((20000, 1))).argmax(axis=1)
    assert calibration_error(probs, drawn) < 2
    sharper = probs**4 / (probs**4).sum(axis=1, keepdims=True)
    assert calibration_error(sharper, drawn) > 20


@pytest.mark.parametrize("bins", [0, 2.5])
def test_calibration_needs_a_bin(bins):
    with pytest.raises(ValueError, match=f"bins={bins}: give a whole number of 1 or more"):
        calibration_error(np.eye(2), np.array([0, 1]), bins)


@pytest.mark.parametrize("score", [accuracy, calibration_error])
@pytest.mark.parametrize(
    ("probs", "labels", "told"),
    [
        (np.ones((3, 2)) / 2, np.array([0, 1]), r"probs \(3, 2\) and labels \(2,\)"),
        (np.ones(3), np.array([0, 1, 0]), r"probs \(3,\)"),
        (np.ones((0, 2)), np.zeros(0, int), r"probs \(0, 2\)"),
        (np.ones((2, 2)) / 2, np.array([0, 2]), "from 0 to 2: whole numbers from 0 to 1"),
        (np.ones((2, 2)) / 2, np.array([0.0, 1.0]), "type float64"),
        (np.full((2, 2), np.nan), np.array([0, 1]), "not finite"),
    ],
)
def test_scores_of_what_does_not_fit_are_refused(score, probs, labels, told):
    with pytest.raises(ValueError, match=told):
        score(probs, labels)


# Predictions -------------------------------------------------------------------------------------


@pytest.mark.backend
@pytest.mark.parametrize("batch_size", [8, 37, 100])
def test_batches_change_nothing(model, dataset, batch_size):
    """37 images: ragged for 8, whole for 37, one short batch for 100."""
    images = dataset.validation.images
    probs = predict_probs(model, images, batch_size)
    assert probs.shape == (37, 4) and probs.dtype == np.float32
    # Another batch size may sum in another order: float32 rounding.
    np.testing.assert_allclose(probs, model.predict(images, verbose=0), rtol=1e-4, atol=1e-6)


def test_memory_mapped_and_lazy_images_are_read_by_batches(model, dataset, tmp_path):
    path = tmp_path / "images.npy"
    np.save(path, dataset.validation.images)
    mapped = Split(np.load(path, mmap_mode="r"), dataset.validation.labels)
    expected = predict_probs(model, dataset.validation.images, 8)
    np.testing.assert_array_equal(predict_probs(model, mapped.images, 8), expected)
    lazy = mapped.take(np.arange(37)[::-1]).images
    np.testing.assert_allclose(predict_probs(model, lazy, 8)[::-1], expected, rtol=1e-4, atol=1e-6)


def test_images_that_do_not_fit_the_model_are_refused(model):
    with pytest.raises(ValueError, match=r"\(32, 32, 3\).* takes \(16, 16, 3\)"):
        predict_probs(model, np.zeros((2, 32, 32, 3), np.uint8))
    with pytest.raises(ValueError, match="n > 0"):
        predict_probs(model, np.zeros((0, 16, 16, 3), np.uint8))
    with pytest.raises(ValueError, match=r"shape \(16, 16, 3\)"):
        predict_probs(model, np.zeros((16, 16, 3), np.uint8))
    with pytest.warns(UserWarning, match="between 0 and 1: .*raw pixels"):
        predict_probs(model, np.eye(16, dtype=np.float32)[None, :, :, None].repeat(3, axis=-1))


@pytest.mark.backend
def test_outputs_hold_predictions_mistakes_and_views(model, dataset, tmp_path):
    import augment

    scores = write_outputs(tmp_path, model, dataset, policy=augment.get("C"), seed=3)
    with np.load(tmp_path / "predictions.npz", allow_pickle=False) as predictions:
        probs, labels = predictions["probs"], predictions["labels"]
    assert (probs.dtype, labels.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(labels, dataset.validation.labels)
    assert scores == accuracy(probs, labels)

    with np.load(tmp_path / "samples.npz", allow_pickle=False) as archive:
        samples = dict(archive)
    wrong = np.flatnonzero(probs.argmax(axis=1) != labels)
    wrong = wrong[np.argsort(-probs.max(axis=1)[wrong], kind="stable")][:24]
    np.testing.assert_array_equal(samples["wrong_images"], dataset.validation.images[wrong])
    np.testing.assert_array_equal(samples["wrong_labels"], labels[wrong])
    np.testing.assert_array_equal(samples["wrong_predictions"], probs.argmax(axis=1)[wrong])
    assert (np.diff(samples["wrong_confidence"]) <= 0).all()

    original, augmented = samples["original"], samples["augmented"]
    assert (original.shape, original.dtype) == ((6, 16, 16, 3), np.uint8)
    assert (augmented.shape, augmented.dtype) == ((6, 5, 16, 16, 3), np.uint8)
    # The views are those of training: image i of epoch e under the run's seed.
    train = dataset.train.images
    indices = [int(np.flatnonzero((train == o).all(axis=(1, 2, 3)))[0]) for o in original]
    again = augment.batch(original, augment.get("C"), seed=3, epoch=4, indices=np.array(indices))
    from keras import ops

    again = ops.convert_to_numpy(again)
    np.testing.assert_allclose(augmented[:, 4], again.clip(0, 255), atol=0.5)  # rounded to uint8


def test_known_probabilities_are_taken_as_they_are(dataset, tmp_path):
    labels = dataset.validation.labels
    scores = write_outputs(tmp_path, None, dataset, probs=np.eye(4)[labels])
    assert (scores["top1"], scores["loss"]) == (100, 0)
    with np.load(tmp_path / "samples.npz", allow_pickle=False) as samples:
        assert samples["wrong_images"].shape == (0, 16, 16, 3)
        assert "augmented" not in samples
    assert {path.name for path in tmp_path.iterdir()} == {"predictions.npz", "samples.npz"}


# A finished run ----------------------------------------------------------------------------------


@pytest.mark.backend
def test_a_run_evaluates_again_to_the_same_scores(run, model, dataset):
    console = Console(width=120, record=True)
    scores = evaluate(run, dataset, batch_size=16, console=console)
    expected = accuracy(predict_probs(model, dataset.validation.images), dataset.validation.labels)
    assert scores == pytest.approx(expected, rel=1e-4)
    text = console.export_text()
    assert f"{scores['top1']:.2f} %" in text and f"{scores['loss']:.4f}" in text
    assert "best class: " in text and "worst class: " in text


def test_another_data_set_is_refused(run, dataset, tmp_path):
    import dataclasses

    fewer = dataclasses.replace(dataset, class_names=NAMES[:3])
    with pytest.raises(ValueError, match="4 and 3 of them"):
        evaluate(run, fewer)
    other = dataclasses.replace(dataset, class_names=(*NAMES[:3], "lime"))
    with pytest.raises(ValueError, match="class 3 is 'lemon' and 'lime'"):
        evaluate(run, other)
    with pytest.raises(ValueError, match="dataset.json is missing"):
        evaluate(tmp_path, dataset)
    with pytest.raises(ValueError, match="model.keras does not exist"):
        model_file(tmp_path)


# Image files -------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path, dataset):
    """The same picture as it is, enlarged, transparent, in gray and from a palette."""
    original = Image.fromarray(dataset.validation.images[0])
    made = {
        "plain [1].png": original,
        "large.png": original.resize((40, 30)),
        "transparent.png": original.convert("RGBA"),
        "gray.jpg": original.convert("L"),
        "palette.gif": original.convert("P"),
    }
    made["transparent.png"].putalpha(128)
    for name, image in made.items():
        image.save(tmp_path / name)
    return {name: tmp_path / name for name in made}


@pytest.mark.backend
def test_predict_ranks_named_classes(run, model, dataset, pictures):
    console = Console(width=120, record=True)
    paths = list(pictures.values())
    found = predict(run, [*paths, paths[0]], top=3, console=console)
    assert [prediction.path for prediction in found] == [*paths, paths[0]]
    expected = predict_probs(model, dataset.validation.images[:1])[0]
    order = np.argsort(-expected)[:3]
    assert found[0].classes == tuple(NAMES[label] for label in order)
    assert found[0].probs == pytest.approx(expected[order], rel=1e-4)
    assert found[0] == found[-1] and found[0].resized_from is None
    assert [p.resized_from for p in found[1:5]] == [(40, 30), None, None, None]
    text = console.export_text()
    assert "large.png, resized from 40x30 to 16x16 (Lanczos)" in text
    # Brackets are text, not markup.
    assert "plain [1].png\n" in text and "school bus [yellow]" in text


def test_predict_knows_no_more_than_the_model(run, model, pictures, tmp_path):
    lone = tmp_path / "lone.keras"
    model.save(lone)
    found = predict(lone, [pictures["gray.jpg"]], top=10, console=Console(quiet=True))
    assert sorted(found[0].classes) == [f"class {label}" for label in range(4)]
    assert sum(found[0].probs) == pytest.approx(1, abs=1e-5)


def test_a_gray_model_takes_color_files(pictures, tmp_path):
    network(2, (16, 16, 1)).save(tmp_path / "gray.keras")
    found = predict(tmp_path / "gray.keras", [pictures["large.png"]], console=Console(quiet=True))
    assert len(found[0].classes) == 2


def test_all_unreadable_files_are_named_before_the_model_loads(tmp_path, pictures):
    (tmp_path / "model.keras").write_text("never read")
    (tmp_path / "notes.txt").write_text("no image")
    whole = pictures["plain [1].png"].read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "deep.png")
    names = ("absent.png", "notes.txt", "cut.png", "deep.png")
    with pytest.raises(ValueError, match="cannot read") as caught:
        predict(tmp_path, [pictures["large.png"], *(tmp_path / name for name in names)])
    told = str(caught.value)
    assert re.search(r"absent\.png: no such file.*notes\.txt: not an image", told)
    assert re.search(r"cut\.png: .*deep\.png: mode I;16: save it with 8 bits", told)
    assert "large.png" not in told


def test_predict_refuses_empty_requests_and_runs(tmp_path, pictures):
    with pytest.raises(ValueError, match="no images given"):
        predict(tmp_path, [])
    with pytest.raises(ValueError, match="top=0"):
        predict(tmp_path, [pictures["large.png"]], top=0)
    with pytest.raises(ValueError, match="model.keras does not exist"):
        predict(tmp_path, [pictures["large.png"]])
    with pytest.raises(ValueError, match="does not exist"):
        predict(tmp_path / "absent.keras", [pictures["large.png"]])
