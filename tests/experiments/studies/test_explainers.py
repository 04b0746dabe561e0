"""Methods that explain, on networks whose maps are known."""

import keras
import numpy as np
import pytest

from experiments.studies import saliency
from experiments.studies._explainers import RULES, Options, incompleteness
from experiments.studies._networks import Network

CLASSES, SHAPE = 3, (8, 8, 3)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (5, *SHAPE), np.uint8)


@pytest.fixture(scope="module")
def classes():
    return np.array([0, 1, 2, 0, 1])


@pytest.fixture(scope="module")
def linear():
    image = keras.Input(SHAPE)
    scores = keras.layers.Dense(CLASSES, name="logits")(keras.layers.Flatten()(image))
    model = keras.Model(image, keras.layers.Softmax(name="probs")(scores), name="linear")
    rng = np.random.default_rng(1)
    model.set_weights([0.01 * rng.standard_normal(w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def smooth():
    """A small convolutional network, smooth so that sums of gradients soon are integrals."""
    layers = keras.layers
    image = keras.Input(SHAPE)
    x = layers.Rescaling(1 / 255)(image)
    x = layers.Conv2D(6, 3, padding="same", activation="tanh", name="maps")(x)
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    x = layers.Dense(CLASSES, name="logits")(x)
    model = keras.Model(image, layers.Softmax(name="probs")(x), name="smooth")
    rng = np.random.default_rng(2)
    model.set_weights([0.5 * rng.standard_normal(w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def detector():
    """Sees one pixel alone, and of it the green channel: class 1 the more, the brighter it is."""
    image = keras.Input(SHAPE)
    scores = keras.layers.Dense(2, name="logits")(keras.layers.Flatten()(image))
    model = keras.Model(image, keras.layers.Softmax(name="probs")(scores), name="detector")
    kernel = np.zeros((*SHAPE, 2), np.float32)
    kernel[2, 5, 1, 1] = 0.02
    model.set_weights([kernel.reshape(-1, 2), np.zeros(2)])
    return model


@pytest.mark.backend
def test_gradients_of_a_linear_model_are_its_weights_with_and_without_noise(
    linear, images, classes
):
    weights = linear.get_weights()[0].T[classes].reshape(images.shape)
    network = Network(linear, batch_size=2)
    for method in ("gradient", "smoothgrad"):
        found = saliency.attributions(network, images, classes, method)
        # float32 means of ten equal numbers
        np.testing.assert_allclose(found, weights, rtol=1e-5)
        shown = saliency.maps(network, images, classes, method)
        np.testing.assert_allclose(shown, np.abs(weights).max(axis=3), rtol=1e-5)


@pytest.mark.backend
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("baseline", ["black", "mean"])
def test_integrated_gradients_sum_to_the_difference_of_logits(
    smooth, images, classes, rule, baseline
):
    options = Options(rule=rule, baseline=baseline, steps=24)
    network = Network(smooth, batch_size=5)
    found = saliency.attributions(network, images, classes, "integrated", options)
    begin = np.zeros(images.shape, np.float32)
    if baseline == "mean":
        begin += images.mean(axis=(1, 2), keepdims=True)
    logits = [network.logits(x)[np.arange(5), classes] for x in (images, begin)]
    difference = logits[0] - logits[1]
    # Completeness, 1 % of the differences' scale: the sum is of 24 steps.
    np.testing.assert_allclose(
        found.sum(axis=(1, 2, 3)), difference, rtol=0, atol=0.01 * np.abs(difference).max()
    )
    off = incompleteness(network, images, classes, found, options)
    exact = np.abs(found.sum(axis=(1, 2, 3)) - difference) / np.abs(difference)
    np.testing.assert_allclose(off, exact, rtol=1e-3, atol=1e-6)  # float32 sums


@pytest.mark.backend
def test_occlusion_of_a_one_pixel_detector(detector, images):
    ones = np.ones(5, int)
    network = Network(detector, batch_size=3)
    found = saliency.maps(network, images, ones, "occlusion", Options(patch=1, fill="black"))
    exact = np.zeros((5, 8, 8))
    exact[:, 2, 5] = 0.02 * images[:, 2, 5, 1]
    np.testing.assert_allclose(found, exact, atol=1e-5)  # logits of 5 in float32
    # Patches of 3 begin at 0, 2, 4, and at 5 to reach the edge; those of rows 0 and 2 and of
    # columns 4 and 5 cover the pixel at (2, 5), which they all see.
    options = Options(patch=3, stride=2, fill="black")
    found = saliency.attributions(network, images, ones, "occlusion", options)
    fall = 0.02 * images[:, 2, 5, 1]
    np.testing.assert_allclose(found[:, 2, 5], fall, atol=1e-5)
    # At (4, 4) are patches of rows 2 and 4 and columns 2 and 4: one of the four sees it.
    np.testing.assert_allclose(found[:, 4, 4], fall / 4, atol=1e-5)
    np.testing.assert_allclose(found[:, 7, 7], 0, atol=1e-5)  # those of row 5 do not


@pytest.mark.backend
def test_gradcam_of_a_constructed_network(images, classes):
    """Two maps, red and green, whose mean is what the logits are made of."""
    layers = keras.layers
    image = keras.Input(SHAPE)
    x = layers.Conv2D(2, 1, use_bias=False, name="maps")(image)
    x = layers.Dense(CLASSES, use_bias=False, name="logits")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(image, layers.Softmax(name="probs")(x))
    dense = np.array([[1, -1, 2], [0, 3, -2]], np.float32)
    model.set_weights([np.eye(3, 2, dtype=np.float32)[None, None], dense])
    red, green = images[..., 0].astype(float), images[..., 1].astype(float)
    # The gradient of a mean is 1 / 64 everywhere, and so is its mean.
    one, other = (dense[row, classes][:, None, None] / 64 for row in (0, 1))
    exact = one * red + other * green
    signed = saliency.attributions(model, images, classes, "gradcam")
    np.testing.assert_allclose(signed, exact, atol=1e-4)  # sums of up to 12 in float32
    np.testing.assert_allclose(
        saliency.maps(model, images, classes, "gradcam"), np.maximum(exact, 0), atol=1e-4
    )


def test_gradcam_of_a_stack_is_the_sum_over_its_members(smooth, images, classes):
    import stacking

    stack = stacking.stack({"a": smooth, "b": smooth}, on="logits", head=(), seed=0)
    alone = saliency.attributions(smooth, images, classes, "gradcam")
    both = saliency.attributions(stack, images, classes, "gradcam")
    np.testing.assert_allclose(both, alone, atol=1e-6 * np.abs(alone).max() + 1e-7)


def test_small_maps_are_enlarged_between_their_middles():
    from experiments.studies._explainers import enlarged

    found = enlarged(np.array([[[0, 1], [2, 3]]], np.float32), (4, 4))[0]
    # Positions are 2 pixels apart, their middles at 0.5 and 2.5: in between it is linear.
    line = np.array([0, 0.25, 0.75, 1])
    np.testing.assert_allclose(found, 2 * line[:, None] + line, atol=1e-6)


@pytest.mark.backend
@pytest.mark.parametrize("method", saliency.METHODS)
def test_maps_depend_on_the_image_and_the_seed_alone(smooth, images, classes, method):
    whole = saliency.maps(Network(smooth, batch_size=5), images, classes, method)
    assert whole.shape == (5, 8, 8) and whole.dtype == np.float32 and whole.min() >= 0
    parts = saliency.maps(Network(smooth, batch_size=2), images, classes, method)
    # Batches of another size sum in another order.
    np.testing.assert_allclose(whole, parts, atol=1e-4 * whole.max())
    again = saliency.maps(smooth, images[:2], classes[:2], method)
    np.testing.assert_allclose(whole[:2], again, atol=1e-4 * whole.max())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"samples": 0}, "samples=0"),
        ({"noise": 0}, "noise=0: give a share"),
        ({"rule": "simpson"}, "rule='simpson': give one of midpoint, trapezoid"),
        ({"baseline": "gray"}, "baseline='gray': give one of black, white, mean"),
        ({"patch": -1}, "patch=-1"),
    ],
)
def test_options_that_do_not_fit(options, told):
    with pytest.raises(ValueError, match=told):
        Options(**options)


def test_what_cannot_be_explained(linear, images, classes):
    def explain(x=images, y=classes, method="gradient", **options):
        saliency.maps(linear, x, y, method, Options(**options))

    with pytest.raises(ValueError, match="method 'lime': give some of gradient, smoothgrad"):
        explain(method="lime")
    with pytest.raises(ValueError, match=r"images are \(7, 8, 3\), the model takes \(8, 8, 3\)"):
        explain(images[:, 1:])
    with pytest.raises(ValueError, match="classes from 1 to 3: the model has classes 0 to 2"):
        explain(y=classes + 1)
    with pytest.raises(ValueError, match="linear has no maps"):
        explain(method="gradcam")
    with pytest.raises(ValueError, match="patch=9: images are 8x8"):
        explain(method="occlusion", patch=9)
    with pytest.raises(ValueError, match="stride=3: pixels between patches of 2"):
        explain(method="occlusion", patch=2, stride=3)
