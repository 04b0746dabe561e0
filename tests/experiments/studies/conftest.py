"""Finished runs of real, small networks, made without training's own code."""

import pathlib

import numpy as np
import pytest

from experiments import recipes, runs
from experiments.datasets import Dataset, Split

# A network and a data set small enough that an epoch takes a second.
CLEAN = {
    "recipe": "test/clean",
    "data": {"name": "digits"},
    "share": {"holdout": 0.2},
    "model": {"name": "alphanet_v4", "filters": [8, 8, 8, 8, 16], "dense": 16},
    "batch_size": 128,
    "epochs": 6,
    "optimizer": {"name": "adam", "learning_rate": 0.01},
}
NAMES = ("goldfish, Carassius auratus", "monarch", "school bus [yellow]", "lemon")


@pytest.fixture(scope="session")
def finish():
    """Make a finished run: (folder, model, data, row's other fields) -> Run."""
    from experiments.runs import metrics
    from experiments.training import part
    from experiments.training.predict import predict_probs

    def make(folder: pathlib.Path, model, data: Dataset, /, **fields) -> runs.Run:
        row = recipes.parse(CLEAN | {"data": {"name": data.name}} | fields, "test")
        with runs.making(folder, row, part.seen(data, row.share)) as run:
            run.write_model(model)
            scores = run.write_outputs(data, predict_probs(model, data.validation.images))
            cost = {"parameters": model.count_params()}
            run.finish(metrics.build(row, run.dataset, scores, cost))
        return run

    return make


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """The data set that is built in."""
    from experiments import datasets

    return datasets.load("digits")


@pytest.fixture(scope="session")
def clean(digits, finish, tmp_path_factory) -> runs.Run:
    """A finished run on clean digits, of a network that has learned something."""
    import keras

    import zoo

    keras.utils.set_random_seed(0)
    options = {"input_shape": digits.image_shape, "classes": 10}
    model = zoo.build(**CLEAN["model"], **options)
    seen = digits.holdout(0.2)[0].train
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    images = np.asarray(seen.images, "float32")
    model.fit(images, seen.labels, batch_size=128, epochs=6, verbose=0)
    return finish(tmp_path_factory.mktemp("clean") / "run", model, digits)


@pytest.fixture(scope="session")
def network():
    """Make a network that compiles in a second; its answers vary from image to image."""
    import keras

    def make(classes: int = 4, shape=(16, 16, 3)) -> keras.Model:
        keras.utils.set_random_seed(0)
        x = inputs = keras.Input(shape)
        x = keras.layers.Rescaling(1 / 64, -2)(x)
        x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(x)
        x = keras.layers.Flatten()(x)
        return keras.Model(inputs, keras.layers.Dense(classes, "softmax", name="probs")(x))

    return make


@pytest.fixture(scope="session")
def noise() -> Dataset:
    """20 and 37 images of noise in four classes."""
    rng = np.random.default_rng(0)

    def split(n: int) -> Split:
        images = rng.integers(0, 256, (n, 16, 16, 3), np.uint8)
        return Split(images, rng.integers(0, len(NAMES), n))

    return Dataset("noise", split(20), split(37), NAMES, NAMES)


@pytest.fixture(scope="session")
def run(network, noise, finish, tmp_path_factory) -> runs.Run:
    """A finished run on noise."""
    folder = tmp_path_factory.mktemp("noise") / "run"
    resample = {"name": "noise", "resample": "nearest"}
    return finish(folder, network(), noise, share={}, data=resample)
