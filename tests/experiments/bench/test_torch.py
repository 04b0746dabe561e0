"""Keras networks as plain PyTorch modules: the same logits, the same weights to train."""

import keras
import numpy as np
import pytest

import zoo
from experiments.bench import train

torch = pytest.importorskip("torch")

CASES = {name: case for name, case in train.CASES.items() if case.network in zoo.list_models()}


@pytest.fixture
def converted():
    """Return a function: a model -> what Keras and PyTorch say of two images, and the module."""
    from experiments.bench._torch import convert

    def answers(model: keras.Model):
        rng = np.random.default_rng(0)
        # Means, variances and biases of one value would hide what is not translated.
        model.set_weights(
            [
                w if w.ndim > 1 else w + 0.1 * rng.random(w.shape, np.float32)
                for w in model.get_weights()
            ]
        )
        images = rng.integers(0, 256, (2, *model.input_shape[1:]), np.uint8)
        module = convert(model).eval()
        with torch.no_grad():
            found = module(torch.from_numpy(images)).numpy()
        said = keras.ops.convert_to_numpy(keras.ops.stop_gradient(model(images, training=False)))
        return said, found, module

    return answers


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_networks_of_the_bench_are_the_same_in_pytorch(case, converted):
    shape = (case.size, case.size, 3)
    model = zoo.build(case.network, input_shape=shape, classes=10)
    model = keras.Model(model.input, model.get_layer("logits").output)
    said, found, module = converted(model)
    scale = np.abs(said).max()
    np.testing.assert_allclose(found / scale, said / scale, atol=1e-4)
    learned = sum(p.numel() for p in module.parameters() if p.requires_grad)
    assert learned == sum(int(np.prod(v.shape)) for v in model.trainable_variables)


def _layers(maps):
    """Use what the networks of the bench do not: all paddings, groups, slices, products."""
    layers = keras.layers
    x = layers.Conv2D(8, 3, 2, "same", activation="relu", name="even")(maps)
    x = layers.Conv2D(8, 3, 1, "same", groups=2, dilation_rate=2)(x)
    x = layers.DepthwiseConv2D(3, 2, "same", depth_multiplier=2)(layers.ZeroPadding2D(1)(x))
    x = layers.BatchNormalization(scale=False)(x)
    gate = layers.Activation("sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Multiply()([x, gate])
    x = layers.Concatenate()([x[..., :5], layers.ReLU(6.0)(x)])
    x = layers.MaxPooling2D(3, 2, "same")(layers.LeakyReLU(0.1)(x))
    x = x + layers.Activation("gelu")(x)
    x = layers.AveragePooling2D(2)(x)
    joined = [layers.Flatten()(x), layers.GlobalMaxPooling2D()(x)]
    x = layers.Dropout(0.3)(layers.Concatenate()(joined))
    return layers.Dense(4, "silu")(layers.Rescaling(0.5)(layers.BatchNormalization()(x)))


def test_layers_that_pad_group_and_slice_are_the_same_in_pytorch(converted):
    images = keras.Input((32, 32, 3))
    normalized = keras.layers.Rescaling([0.1, 0.2, 0.3], offset=[1, 2, 3])(images)
    model = keras.Model(images, _layers(normalized))
    model.get_layer("even").trainable = False
    said, found, module = converted(model)
    np.testing.assert_allclose(found, said, rtol=1e-4, atol=1e-4 * np.abs(said).max())
    frozen = [p for p in module.parameters() if not p.requires_grad]
    # The frozen convolution's kernel and bias, and the scale that a normalization has not.
    assert len(frozen) == 3


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        (lambda x: keras.layers.UpSampling2D()(x), "UpSampling2D .* has no translation to PyTorch"),
        (lambda x: keras.layers.Activation("softsign")(x), "activation softsign has no"),
        (lambda x: keras.layers.AveragePooling2D(3, 2, "same")(x), "padded means"),
        (lambda x: x[:, 0], "only slices"),
        (lambda x: keras.layers.ReLU(threshold=1.0)(x), "with a threshold"),
    ],
)
def test_what_has_no_translation_is_refused_by_name(layer, told):
    from experiments.bench._torch import convert

    images = keras.Input((8, 8, 3))
    with pytest.raises(ValueError, match=told):
        convert(keras.Model(images, layer(images)))
