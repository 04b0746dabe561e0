"""Layers on other kernels: Keras' own in all but speed."""

import keras
import numpy as np
import pytest

from zoo import _kernels

# Channels, maps, groups, strides, padding.
CASES = [(8, 8, 4, 1, "same"), (6, 12, 3, 2, "valid"), (4, 8, 4, 1, "same")]


@pytest.mark.backend
@pytest.mark.parametrize(("channels", "maps", "groups", "strides", "padding"), CASES)
def test_a_step_of_grouped_maps_ends_as_with_keras(channels, maps, groups, strides, padding):
    rng = np.random.default_rng(0)
    images = rng.standard_normal((2, 7, 7, channels), dtype="float32")
    models = []
    for make in (keras.layers.Conv2D, _kernels.conv2d()):
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


@pytest.mark.backend
@pytest.mark.parametrize(
    "options",
    [{}, {"scale": False, "epsilon": 2e-5}, {"center": False}, {"trainable": False}],
    ids=str,
)
def test_a_step_of_batch_normalization_ends_as_with_keras(options):
    rng = np.random.default_rng(0)
    images = rng.normal(3, 2, (5, 4, 4, 3)).astype("float32")
    models = []
    for make in (keras.layers.BatchNormalization, _kernels.batch_normalization()):
        inputs = keras.Input((4, 4, 3))
        layer = make(momentum=0.9, **{"epsilon": 1e-5, **options})
        mixed = keras.layers.Conv2D(3, 1)(inputs)  # its kernel learns through the layer
        models.append(keras.Model(inputs, layer(mixed)))
    weights = [rng.normal(1, 0.1, w.shape) for w in models[0].get_weights()]
    outputs = []
    for model in models:
        model.set_weights(weights)
        model.compile(keras.optimizers.SGD(0.1), "mean_squared_error", jit_compile=False)
        loss = model.train_on_batch(images, np.sin(images))
        outputs.append((loss, model.predict_on_batch(images)))
    # Means over 80 values in another order; moving statistics and gradients among the weights.
    (loss, maps), (own_loss, own_maps) = outputs
    assert own_loss == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(own_maps, maps, rtol=1e-4, atol=1e-4)
    for theirs, own in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(own, theirs, rtol=1e-4, atol=1e-5)
    assert np.abs(models[1].get_weights()[0] - weights[0]).max() > 1e-3
    variance = models[1].layers[-1].get_weights()[-1]
    assert (np.abs(variance - weights[-1]).max() > 1e-2) == options.get("trainable", True)


LAYERS = {
    "Conv2D": (_kernels.conv2d(), (8, 3)),
    "BatchNormalization": (_kernels.batch_normalization(), ()),
}


@pytest.mark.parametrize("name", LAYERS)
def test_they_are_saved_as_keras_own(name):
    make, arguments = LAYERS[name]
    layer = make(*arguments)
    saved = keras.saving.serialize_keras_object(layer)
    assert (saved["module"], saved["class_name"]) == ("keras.layers", name)
    assert type(keras.saving.deserialize_keras_object(saved)) is getattr(keras.layers, name)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="about TensorFlow's kernels")
def test_without_kernels_it_is_keras_own(monkeypatch):
    layer = _kernels.conv2d()(4, 3, groups=2)
    images = np.ones((1, 5, 5, 4), "float32")
    expected = keras.ops.convert_to_numpy(layer(images))
    monkeypatch.setattr(_kernels, "_trains", lambda dtype: False)
    assert keras.ops.convert_to_numpy(layer(images)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.backend
def test_a_step_of_gelu_ends_as_with_keras():
    rng = np.random.default_rng(0)
    images = rng.normal(0, 3, (5, 4, 4, 3)).astype("float32")
    models = []
    for make in (keras.layers.Activation, _kernels.activation()):
        inputs = keras.Input((4, 4, 3))
        mixed = keras.layers.Conv2D(3, 1)(inputs)  # its kernel learns through the layer
        models.append(keras.Model(inputs, make("gelu")(mixed)))
    models[1].set_weights(models[0].get_weights())
    losses = []
    for model in models:
        model.compile(keras.optimizers.SGD(0.1), "mean_squared_error", jit_compile=False)
        losses.append(model.train_on_batch(images, np.sin(images)))
    # The error function of two libraries, in float32.
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    for theirs, own in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        assert own == pytest.approx(theirs, abs=1e-5)
