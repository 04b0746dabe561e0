"""Optimizers as a row names them: groups of variables by hand, and Keras' own left alone."""

import keras
import numpy as np
import pytest
from keras import ops

from experiments.recipes.fitting import Optimizer
from experiments.training import optimizers, schedules
from experiments.training.averages import Ema

GROUPS = {
    "bias": {"decay": 0.0},
    "norm": {"rate": 64.0, "decay": 0.0},
    "head": {"rate": 0.5, "decay": 2.0},
}
RATE, MOMENTUM, DECAY = 0.01, 0.85, 0.1
SGD = {
    "name": "sgd",
    "learning_rate": RATE,
    "momentum": MOMENTUM,
    "nesterov": True,
    "weight_decay": DECAY,
}


@pytest.fixture
def network():
    """Return a function that makes a network of every group, always the same."""

    def make() -> keras.Model:
        keras.utils.set_random_seed(0)
        layers = keras.layers
        model = keras.Sequential(
            [
                keras.Input((6, 6, 2)),
                layers.Conv2D(3, 3, name="conv"),
                layers.BatchNormalization(name="norm"),
                layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise"),
                layers.GlobalAveragePooling2D(),
                layers.Dense(4, name="logits"),
            ]
        )
        return model

    return make


def _gradients(model: keras.Model, step: int) -> list[np.ndarray]:
    rng = np.random.default_rng(step)
    return [rng.normal(size=v.shape).astype("float32") for v in model.trainable_variables]


def _values(variables: list) -> list[np.ndarray]:
    return [np.array(ops.convert_to_numpy(variable.value)) for variable in variables]


def _stepped(model: keras.Model, steps: int = 3, **spec) -> keras.optimizers.Optimizer:
    """Return an optimizer that has updated a model."""
    optimizer = optimizers.make(Optimizer(**spec))
    optimizers.build(optimizer, model)
    for step in range(steps):
        gradients = [ops.convert_to_tensor(one) for one in _gradients(model, step)]
        optimizer.apply(gradients, model.trainable_variables)
    return optimizer


def test_every_variable_has_a_group(network):
    variables = network().trainable_variables
    found = {v.path.partition("/")[2]: optimizers.group(v) for v in variables}
    assert found == {
        "conv/kernel": "kernel",
        "conv/bias": "bias",
        "norm/gamma": "norm",
        "norm/beta": "norm",
        "depthwise/kernel": "kernel",
        "depthwise/bias": "bias",
        "logits/kernel": "head",
        "logits/bias": "head",
    }
    with pytest.raises(ValueError, match="in no group: optimizer.groups knows .*kernel, bias"):
        optimizers.group(keras.Variable([1.0], name="temperature"))


@pytest.mark.backend
def test_groups_are_updated_at_their_own_rate_and_decay(network):
    model = network()
    names = [optimizers.group(v) for v in model.trainable_variables]
    due, momenta = _values(model.trainable_variables), [0.0] * len(names)
    for step in range(3):
        for i, (name, gradient) in enumerate(zip(names, _gradients(model, step), strict=True)):
            rate = RATE * GROUPS.get(name, {}).get("rate", 1.0)
            decay = DECAY * GROUPS.get(name, {}).get("decay", 1.0)
            due[i] = due[i] - rate * decay * due[i]
            momenta[i] = MOMENTUM * momenta[i] - rate * gradient
            due[i] = due[i] + MOMENTUM * momenta[i] - rate * gradient
    _stepped(model, **SGD, groups=GROUPS)
    for variable, value in zip(model.trainable_variables, due, strict=True):
        # Three updates in float32.
        assert ops.convert_to_numpy(variable.value) == pytest.approx(value, rel=1e-5, abs=1e-6)


@pytest.mark.backend
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "lion", "nadam", "rmsprop", "adafactor"])
def test_a_group_at_twice_the_rate_is_an_optimizer_at_twice_the_rate(name, network):
    """Whatever the optimizer, and on torch however many variables it updates at once."""
    halves, whole, double = network(), network(), network()
    spec = {"name": name, "learning_rate": RATE, "weight_decay": DECAY}
    _stepped(halves, **spec, groups={"head": {"rate": 2.0}, "norm": {"rate": 2.0}})
    _stepped(whole, **spec)
    _stepped(double, **spec | {"learning_rate": 2 * RATE})
    for ours, one, two in zip(*map(_trained, (halves, whole, double)), strict=True):
        due = two if optimizers.group(ours) in ("head", "norm") else one
        # torch's own optimizers divide and add in another order.
        assert _values([ours])[0] == pytest.approx(_values([due])[0], rel=1e-4, abs=1e-6)
        assert not np.allclose(*_values([one, two]))


