"""Statistics of batch normalization made anew."""

import numpy as np
import pytest

from experiments.training import feed
from experiments.training.refresh import normalizations, refresh
from experiments.training.targets import Labels


@pytest.fixture
def network():
    """Return a function that makes a network of two normalizations, the first of the pixels."""
    import keras
    from keras import layers

    def make(dropout: float = 0.0, trainable: bool = True) -> keras.Model:
        keras.utils.set_random_seed(3)
        inputs = keras.Input((5, 5, 2))
        x = layers.BatchNormalization(momentum=0.7, name="first")(inputs)
        x = layers.Conv2D(3, 1, name="conv")(x)
        x = layers.Dropout(dropout)(x)
        x = layers.BatchNormalization(name="second", trainable=trainable)(x)
        model = keras.Model(inputs, x)
        model.compile("sgd", "mse", jit_compile=False)
        return model

    return make


def _batches() -> list[tuple]:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (n, 5, 5, 2), np.uint8) for n in (8, 8, 3)]
    return [(one, np.zeros(len(one))) for one in images]


def _values(model) -> dict[str, np.ndarray]:
    return {v.path: np.array(v.numpy()) for v in model.variables}


@pytest.mark.backend
def test_statistics_are_the_means_of_those_of_the_batches(network):
    model, batches = network(), _batches()
    before = _values(model)
    refresh(model, batches, seed=0)
    after = _values(model)
    counts = [len(images) for images, _ in batches]

    def mean(values):
        return np.average(values, axis=0, weights=counts)

    pixels = [images.astype(float) for images, _ in batches]
    found = [(x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))) for x in pixels]
    # float32 against float64, at values up to 255 and variances of some thousands
    np.testing.assert_allclose(after["first/moving_mean"], mean([m for m, _ in found]), rtol=1e-5)
    variance = mean([v for _, v in found])
    np.testing.assert_allclose(after["first/moving_variance"], variance, rtol=1e-4)
    # Behind, batches are normalized by their own statistics, not by moving ones.
    kernel, bias = after["conv/kernel"][0, 0], after["conv/bias"]
    seen = [
        (x - m) / np.sqrt(v + 1e-3) @ kernel + bias for x, (m, v) in zip(pixels, found, strict=True)
    ]
    second = mean([x.mean(axis=(0, 1, 2)) for x in seen])
    np.testing.assert_allclose(after["second/moving_mean"], second, atol=1e-5)
    second = mean([x.var(axis=(0, 1, 2)) for x in seen])
    np.testing.assert_allclose(after["second/moving_variance"], second, rtol=1e-4)
    moved = {path for path in after if not np.array_equal(before[path], after[path])}
    assert moved == {path for path in after if "moving" in path}
    assert [layer.momentum for layer in normalizations(model)] == [0.7, 0.99]


@pytest.mark.backend
def test_dropout_draws_by_the_seed_and_keeps_its_state(network):
    model, batches = network(dropout=0.5), _batches()
    refresh(model, batches, seed=1)
    once = _values(model)
    refresh(model, batches, seed=1)
    again = _values(model)
    assert all(np.array_equal(once[path], again[path]) for path in once)
    plain = network()
    refresh(plain, batches, seed=1)
    path = "second/moving_variance"
    assert not np.allclose(once[path], _values(plain)[path])  # it was at work


def test_what_is_frozen_stays_and_nothing_to_refresh_is_told(network):
    import keras

    model = network(trainable=False)
    before = _values(model)
    refresh(model, _batches(), seed=0)
    after = _values(model)
    assert np.array_equal(before["second/moving_mean"], after["second/moving_mean"])
    assert not np.array_equal(before["first/moving_mean"], after["first/moving_mean"])
    plain = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="no batch normalization"):
        refresh(plain, _batches(), seed=0)


def test_a_network_without_normalization_is_refused_before_training(
    parse, train, stripes, tmp_path, monkeypatch
):
    monkeypatch.setattr(feed, "batches", lambda *_, **__: pytest.fail("training began"))
    row = parse(model={"name": "squeezenet1_1"}, refresh=2)
    with pytest.raises(ValueError, match="leave refresh out"):
        train(row, tmp_path / "run", stripes)


def test_a_run_s_statistics_are_those_of_its_last_epoch_s_batches(parse, train, stripes, tmp_path):
    import keras

    import augment
    import zoo

    row = parse(refresh=2, augment="C", keep="last", epochs=2)
    model = zoo.load(train(row, tmp_path / "run", stripes).model_file)
    plan = feed.Plan(len(stripes.train), row.batch_size, row.seed)
    policy = augment.get("C")
    stream = feed.batches(stripes.train, plan, policy, Labels(), epoch=1)
    images = [keras.ops.convert_to_numpy(next(stream)[0]) for _ in range(2)]
    first = keras.Model(model.input, model.get_layer("conv1-bn").input)
    seen = [np.asarray(first.predict_on_batch(one), float) for one in images]
    expected = np.mean([one.mean(axis=(0, 1, 2)) for one in seen], axis=0)
    # float32 sums in another order, of values up to some hundreds
    found = model.get_layer("conv1-bn").moving_mean.numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_without_refresh_a_run_is_another(parse, train, stripes, finished, tmp_path):
    import zoo

    row = parse(refresh=1)
    weights = [
        zoo.load(run.model_file).weights
        for run in (finished, train(row, tmp_path / "run", stripes))
    ]
    for ours, theirs in zip(*weights, strict=True):
        same = np.array_equal(ours.numpy(), theirs.numpy())
        assert same != ("moving" in ours.path), ours.path
