"""What a model says of images, and what a run keeps of it."""

import numpy as np
import pytest

from experiments.datasets import Dataset, Split
from experiments.runs import Run, names
from experiments.runs.scores import accuracy
from experiments.training.predict import augmented_views, check_finite, predict_probs

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def model():
    """A network that compiles in a second; its answers vary from image to image."""
    import keras

    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 64, -2)(x)
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    x = keras.layers.Flatten()(x)
    return keras.Model(inputs, keras.layers.Dense(4, "softmax", name="probs")(x))


@pytest.fixture(scope="module")
def noise() -> Dataset:
    def split(n: int) -> Split:
        images = RNG.integers(0, 256, (n, 16, 16, 3), np.uint8)
        return Split(images, RNG.integers(0, 4, n))

    return Dataset("noise", split(20), split(37), tuple("abcd"), tuple("abcd"))


@pytest.mark.backend
@pytest.mark.parametrize("batch_size", [8, 37, 100])
def test_batches_change_nothing(model, noise, batch_size):
    """37 images: ragged for 8, whole for 37, one short batch for 100."""
    images = noise.validation.images
    probs = predict_probs(model, images, batch_size)
    assert probs.shape == (37, 4) and probs.dtype == np.float32
    # Another batch size may sum in another order: float32 rounding.
    np.testing.assert_allclose(probs, model.predict(images, verbose=0), rtol=1e-4, atol=1e-6)


def test_memory_mapped_and_lazy_images_are_read_by_batches(model, noise, tmp_path):
    path = tmp_path / "images.npy"
    np.save(path, noise.validation.images)
    mapped = Split(np.load(path, mmap_mode="r"), noise.validation.labels)
    expected = predict_probs(model, noise.validation.images, 8)
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


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_images_and_models_that_are_not_finite_are_refused(value, model):
    import keras

    images = np.full((5, 16, 16, 3), 100, np.float32)
    images[3, 0, 0, 0] = value
    with pytest.raises(ValueError, match="images 2 to 3: some pixels are not finite"):
        predict_probs(model, images, 2)
    check_finite(model, "the model")
    broken = keras.models.clone_model(model)
    broken.layers[2].set_weights([np.full((3, 3, 3, 8), value), np.zeros(8)])
    with pytest.raises(ValueError, match=r"the model has weights that are not finite \(conv"):
        check_finite(broken, "the model")


@pytest.mark.backend
def test_outputs_hold_predictions_mistakes_and_views(model, noise, tmp_path):
    from keras import ops

    import augment

    run, policy = Run(tmp_path), augment.get("C")
    known = predict_probs(model, noise.validation.images)
    scores = run.write_outputs(noise, known, augmented_views(noise.train.images, policy, seed=3))
    assert (run.probs.dtype, run.labels.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(run.labels, noise.validation.labels)
    assert scores == accuracy(run.probs, run.labels)

    wrong = np.flatnonzero(known.argmax(axis=1) != run.labels)
    wrong = wrong[np.argsort(-known.max(axis=1)[wrong], kind="stable")][:24]
    np.testing.assert_array_equal(run.samples["wrong_images"], noise.validation.images[wrong])
    np.testing.assert_array_equal(run.samples["wrong_labels"], run.labels[wrong])
    np.testing.assert_array_equal(run.samples["wrong_predictions"], known.argmax(axis=1)[wrong])
    assert (np.diff(run.samples["wrong_confidence"]) <= 0).all()

    original, augmented = run.samples["original"], run.samples["augmented"]
    assert (original.shape, original.dtype) == ((6, 16, 16, 3), np.uint8)
    assert (augmented.shape, augmented.dtype) == ((6, 5, 16, 16, 3), np.uint8)
    # The views are those of training: image i of epoch e under the run's seed.
    train = noise.train.images
    indices = [int(np.flatnonzero((train == o).all(axis=(1, 2, 3)))[0]) for o in original]
    again = augment.batch(original, policy, seed=3, epoch=4, indices=np.array(indices))
    again = ops.convert_to_numpy(again)
    np.testing.assert_allclose(augmented[:, 4], again.clip(0, 255), atol=0.5)  # rounded to uint8


def test_known_probabilities_are_taken_as_they_are(noise, tmp_path):
    run = Run(tmp_path)
    scores = run.write_outputs(noise, np.eye(4)[noise.validation.labels])
    assert (scores["top1"], scores["loss"]) == (100, 0)
    assert run.samples["wrong_images"].shape == (0, 16, 16, 3)
    assert "augmented" not in run.samples
    assert {path.name for path in tmp_path.iterdir()} == {names.PREDICTIONS, names.SAMPLES}
