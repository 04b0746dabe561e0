"""Members of ensembles: linear networks written as finished runs, and one that is trained."""

import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from experiments import recipes, runs
from experiments.datasets import Dataset
from experiments.listener import Listener
from experiments.place import Place

HOLDOUT = 0.2
# A network and a data set so small that an epoch takes half a second; compiling would take more.
SMALL = {
    "data": {"name": "digits"},
    "share": {"holdout": HOLDOUT},
    "model": {"name": "alphanet_v4", "filters": [4, 4, 4, 4, 8], "dense": 8},
    "batch_size": 128,
    "epochs": 3,
    "optimizer": {"name": "adam", "learning_rate": 0.02},
    "jit": False,
    "precision": "float32",
}


class Told(Listener):
    """Keeps what it is told, and once cuts what it listens to, where `cut` says so of all that."""

    def __init__(self, cut: Callable[[list[str]], bool] = lambda texts: False):
        self.texts, self.cut = [], cut

    def heading(self, text: str) -> None:
        """Keep it."""
        self.say(text)

    def say(self, text: str) -> None:
        """Keep it."""
        self.texts.append(text)
        if self.cut(self.texts):
            self.cut = lambda texts: False
            raise RuntimeError("cut")

    def progress(self, what: str, done: int, total: int) -> None:
        """Keep it once in a row."""
        if self.texts[-1:] != [what]:
            self.say(what)


@pytest.fixture(scope="session")
def told() -> type[Told]:
    """The listener that keeps what it hears."""
    return Told


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """The data set that is built in."""
    from experiments import datasets

    return datasets.load("digits")


@pytest.fixture(scope="session")
def a_row():
    """Make a row of the paper `test`, small unless its fields say otherwise: (name, **fields)."""

    def make(name: str, **fields):
        kind = recipes.KINDS[fields.get("kind", "train")].schema
        base = {key: value for key, value in SMALL.items() if key in kind.model_fields}
        return recipes.parse({"recipe": f"test/{name}"} | base | fields, "test")

    return make


@pytest.fixture(scope="session")
def write_member(digits, a_row):
    """Write the finished run of a linear network: (folder, name, of, knows, **fields) -> Run.

    It knows the nearest class mean, blind to an eighth of the width that the digit at the end of
    `name` says, or nothing: the first class, whatever it sees.
    """
    from experiments.runs import metrics
    from experiments.training.part import seen
    from experiments.training.predict import predict_probs
    from experiments.training.train import cost

    def write(
        folder: pathlib.Path,
        name: str = "m0",
        of: Dataset = digits,
        knows: bool = True,
        **fields,
    ) -> runs.Run:
        row = a_row(name, **fields)
        part = seen(of, row.share)
        model = _linear(part, column=int(name[-1]) if knows else None)
        with runs.making(folder, row, part) as run:
            scores = run.write_outputs(part, predict_probs(model, part.validation.images))
            line = dict.fromkeys(("loss", "top1", "val_loss", "images_per_second"), 1.0)
            line |= {"epoch": 1, "seconds": 1.0, "val_top1": scores["top1"]}
            run.write_model(model)
            run.write_history([line])
            run.finish(metrics.build(row, run.dataset, scores, cost(model), history=[line]))
        return run

    return write


def _linear(data: Dataset, column: int | None):
    import keras

    x = inputs = keras.Input(data.image_shape)
    x = keras.layers.Flatten(name="pooled")(x)
    logits = keras.layers.Dense(len(data.class_names), name="logits")(x)
    model = keras.Model(inputs, keras.layers.Softmax(name="probs")(logits))
    if column is None:
        weights, biases = model.get_layer("logits").get_weights()
        biases[0] = 1
        weights[:] = 0
    else:
        weights, biases = _centroids(data, column)
    model.get_layer("logits").set_weights([weights, biases])
    return model


def _centroids(data: Dataset, column: int) -> list[np.ndarray]:
    """Weights of the classifier by the nearest class mean, blind to an eighth of the width."""
    images, labels = np.asarray(data.train.images, np.float32) / 255, data.train.labels
    width, classes = images.shape[2], range(len(data.class_names))
    visible = np.ones(images.shape[1:], np.float32)
    visible[:, column * width // 8 : (column + 3) * width // 8] = 0
    pixels = (images * visible).reshape(len(images), -1)
    means = np.stack([pixels[labels == label].mean(axis=0) for label in classes], axis=1)
    return [0.2 * means / 255, -0.1 * (means**2).sum(axis=0)]


@pytest.fixture(scope="session")
def place(write_member, tmp_path_factory) -> Place:
    """Where the runs of three members lie, m0 to m2, that held images out, and nothing else."""
    place = Place(runs=tmp_path_factory.mktemp("runs"))
    for name in ("m0", "m1", "m2"):
        write_member(place.runs / "test" / name, name)
    return place


@pytest.fixture(scope="session")
def members(place) -> list[runs.Run]:
    """The three members."""
    return [runs.Run(place.runs / "test" / name) for name in ("m0", "m1", "m2")]


@pytest.fixture(scope="session")
def stack(place, members, a_row) -> runs.Run:
    """The finished run of a stack of the three members, fitted on what they held out."""
    from experiments.ensembles import stack as stacks

    row = a_row("stack", kind="stack", members=["m0", "m1", "m2"], head=[16], epochs=4)
    stacks.run(row, place.folder(row), place)
    return runs.Run(place.folder(row))


@pytest.fixture(scope="session")
def clean(a_row, tmp_path_factory) -> runs.Run:
    """The finished run of a network that was really trained."""
    from experiments.training import train

    place = Place(runs=tmp_path_factory.mktemp("trained"))
    row = a_row("clean")
    train.run(row, place.folder(row), place)
    return runs.Run(place.folder(row))
