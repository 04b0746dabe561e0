"""Members of a few hundred weights, and images that their outputs say something about."""

import keras
import numpy as np
import pytest

CLASSES = 4
SIDE = 8


def _build(width=5, *, classes=CLASSES, side=SIDE, name="net", seed=0, pooled=True):
    """Make a small network with BN statistics of its own, dropout and the three taps."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    images = keras.Input((side, side, 3))
    x = layers.Rescaling(1 / 255)(images)
    x = layers.Conv2D(width, 3)(x)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.Dropout(0.5)(layers.ReLU(name="relu")(x))
    x = layers.GlobalAveragePooling2D(name="pooled" if pooled else "features_of_net")(x)
    x = layers.Dense(classes, name="logits", kernel_initializer="he_normal")(x)
    model = keras.Model(images, layers.Activation("softmax", name="probs")(x), name=name)
    rng = np.random.default_rng(seed)
    bn = model.get_layer("bn")
    bn.set_weights([rng.uniform(0.1, 0.5, w.shape) for w in bn.get_weights()])
    return model


@pytest.fixture(scope="session")
def build():
    """Return the function that makes a member."""
    return _build


@pytest.fixture(scope="module")
def members():
    return {key: _build(4 + i, seed=i) for i, key in enumerate("abc")}


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (70, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def labels(members, images):
    """Labels that the members' outputs say something about."""
    probs = sum(
        keras.ops.convert_to_numpy(m(images.astype("float32"), training=False))
        for m in members.values()
    )
    return np.argmax(probs - probs.mean(0), axis=1)
