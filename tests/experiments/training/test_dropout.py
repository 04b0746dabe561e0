"""Dropout whose rate changes does so in compiled steps, and goes on where it was cut off."""

import keras
import numpy as np
import pytest

from experiments.recipes.dropout import Dropout
from experiments.training.dropout import DropoutRate

UNITS = 64


def _nested() -> keras.Model:
    """Return a network whose output is its input, but for dropout within and in a model in it."""
    inside = keras.Sequential([keras.Input((UNITS,)), keras.layers.GaussianDropout(0.5)])
    x = inputs = keras.Input((UNITS,))
    for layer in (keras.layers.Dropout(0.9), keras.layers.AlphaDropout(0.9), inside):
        x = layer(x)
    outputs = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")(x)
    return keras.Model(inputs, outputs, name="nested")


@pytest.mark.backend
def test_the_rate_changes_in_compiled_steps():
    """The loss is the mean of the outputs: exact without dropout, another with each draw."""
    keras.utils.set_random_seed(0)
    network = _nested()
    trainer = keras.Model(network.input, network.output)
    trainer.compile(keras.optimizers.SGD(0.0), loss=lambda y, outputs: keras.ops.mean(outputs))
    made, make = [], trainer.make_train_function

    def counted(force: bool = False) -> None:
        made.append(force)
        make(force=force)

    trainer.make_train_function = counted
    spec = Dropout.model_validate([[0, 0.0], [2, 0.5], [4, 0.0], [5, 0.3]])
    images, labels = np.ones((4, UNITS), np.float32), np.zeros(4, np.float32)
    losses = trainer.fit(
        images,
        labels,
        epochs=6,
        callbacks=[DropoutRate(spec, network)],
        verbose=0,
    ).history["loss"]
    whole = [loss == UNITS for loss in losses]
    assert whole == [True, True, False, False, True, False]
    assert losses[2] != losses[3]
    # Once by `fit` itself, then for each new rate.
    assert made == [False, True, True, True, True]


@pytest.mark.backend
def test_a_run_whose_dropout_changes_is_resumed(parse, train, assert_same, stripes, tmp_path):
    row = parse(dropout={"points": [[0, 0.1], [2, 0.5]], "how": "linear"})
    unbroken = train(row, tmp_path / "unbroken", stripes)
    for epoch in (2, 3):
        train(row, tmp_path / "broken", stripes, cut=epoch)
    assert_same(train(row, tmp_path / "broken", stripes), unbroken)
    constant = train(parse(dropout=[[0, 0.1]]), tmp_path / "constant", stripes)
    same = constant.history["loss"] == unbroken.history["loss"]
    assert list(same) == [True, False, False]


def test_the_network_s_own_rate_is_a_constant_one(parse, train, finished, stripes, tmp_path):
    run = train(parse(dropout=[[0, 0.2]]), tmp_path, stripes)
    assert np.array_equal(run.history["loss"], finished.history["loss"])


@pytest.mark.parametrize(
    "model",
    [
        {"name": "resnet18"},
        # Keras gives layers of rate 0 no state to draw with.
        {"name": "alphanet_v4", "conv_dropout": 0.0, "dense_dropout": 0.0},
    ],
)
def test_a_network_without_dropout_is_refused(model, parse, train, stripes, tmp_path):
    row = parse(model=model, dropout=[[0, 0.2]])
    with pytest.raises(ValueError, match=f"dropout: {model['name']} has no dropout layer"):
        train(row, tmp_path, stripes)
