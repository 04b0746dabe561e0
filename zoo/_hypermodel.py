"""A network whose options a tuner of Keras Tuner chooses."""

from collections.abc import Callable, Mapping
from typing import Any

from zoo import _check, _space

# What is no option of the network, with what it is where it does not vary.
_TRAINING = {"optimizer": "adam", "learning_rate": None, "batch_size": None}


def make(build: Callable, name: str, space: Mapping[str, Any], options: Mapping[str, Any]):
    """Return what `zoo.hypermodel` does, of networks that `build` builds."""
    dimensions = _space.parse(space)
    if both := [one.name for one in dimensions if one.name in options]:
        raise ValueError(f"{', '.join(both)}: in the space and given besides: leave one out")
    for dimension in dimensions:
        for bound in dimension.bounds:
            network, _ = _split({**options, dimension.name: bound})
            try:
                _check.plan(name, **network)
            except ValueError as error:
                raise ValueError(f"space.{dimension.name}: {error}") from None
    import keras_tuner

    class HyperModel(keras_tuner.HyperModel):
        """Builds and fits a network with the values that a tuner proposes."""

        def build(self, hp: Any) -> Any:
            """Build and compile a network."""
            network, training = _split({**options, **_space.suggested(dimensions, hp)})
            return _compiled(build(name, **network), training)

        def fit(self, hp: Any, model: Any, *args: Any, **given: Any) -> Any:
            """Fit, with the batch size that is proposed where that varies."""
            _, training = _split({**options, **_space.suggested(dimensions, hp)})
            if training["batch_size"] is not None:
                given["batch_size"] = training["batch_size"]
            return model.fit(*args, **given)

    return HyperModel(name=name)


def _split(values: Mapping[str, Any]) -> tuple[dict, dict]:
    """Return options of the network, and those of training."""
    network = {key: value for key, value in values.items() if key not in _TRAINING}
    return network, _TRAINING | {key: values[key] for key in _TRAINING if key in values}


def _compiled(model: Any, training: Mapping[str, Any]) -> Any:
    import keras

    optimizer = keras.optimizers.get(training["optimizer"])
    if training["learning_rate"] is not None:
        optimizer.learning_rate = training["learning_rate"]
    optimizer.build(model.trainable_variables)  # a tuner reads its state beside the weights
    loss = keras.losses.SparseCategoricalCrossentropy()
    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])
    return model