def _trained(model: keras.Model) -> list:
    return model.trainable_variables


@pytest.mark.backend
@pytest.mark.parametrize("spec", [SGD, {"name": "adamw"}, {"name": "lion", "beta_1": 0.95}])
def test_without_groups_an_optimizer_is_keras_own_to_the_bit(spec, network):
    ours, theirs = network(), network()
    made = _stepped(ours, **spec)
    config = {"learning_rate": 0.001} | {k: v for k, v in spec.items() if k != "name"}
    optimizer = keras.optimizers.get({"class_name": spec["name"], "config": config})
    optimizer.build(theirs.trainable_variables)
    for step in range(3):
        optimizer.apply([ops.convert_to_tensor(one) for one in _gradients(theirs, step)])
    assert type(made) is type(optimizer)
    for one, other in zip(*map(_values, (ours.variables, theirs.variables)), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.backend
def test_clip_is_the_largest_norm_of_all_gradients_together(network):
    model = network()
    before = _values(model.trainable_variables)
    _stepped(model, steps=1, name="sgd", learning_rate=1.0, clip=0.25)
    after = _values(model.trainable_variables)
    moved = sum(np.sum((a - b) ** 2) for a, b in zip(after, before, strict=True)) ** 0.5
    assert moved == pytest.approx(0.25, rel=1e-4)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="of JAX alone")
@pytest.mark.backend
@pytest.mark.parametrize("name", ["sgd", "muon"])
def test_a_compiled_update_without_state_is_the_same(name, network):
    import jax

    spec = Optimizer(name=name, learning_rate=RATE, weight_decay=DECAY, clip=1.0, groups=GROUPS)
    schedule = schedules.PerStep(
        schedules.rates.OneCycle(name="one_cycle", start=0.2), RATE, schedules.Span(3, 1)
    )
    models = network(), network()
    made = [optimizers.make(spec, schedule, Ema(name="ema", every=2), 3) for _ in models]
    for optimizer, model in zip(made, models, strict=True):
        optimizers.build(optimizer, model)
    update = jax.jit(made[0].stateless_apply)
    state = [v.value for v in made[0].variables]
    weights = [v.value for v in models[0].trainable_variables]
    for step in range(3):
        gradients = _gradients(models[0], step)
        weights, state = update(state, gradients, weights)
        made[1].apply([ops.convert_to_tensor(one) for one in gradients])
    stateful = _values([*models[1].trainable_variables, *made[1].variables])
    for one, other in zip([*weights, *state], stateful, strict=True):
        # Compiled as one, sums are taken in another order.
        assert np.asarray(one) == pytest.approx(other, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"groups": {"kernels": {}}}, "groups.kernels.*'kernel', 'bias', 'norm' or 'head'"),
        ({"groups": {"bias": {"rte": 1}}}, "groups.bias.rte: Extra"),
        ({"groups": {"bias": {"rate": -1}}}, "groups.bias.rate: "),
        ({"clip": 0}, "optimizer.clip: "),
    ],
)
def test_fields_that_do_not_fit_are_named(fields, told, parse):
    with pytest.raises(ValueError, match=f"optimizer.{told}" if "groups" in told else told):
        parse(optimizer={"name": "sgd"} | fields)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"name": "sgdd"}, "optimizer sgdd with"),
        ({"name": "sgd", "momentun": 0.9, "groups": {"bias": {}}}, "optimizer sgd with.*momentun"),
        ({"name": "sgd", "clip": 1.0, "clipnorm": 1.0}, "optimizer sgd with.*Only one of"),
        ({"name": "muon", "steps": 0}, "optimizer muon with.*steps must be a whole number"),
        ({"name": "muon", "momentum": 1.0}, "optimizer muon with.*momentum must be"),
        ({"name": "muon", "nesterov": False}, "optimizer muon with.*nesterov"),
    ],
)
def test_optimizers_that_cannot_be_made_are_named(fields, told):
    with pytest.raises(ValueError, match=told):
        optimizers.make(Optimizer(**fields))
