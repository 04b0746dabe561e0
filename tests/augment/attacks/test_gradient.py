"""Contracts of the input gradient."""

import keras
import numpy as np
import pytest

import augment

CLASSES = 4
SHAPE = (6, 6, 3)
# Gradients are float32 sums of some hundred terms, compared with float64 on each backend, by the
# largest entry. Half of 1e-4, so that any two backends agree to 1e-4.
TOLERANCE = 5e-5


def weights_of(model):
    return [np.array(w) for w in model.get_weights()]


def assert_close(gradient, exact):
    assert gradient.dtype == np.float32
    np.testing.assert_allclose(gradient, exact, rtol=0, atol=TOLERANCE * np.abs(exact).max())


@pytest.mark.backend
def test_the_gradient_of_a_linear_model_is_the_closed_form(images, labels, linear, linear_gradient):
    model = linear()
    gradient = augment.input_gradient(model, images, labels)
    assert_close(gradient, linear_gradient(model, images, labels))


@pytest.mark.backend
def test_the_gradient_equals_central_differences(images, labels, convolutional, losses):
    model, images = convolutional(), images.astype(np.float64)
    exact, half = np.empty_like(images), 1e-2  # an error of half**2, the pixels' scale being 255
    for pixel in np.ndindex(SHAPE):
        at = np.zeros(SHAPE)
        at[pixel] = half
        rise = losses(model, images + at, labels) - losses(model, images - at, labels)
        exact[:, *pixel] = rise / (2 * half)
    assert_close(augment.input_gradient(model, images, labels), exact)


@pytest.mark.backend
def test_the_model_stays_as_it_is(images, labels, convolutional):
    model = convolutional()
    before = weights_of(model)
    augment.pgd(model, images, labels, epsilon=8, step=2, steps=2)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.backend
def test_new_weights_are_seen_by_a_compiled_gradient(images, labels, linear, linear_gradient):
    model = linear()
    gradient = augment.Gradient(model)
    gradient(images, labels)
    model.set_weights([-0.5 * w for w in model.get_weights()])
    assert_close(gradient(images, labels), linear_gradient(model, images, labels))


def nested(model):
    """The model as features and a nested head, like a stack."""
    pooled = keras.Input((5,))
    head = keras.layers.Dense(CLASSES, name="logits")
    probs = keras.layers.Softmax(name="probs")(head(pooled))
    image = keras.Input(SHAPE)
    features = keras.Model(model.input, model.get_layer("pooled").output)(image)
    whole = keras.Model(image, keras.Model(pooled, probs, name="head")(features))
    head.set_weights(model.get_layer("logits").get_weights())
    return whole


def wrapped(model):
    image = keras.Input(SHAPE)
    return keras.Model(image, model(image))


def listed(model):
    """The model with lists of one input and one output."""
    image = keras.Input(SHAPE)
    return keras.Model([image], [model(image)])


def unnamed(model):
    """The model without a layer called `logits`: its probabilities are all there is."""
    image = keras.Input(SHAPE)
    probs = keras.layers.Activation("linear")(model(image))
    return keras.Model(image, probs)


@pytest.mark.backend
@pytest.mark.parametrize("build", [nested, wrapped, listed, unnamed])
def test_the_gradient_is_the_same_wherever_the_logits_are(images, labels, build, convolutional):
    model = convolutional()
    expected = augment.input_gradient(model, images, labels)
    assert_close(augment.input_gradient(build(model), images, labels), expected)


@pytest.mark.backend
@pytest.mark.parametrize("build", [lambda model: model, wrapped])
def test_a_saturated_softmax_keeps_its_gradient(images, build, linear, linear_gradient):
    """Right and certain: the probability of the label is 1 in float32."""
    model = linear(scale=0.02)
    probs = model.predict_on_batch(images.astype("float32"))
    certain = probs.max(axis=1) == 1
    assert certain.any()
    images, labels = images[certain], probs.argmax(axis=1)[certain]
    gradient = augment.input_gradient(build(model), images, labels)
    exact = linear_gradient(model, images, labels)
    scale = np.abs(exact).max(axis=(1, 2, 3), keepdims=True)
    # Logits of up to 100 are off by 1e-5 in float32, and the gradient is their exponential.
    np.testing.assert_allclose(gradient / scale, exact / scale, rtol=0, atol=1e-4)


@pytest.mark.backend
def test_a_stack_is_differentiated_through_its_head(images, labels, linear):
    import stacking

    stack = stacking.stack({"one": linear(), "two": linear()}, head=(8,), seed=0)
    through_probs = augment.input_gradient(unnamed(stack), images, labels)
    assert np.abs(through_probs).max() > 0
    assert_close(augment.input_gradient(stack, images, labels), through_probs)


@pytest.mark.backend
def test_ragged_batches_compile_nothing(images, labels, linear):
    if keras.backend.backend() == "torch":
        pytest.skip("torch runs as it reads: nothing is compiled")
    calls = []

    class Counted(keras.layers.Layer):
        def call(self, x):
            calls.append(x.shape)
            return x

    image = keras.Input(SHAPE)
    model = linear()
    gradient = augment.Gradient(keras.Model(image, model(Counted()(image))), batch_size=3)
    calls.clear()  # of building
    gradient(images, labels)  # 3 + 3 + 1 images
    gradient(images[:2], labels[:2])
    assert calls == [(3, *SHAPE)]
