"""Grouped convolutions: Keras' layer in all but the kernels that compute it."""

import keras
import numpy as np
import pytest

from zoo import _grouped

# Channels, maps, groups, strides, padding.
CASES = [(8, 8, 4, 1, "same"), (6, 12, 3, 2, "valid"), (4, 8, 4, 1, "same")]


@pytest.mark.backend
@pytest.mark.parametrize(("channels", "maps", "groups", "strides", "padding"), CASES)
def test_a_step_of_training_ends_as_with_keras(channels, maps, groups, strides, padding):
    rng = np.random.default_rng(0)
    images = rng.standard_normal((2, 7, 7, channels), dtype="float32")
    models = []
    for make in (keras.layers.Conv2D, _grouped.conv2d()):
        inputs = keras.Input((7, 7, channels))
        layer = make(maps, 3, strides, padding, groups=groups)
        models.append(keras.Model(inputs, layer(inputs)))
    keras_model, ours = models
    ours.set_weights(keras_model.get_weights())
    outputs = [model.predict_on_batch(images) for model in models]
    assert outputs[0] == pytest.approx(outputs[1], abs=1e-5)  # sums of 9 * channels / groups terms
    before = ours.get_weights()[0]
    for model in models:
        model.compile(keras.optimizers.SGD(0.1), "mean_squared_error", jit_compile=False)
        model.train_on_batch(images, np.ones_like(outputs[0]))
    for theirs, own in zip(keras_model.get_weights(), ours.get_weights(), strict=True):
        assert own == pytest.approx(theirs, abs=1e-5)
    assert np.abs(ours.get_weights()[0] - before).max() > 1e-3


def test_it_is_saved_as_keras_own():
    saved = keras.saving.serialize_keras_object(_grouped.conv2d()(8, 3, groups=2))
    assert (saved["module"], saved["class_name"]) == ("keras.layers", "Conv2D")
    assert type(keras.saving.deserialize_keras_object(saved)) is keras.layers.Conv2D


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="about TensorFlow's kernels")
def test_without_kernels_it_is_keras_own(monkeypatch):
    layer = _grouped.conv2d()(4, 3, groups=2)
    images = np.ones((1, 5, 5, 4), "float32")
    expected = keras.ops.convert_to_numpy(layer(images))
    monkeypatch.setattr(_grouped, "_trains", lambda dtype: False)
    assert keras.ops.convert_to_numpy(layer(images)) == pytest.approx(expected, abs=1e-5)
