"""Models for other classes, and frozen ones."""

import numpy as np
import pytest

import zoo


@pytest.mark.parametrize("family", ["resnet", "squeezenet"])
def test_reset_classifier_keeps_the_rest(family, small, classifier_of, same_weights):
    model = small(family)
    zoo.freeze(model)
    copy = zoo.reset_classifier(model, 3)
    model.trainable = True
    assert copy.output_shape == (None, 3)
    assert copy.trainable_weights == classifier_of(copy).weights
    assert classifier_of(copy).get_weights()[0].any()
    same_weights(copy, model, but=[classifier_of(copy).name])
    with pytest.raises(ValueError, match="classes=0"):
        zoo.reset_classifier(model, 0)
    with pytest.raises(ValueError, match="no layer 'logits'"):
        zoo.reset_classifier(zoo.build("alphanet_v4", include_top=False), 3)


@pytest.mark.backend
def test_frozen_layers_stay_as_they_are(images):
    import keras

    model = zoo.build("simplenet_cifar_310k")
    assert zoo.freeze(model) is model
    model.compile(keras.optimizers.SGD(), "sparse_categorical_crossentropy")
    before = {layer.name: layer.get_weights() for layer in model.layers}
    model.train_on_batch(images(4, 32, 32, 3), np.arange(4))
    for layer in model.layers:
        for old, new in zip(before[layer.name], layer.get_weights(), strict=True):
            assert np.array_equal(old, new) == (layer.name != "logits"), layer.name


def test_freeze_until_a_layer():
    model = zoo.build("resnet18", input_shape=(32, 32, 3))
    zoo.freeze(model, until="layer2.0.bn1")  # as the reference writes it
    frozen = [layer.name for layer in model.layers if layer.weights and not layer.trainable]
    assert frozen[0] == "conv1" and frozen[-1] == "layer2-0-bn1"
    assert model.get_layer("layer3-0-conv1").trainable
    with pytest.raises(ValueError, match="no layer 'layer2-0-bm1'. Closest: layer2-0-bn1"):
        zoo.freeze(model, until="layer2.0.bm1")


@pytest.mark.backend
@pytest.mark.parametrize("family", ["resnet", "squeezenet", "sprint"])
def test_what_precedes_a_model_is_seen_by_its_copy(family, small, same_weights, images):
    import keras

    model = zoo.freeze(small(family))
    inverts = keras.layers.Rescaling(-1, 255, name="inverts")
    copy = zoo.precede(model, [inverts])
    assert [layer.name for layer in copy.layers if layer is not inverts] == [
        layer.name for layer in model.layers
    ]
    same_weights(copy, model)
    assert len(copy.trainable_weights) == len(model.trainable_weights) > 0
    pixels = images(2, *model.input_shape[1:])
    # Two graphs of the same kernels.
    answers = copy.predict(pixels, verbose=0), model.predict(255 - pixels, verbose=0)
    assert np.allclose(*answers, atol=1e-5)
    with pytest.raises(ValueError, match="keep their shape"):
        zoo.precede(model, [keras.layers.Flatten()])
