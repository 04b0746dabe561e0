"""Small images and networks whose gradients are known."""

import keras
import numpy as np
import pytest

CLASSES = 4
SHAPE = (6, 6, 3)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Seven images away from black and white, where an attack would be clipped."""
    return np.random.default_rng(0).integers(60, 196, (7, *SHAPE)).astype(np.uint8)


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return np.arange(7) % CLASSES


@pytest.fixture(scope="module")
def targets(labels) -> np.ndarray:
    return (labels + 1) % CLASSES


def _linear(scale=0.002):
    """Softmax of a linear map of the pixels, whose gradient is known exactly."""
    image = keras.Input(SHAPE)
    scores = keras.layers.Dense(CLASSES, name="logits")(keras.layers.Flatten()(image))
    model = keras.Model(image, keras.layers.Softmax(name="probs")(scores))
    rng = np.random.default_rng(1)
    model.set_weights([scale * rng.standard_normal(w.shape) for w in model.get_weights()])
    return model


@pytest.fixture
def linear():
    """Return the function that makes a linear model; its gradient is known exactly."""
    return _linear


def _convolutional():
    """A network with a convolution, batch statistics of its own and dropout."""
    layers = keras.layers
    image = keras.Input(SHAPE)
    x = layers.Conv2D(5, 3, activation="tanh", name="conv")(layers.Rescaling(1 / 255)(image))
    x = layers.Dropout(0.5)(layers.BatchNormalization(name="bn")(x))
    x = layers.Dense(CLASSES, name="logits")(layers.GlobalAveragePooling2D(name="pooled")(x))
    model = keras.Model(image, layers.Softmax(name="probs")(x))
    rng = np.random.default_rng(2)
    drawn = [rng.uniform(0.1, 0.9, w.shape) * _signs(rng, w) for w in model.get_weights()]
    model.set_weights(drawn)
    return model


def _signs(rng, weights):
    """Signs for matrices alone: a variance has none."""
    return rng.choice([-1, 1], weights.shape) if weights.ndim > 1 else 1


@pytest.fixture
def convolutional():
    """Return the function that makes a small network."""
    return _convolutional


def _linear_gradient(model, images, labels):
    """weights @ (probabilities - one hot), in float64, without the subtraction from 1."""
    weights, bias = (w.astype(np.float64) for w in model.get_weights())
    scores = images.reshape(len(images), -1) @ weights + bias
    probs = np.exp(scores - scores.max(axis=1, keepdims=True))
    probs /= probs.sum(axis=1, keepdims=True)
    own = np.eye(CLASSES)[labels].astype(bool)
    probs[own] = 0
    probs[own] = -probs.sum(axis=1)
    return (probs @ weights.T).reshape(images.shape)


@pytest.fixture
def linear_gradient():
    """Return the exact gradient of a linear model."""
    return _linear_gradient


def _losses(model, images, labels):
    """Cross entropy (n,) in float64 of `convolutional`, computed by hand."""
    kernel, shift, gamma, beta, mean, variance, dense, bias = (
        w.astype(np.float64) for w in model.get_weights()
    )
    windows = np.lib.stride_tricks.sliding_window_view(images / 255, (3, 3), axis=(1, 2))
    x = np.tanh(np.einsum("nyxcij,ijco->nyxo", windows, kernel) + shift)
    x = gamma * (x - mean) / np.sqrt(variance + model.get_layer("bn").epsilon) + beta
    scores = x.mean(axis=(1, 2)) @ dense + bias
    return np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(len(labels)), labels]


@pytest.fixture
def losses():
    """Return the function that computes the loss of a small network by hand."""
    return _losses
