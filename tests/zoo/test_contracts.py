"""Contracts of every architecture, on its cheap form."""

import numpy as np
import pytest

import zoo
from zoo import _families

FAMILIES = list(_families.FAMILIES)


# XLA takes 5 to 25 s to compile a training step, so JAX and torch see two networks, which between
# them have every kind of layer but depthwise convolution.
ON_BACKENDS = {"alphanet", "resnet"}


@pytest.mark.parametrize(
    "family", [pytest.param(f, marks=[pytest.mark.backend] * (f in ON_BACKENDS)) for f in FAMILIES]
)
def test_one_step_moves_every_weight(family, tiny, images):
    import keras

    model = zoo.build(**tiny(family), input_shape=(32, 32, 3), classes=10)
    # A large rate: the gradients of biases in front of a normalization are but rounding errors,
    # those of a scale with nothing but filters of its channel in between not much more.
    model.compile(
        keras.optimizers.SGD(1e3),
        "sparse_categorical_crossentropy",
        run_eagerly=keras.config.backend() == "tensorflow",  # one step is not worth a graph
    )
    before = [keras.ops.convert_to_numpy(w.value) for w in model.trainable_weights]
    model.train_on_batch(images(8, 32, 32, 3).astype("float32"), np.arange(8))
    for weight, old in zip(model.trainable_weights, before, strict=True):
        new = keras.ops.convert_to_numpy(weight.value)
        assert np.isfinite(new).all(), weight.path
        assert (new != old).any(), weight.path


@pytest.mark.parametrize("family", FAMILIES)
def test_the_cheap_form_is_cheap(family, small):
    assert small(family).count_params() < 15e6  # VGG-16 without its dense layers has 14.7 million


@pytest.mark.parametrize("family", FAMILIES)
def test_saved_model_needs_no_custom_objects(family, tmp_path, small, images):
    import keras

    model, image = small(family), images(2, 32, 32, 3)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    # Same graph and weights; but Keras' own grouped convolutions add in another order.
    np.testing.assert_allclose(loaded(image), model(image), atol=1e-6)


@pytest.mark.backend
@pytest.mark.parametrize("family", FAMILIES)
def test_loaded_model_predicts_the_same(family, tmp_path, small, images):
    model, image = small(family), images(2, 32, 32, 3)
    model.save(tmp_path / "m.keras")
    expected = model.predict(image, verbose=0)
    assert np.allclose(expected.sum(axis=1), 1, atol=1e-5)  # float32
    loaded = zoo.load(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.predict(image, verbose=0), expected)


@pytest.mark.backend
def test_pixels_may_be_bytes_or_floats(small, images):
    model, image = small("resnet"), images(2, 32, 32, 3)
    as_bytes = model.predict(image, verbose=0)
    as_floats = model.predict(image.astype("float32"), verbose=0)
    np.testing.assert_array_equal(as_bytes, as_floats)


@pytest.mark.backend
@pytest.mark.parametrize("channels", [1, 3])
def test_first_layer_normalizes(channels, images):
    import keras

    mean, std = (0.2, 0.4, 0.6), (0.1, 0.2, 0.3)
    model = zoo.build("resnet18", input_shape=(28, 28, channels), mean=mean, std=std)
    first = keras.Model(model.input, model.get_layer("normalize").output)
    image = images(1, 28, 28, channels)
    if channels == 1:
        mean, std = (0.4,), (0.2,)
    # float32, with values up to 8
    np.testing.assert_allclose(first(image), (image / 255 - mean) / std, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_ends_stay_float32_in_mixed_precision(family, tiny, images, classifier_of):
    import keras

    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = zoo.build(**tiny(family), input_shape=(32, 32, 3), classes=10)
    finally:
        keras.config.set_dtype_policy("float32")
    dtypes = {layer.name: layer.output.dtype for layer in model.layers}
    for name in ("normalize", "logits", "probs"):
        assert dtypes[name] == "float32", name
    assert classifier_of(model).input.dtype == "bfloat16"
    assert all(weight.dtype == "float32" for weight in model.weights)
    assert np.isfinite(model(images(2, 32, 32, 3))).all()


@pytest.mark.backend
def test_seed_gives_the_same_weights_on_every_backend():
    import keras

    keras.utils.set_random_seed(3)
    model = zoo.build("alphanet_v4", input_shape=(28, 28, 1), filters=(2,) * 5, dense=2)
    layers = [model.get_layer(name) for name in ("conv1", "dense1", "logits")]
    ours = [layer.get_weights()[0].ravel()[0] for layer in layers]
    np.testing.assert_allclose(ours, [0.051491, 0.31418, -0.011564], atol=1e-6)
