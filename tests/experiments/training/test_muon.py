"""Muon: the update's singular values, an update by hand, and which kernels are given to it."""

import keras
import numpy as np
import pytest
from keras import ops

from experiments.recipes.fitting import Optimizer
from experiments.training import optimizers
from experiments.training.muon import COEFFICIENTS, Muon, orthogonal


@pytest.mark.backend
@pytest.mark.parametrize("shape", [(27, 64), (576, 64), (64, 64)])
@pytest.mark.parametrize("steps", [3, 5])
def test_the_singular_values_of_an_update_are_near_one(shape, steps):
    matrix = np.random.default_rng(0).normal(size=shape).astype("float32")
    found = ops.convert_to_numpy(orthogonal(ops.convert_to_tensor(1000 * matrix), steps))
    u, old, vt = np.linalg.svd(matrix, full_matrices=False)
    new = np.linalg.svd(found, compute_uv=False)
    # What the polynomial makes of each: near 0.7 to 1.2 where it has come that far; of a square
    # matrix the smallest are close to 0 and stay behind.
    a, b, c = COEFFICIENTS
    due = old / np.linalg.norm(matrix)
    for _ in range(steps):
        due = a * due + b * due**3 + c * due**5
    assert np.sort(new) == pytest.approx(np.sort(due), abs=1e-3)
    assert found == pytest.approx((u * due) @ vt, abs=1e-3)
    near = due[old > 0.2 * old[0]]
    assert len(near) > 0.7 * len(due) and 0.6 < near.min() and near.max() < 1.3


@pytest.fixture
def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(6, 3, name="frozen", trainable=False),
            layers.Conv2D(8, 3, activation="relu", name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, name="logits"),
        ]
    )


def _value(variable) -> np.ndarray:
    return np.array(ops.convert_to_numpy(variable.value), np.float64)


@pytest.mark.backend
def test_updates_by_hand(network):
    """Kernels of convolutions by Muon, all others by SGD with Nesterov and weight decay."""
    spec = {"learning_rate": 0.1, "momentum": 0.6, "weight_decay": 0.05}
    groups = {"head": {"rate": 3.0}}
    made = optimizers.make(Optimizer(name="muon", sgd_momentum=0.8, groups=groups, **spec))
    optimizers.build(made, network)
    variables = network.trainable_variables
    due, momenta = [_value(v) for v in variables], [0.0] * len(variables)
    for step in range(3):
        rng = np.random.default_rng(step)
        gradients = [rng.normal(size=v.shape).astype("float32") for v in variables]
        for i, (variable, gradient) in enumerate(zip(variables, gradients, strict=True)):
            if variable.path.endswith("/conv/kernel"):
                momenta[i] = 0.6 * momenta[i] + gradient
                matrix = (gradient + 0.6 * momenta[i]).reshape(-1, 8)
                update = ops.convert_to_numpy(orthogonal(ops.convert_to_tensor(matrix), 3))
                scaled = due[i] * np.sqrt(8) / np.linalg.norm(due[i])
                due[i] = scaled - 0.1 * update.reshape(gradient.shape)
            else:
                rate = 0.1 * (3 if "logits" in variable.path else 1)
                momenta[i] = 0.8 * momenta[i] - rate * gradient
                due[i] = due[i] * (1 - rate * 0.05) + 0.8 * momenta[i] - rate * gradient
        made.apply([ops.convert_to_tensor(one) for one in gradients], variables)
    for variable, value in zip(variables, due, strict=True):
        # Float32, and products of matrices in another order.
        assert _value(variable) == pytest.approx(value, abs=1e-4), variable.path


@pytest.mark.backend
def test_a_tiny_network_learns(parse, train, stripes, tmp_path):
    groups = {"bias": {"rate": 0.2}, "norm": {"rate": 0.2}}
    optimizer = {"name": "muon", "learning_rate": 0.05, "groups": groups}
    run = train(parse(optimizer=optimizer, epochs=8), tmp_path / "run", stripes)
    assert run.history["loss"][-1] < 0.7 * run.history["loss"][0]
    assert run.metrics["train_top1"] > 60  # chance is 25


def test_arguments_are_told_and_begun_with_again():
    made = Muon(0.3, momentum=0.5, steps=4, sgd_momentum=0.7, weight_decay=0.01)
    again = Muon.from_config(made.get_config())
    assert again.get_config() == made.get_config()
    assert (again.kernel_momentum, again.steps, again.momentum, again.nesterov) == (
        0.5,
        4,
        0.7,
        True,
    )
