"""Contracts of the gradients of a class's logit: by pixels, and by maps."""

import keras
import numpy as np
import pytest

import augment

CLASSES, SHAPE = 4, (6, 6, 3)
# Gradients are float32 sums of some hundred terms.
TOLERANCE = 1e-6


def close(found, exact, tolerance=TOLERANCE):
    np.testing.assert_allclose(found, exact, rtol=0, atol=tolerance * np.abs(exact).max())


@pytest.mark.backend
def test_the_gradient_of_a_linear_models_logit_is_its_weight(images, labels, linear):
    model = linear()
    weights, _ = model.get_weights()
    found = augment.Gradient(model, batch_size=3, of="logit")(images, labels)
    close(found, weights.T[labels].reshape(images.shape))


@pytest.mark.backend
def test_logits_are_found_wherever_they_are(images, linear):
    import stacking

    model = linear()
    weights, bias = model.get_weights()
    exact = images.reshape(len(images), -1) @ weights + bias
    wrapped = keras.Model(image := keras.Input(SHAPE), model(image))
    for whole in (model, wrapped):
        close(augment.logits_model(whole).predict_on_batch(images), exact, 1e-5)
    stack = stacking.stack({"one": model, "two": model}, on="logits", head=(), seed=0)
    # A linear head begins as the mean of the members.
    close(augment.logits_model(stack).predict_on_batch(images), exact, 1e-5)


def with_maps(skip: bool = False, name: str = "net"):
    """Two filters of one pixel, whose maps are known, their mean, a linear layer; or beside it."""
    layers = keras.layers
    image = keras.Input(SHAPE, name="image")
    maps = x = layers.Conv2D(2, 1, name="filters")(image)
    if skip:
        x = layers.Add(name="sum")([layers.Conv2D(2, 3, padding="same", name="inner")(x), maps])
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    x = layers.Dense(CLASSES, name="logits")(x)
    model = keras.Model(image, layers.Softmax(name="probs")(x), name=name)
    rng = np.random.default_rng(5)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    return model


def known(model, images):
    """The maps of `with_maps`, and what each of its numbers adds to the logits."""
    (filters, shift), (dense, _) = (model.get_layer(n).get_weights() for n in ("filters", "logits"))
    return images @ filters[0, 0] + shift, dense / (SHAPE[0] * SHAPE[1])


@pytest.mark.backend
def test_maps_and_their_gradient_are_those_computed_by_hand(images, labels):
    model = with_maps()
    gradient = augment.MapGradient(model, batch_size=4)
    assert gradient.layers == ("filters",)
    maps, by = gradient(images, labels)["filters"]
    exact, dense = known(model, images)
    close(maps, exact)
    assert by.shape == maps.shape
    close(by, np.broadcast_to(dense.T[labels][:, None, None], by.shape))
    # Nothing is left of how it was done.
    assert "call" not in vars(model.get_layer("filters"))
    before = model.predict_on_batch(images.astype("float32"))
    np.testing.assert_array_equal(model.predict_on_batch(images.astype("float32")), before)


@pytest.mark.backend
def test_maps_beside_a_skip_connection_count_both_ways(images, labels):
    model = with_maps(skip=True)
    kernel = model.get_layer("inner").get_weights()[0]
    _, dense = known(model, images)
    by = augment.MapGradient(model, "filters")(images, labels)["filters"][1]
    # In the middle every tap of the 3x3 filter counts, and the way around it.
    exact = dense.T[labels] @ (kernel.sum(axis=(0, 1)).T + np.eye(2))
    close(by[:, 3, 3], exact, 1e-5)
    assert augment.MapGradient(model).layers == ("sum",)


@pytest.mark.backend
def test_a_stack_has_the_maps_of_its_members(images, labels):
    import stacking

    members = {"one": with_maps(), "two": with_maps(skip=True)}
    stack = stacking.stack(members, on="logits", head=(), seed=0)
    alone = {key: augment.MapGradient(model, "filters") for key, model in members.items()}
    assert augment.MapGradient(stack).layers == ("one/filters", "two/sum")
    found = augment.MapGradient(stack, "filters", batch_size=3)(images, labels)
    assert list(found) == ["one/filters", "two/filters"]
    for key, gradient in alone.items():
        maps, by = gradient(images, labels)["filters"]
        close(found[f"{key}/filters"][0], maps, 1e-5)
        close(found[f"{key}/filters"][1], by / 2, 1e-5)  # the mean of two logits
    inner = augment.MapGradient(stack, "two/inner")
    assert inner.layers == ("two/inner",) and len(inner(images, labels)) == 1


def test_last_maps_are_found_by_shape():
    layers = keras.layers
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same", name="eight")(image)
    x = layers.Conv2D(4, 3, strides=2, padding="same", name="four")(x)
    four = keras.Model(image, layers.Dense(3, name="logits")(layers.Flatten()(x)))
    x = layers.Conv2D(4, 3, strides=2, padding="same", name="two")(x)
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    two = keras.Model(image, layers.Dense(3, name="logits")(layers.Flatten()(x)))
    # Maps of 2x2 point nowhere where there are larger ones.
    assert list(augment.maps_of(four)) == list(augment.maps_of(two)) == ["four"]
    small = keras.Input((2, 2, 3))
    x = layers.Conv2D(4, 1, name="only")(small)
    model = keras.Model(small, layers.Dense(3, name="logits")(layers.Flatten()(x)))
    assert list(augment.maps_of(model)) == ["only"]


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        ("filter", r"'filter' of net does not exist: 3 layers have some, close to it: filters"),
        ("pooled", r"'pooled' of net has no maps .*: 3 layers have some, the last of them: filt"),
        ("one/filters", "'one/filters' of net does not exist"),
    ],
)
def test_layers_that_do_not_do_are_told(layer, told):
    with pytest.raises(ValueError, match=told):
        augment.MapGradient(with_maps(skip=True), layer)


def test_what_cannot_be_explained_is_refused(images, labels, linear):
    with pytest.raises(ValueError, match=r"has no maps: no layer gives"):
        augment.MapGradient(linear())
    with pytest.raises(ValueError, match="of='margin': give one of loss, logit"):
        augment.Gradient(linear(), of="margin")
    with pytest.raises(ValueError, match=r"images are \(5, 6, 3\), the model takes \(6, 6, 3\)"):
        augment.MapGradient(with_maps())(images[:, :5], labels)
    with pytest.raises(ValueError, match="classes 0 to 3"):
        augment.MapGradient(with_maps())(images, labels + 3)


def test_a_layer_that_runs_twice_has_no_one_map(images, labels):
    layers = keras.layers
    image = keras.Input(SHAPE)
    twice = layers.Conv2D(3, 1, name="twice")
    x = layers.GlobalAveragePooling2D()(twice(twice(image)))
    model = keras.Model(image, layers.Dense(CLASSES, name="logits")(x))
    with pytest.raises(ValueError, match="'twice' runs 2 times before the logits"):
        augment.MapGradient(model, "twice")(images, labels)
