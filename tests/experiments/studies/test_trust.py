"""Numbers on maps, computed by hand."""

import keras
import numpy as np
import pytest

from experiments.studies import _trust
from experiments.studies._networks import Network

SIDE = 4


def test_boxes_hold_their_last_pixel_and_parts_of_pixels():
    boxes = np.array([[1, 0, 2, 3], [0.5, 0, 0.75, 0]])
    whole, part = _trust.coverage(boxes, (SIDE, SIDE))
    assert whole.tolist() == [[0, 1, 1, 0]] * SIDE
    np.testing.assert_allclose(part[0], [0.5, 0.75, 0, 0])
    assert part[1:].sum() == 0


def test_mass_and_pointing_by_hand():
    covered = _trust.coverage(np.array([[0, 0, 1, 3]] * 4), (SIDE, SIDE))
    maps = np.zeros((4, SIDE, SIDE), np.float32)
    maps[0, 1, 1], maps[0, 2, 3] = 3, 1  # the highest inside, three quarters of the mass
    maps[1, 0, 2] = 5  # outside
    maps[2, 0, 0] = maps[2, 0, 3] = 1  # half of the highest ones
    # The last is of zeros, which say nothing: by chance half of the image.
    np.testing.assert_allclose(_trust.mass_inside(maps, covered), [0.75, 0, 0.5, 0.5])
    np.testing.assert_allclose(_trust.pointing(maps, covered), [1, 0, 0.5, 0.5])


@pytest.fixture(scope="module")
def counting():
    """The probability of class 1 grows with the sum of the pixels of an image 4x4x1."""
    image = keras.Input((SIDE, SIDE, 1))
    x = keras.layers.Dense(2, name="logits")(keras.layers.Flatten()(image))
    model = keras.Model(image, keras.layers.Softmax(name="probs")(x))
    kernel = np.zeros((SIDE * SIDE, 2))
    kernel[:, 1] = 0.01
    model.set_weights([kernel, np.array([0.0, -1.0])])
    return model


def test_deletion_and_insertion_by_hand(counting):
    image = np.zeros((1, SIDE, SIDE, 1), np.uint8)
    image[0, 0, 0], image[0, 3, 3] = 200, 100
    network = Network(counting, batch_size=1)
    maps = image[..., 0].astype(np.float32)
    order = _trust.ranked(maps, seed=0)
    assert order[0, :2].tolist() == [0, 15] and sorted(order[0]) == list(range(16))

    def curve(**options):
        options = {"steps": 16, "fill": "black"} | options
        return _trust.curves(network, image, np.array([1]), order, **options)[0]

    def probability(total):
        return 1 / (1 + np.exp(1 - 0.01 * total))

    sums = np.array([300, 100, *[0] * 15])
    np.testing.assert_allclose(curve(insertion=False), probability(sums), rtol=1e-5)
    sums = np.array([0, 200, *[300] * 15])
    np.testing.assert_allclose(curve(insertion=True), probability(sums), rtol=1e-5)
    # In two steps of eight pixels.
    sums = np.array([300, 0, 0])
    half = curve(insertion=False, steps=2)
    np.testing.assert_allclose(half, probability(sums), rtol=1e-5)
    area = probability(300) / 4 + 3 * probability(0) / 4
    np.testing.assert_allclose(_trust.area(half[None]), [area], rtol=1e-5)


def test_a_map_that_knows_beats_one_that_does_not(counting):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (20, SIDE, SIDE, 1), np.uint8)
    network, ones = Network(counting, batch_size=20), np.ones(20, int)

    def areas(maps):
        given = (network, images, ones, _trust.ranked(maps, 0))
        how = {"steps": 8, "fill": "black"}
        return [
            _trust.area(_trust.curves(*given, insertion=i, **how)).mean() for i in (False, True)
        ]

    knows = areas(images[..., 0].astype(np.float32))
    random = areas(_trust.baseline_maps("random pixels", images.shape, 0))
    assert knows[0] < random[0] and knows[1] > random[1]


def test_equal_pixels_come_in_a_drawn_order():
    flat = np.ones((2, SIDE, SIDE))
    order = _trust.ranked(flat, 0)
    assert (order != np.arange(16)).any() and (order[0] != order[1]).any()
    np.testing.assert_array_equal(order, _trust.ranked(flat, 0))


def test_the_rank_correlation_is_spearmans():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    one, other = rng.random((2, 3, SIDE, SIDE)).round(1)  # with ties
    exact = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(_trust.rank_correlation(one, other), exact)
    assert _trust.rank_correlation(one, np.zeros_like(one)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", _trust.BASELINES)
def test_maps_that_look_at_nothing_depend_on_the_seed_alone(name):
    found = _trust.baseline_maps(name, (3, 16, 8, 3), seed=1)
    assert found.shape == (3, 16, 8) and found.min() >= 0
    np.testing.assert_array_equal(found[:2], _trust.baseline_maps(name, (2, 16, 8, 1), seed=1))
    if name == "center":
        assert np.unravel_index(found[0].argmax(), (16, 8)) == (7, 3)
    else:
        assert (found[0] != found[1]).any()


@pytest.mark.backend
def test_random_weights_come_from_the_top_and_go_again():
    import stacking

    layers = keras.layers

    def network():
        image = keras.Input((8, 8, 3))
        x = layers.DepthwiseConv2D(3, name="first")(image)
        x = layers.BatchNormalization(name="bn")(layers.Conv2D(6, 3, name="second")(x))
        x = layers.Dense(2, name="logits")(layers.GlobalAveragePooling2D(name="pooled")(x))
        model = keras.Model(image, layers.Softmax(name="probs")(x))
        rng = np.random.default_rng(0)
        model.set_weights([rng.uniform(2, 3, w.shape) for w in model.get_weights()])
        return model

    stack = stacking.stack({"a": network(), "b": network()}, head=(3,), seed=0)
    before = stack.get_weights()

    def changed(level):
        with _trust.randomized(stack, level, seed=0):
            pairs = zip(stack.weights, before, stack.get_weights(), strict=True)
            found = {v.path for v, old, new in pairs if not np.array_equal(old, new)}
            drawn = stack.get_layer("a").get_layer("second").get_weights()[0]
        for old, new in zip(before, stack.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
        parts = ("first", "second", "bn", "logits", "hidden_1")
        return {p for p in parts if any(f"{p}/" in path for path in found)}, drawn

    assert changed("top")[0] == {"logits"}
    assert changed("half")[0] == {"second", "bn", "logits", "hidden_1"}
    every, drawn = changed("all")
    assert every == {"first", "second", "bn", "logits", "hidden_1"}
    # As He draws them, from 27 inputs: 162 numbers, whose deviation is known to 6 %.
    assert drawn.std() == pytest.approx(np.sqrt(2 / 27), rel=0.2)
