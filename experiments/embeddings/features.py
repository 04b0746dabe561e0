"""What images are to a network: the features by which distances are measured.

The network, its weights and its layer have a name, which stands beside every number: a distance is
one by these features, and by no others.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

import zoo
from experiments import datasets
from experiments.runs import Run
from experiments.training.predict import predict_probs

if TYPE_CHECKING:
    import keras

LAYER = "pooled"
# Weights that come with the package, by the largest side that they are taken for by default.
BY_SIDE = {40: ("sprint_s", "cifar10"), None: ("sprint_m", "tiny_imagenet")}


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """A network up to a layer, under its name; `resample` is Pillow's filter to its size."""

    name: str
    model: keras.Model
    shape: tuple[int, int, int]
    resample: str

    def of(self, images: Any) -> np.ndarray:
        """Return features (n, d) float32 of images (n, h, w, c) uint8, gray or RGB.

        They become the network's size and channels as a data set's images would, by Pillow.
        """
        return predict_probs(self.model, _Fitted(images, self.shape, self.resample))


class _Fitted:
    """Images in a network's shape, made when they are read."""

    def __init__(self, images: Any, shape: tuple[int, int, int], resample: str):
        self.images, self.resample = images, resample
        self.shape = (len(images), *shape)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice) -> np.ndarray:
        images = np.asarray(self.images[rows])
        if images.shape[1:] == self.shape[1:]:
            return images
        height, width, channels = self.shape[1:]
        pictures = map(Image.fromarray, images.squeeze(-1) if images.shape[-1] == 1 else images)
        fitted = [
            datasets.fit_picture(one, (width, height), channels, self.resample) for one in pictures
        ]
        return np.stack(fitted)


def find(asked: str | None, shape: tuple[int, int, int]) -> Callable[[], Features]:
    """Return what loads the network that is asked for; it is looked for now, without Keras.

    `asked` is a name of weights that come with the package, or a finished run's folder; by default
    weights by the side of images of a shape. Raises ValueError for what is not there, and for a
    run whose model has no such layer.
    """
    if asked is None:
        side = max(shape[:2])
        model, weights = next(of for most, of in BY_SIDE.items() if most is None or side <= most)
        return lambda: _shipped(zoo.shipped(model, weights))
    if asked in zoo.list_models():
        known = zoo.shipped(asked)
        return lambda: _shipped(known)
    run = Run(pathlib.Path(asked))
    if not run.begun:
        raise ValueError(
            f"features (--features) {asked!r}: give a finished run's folder, or a network whose "
            f"weights come with the package: {', '.join(name for name, _ in BY_SIDE.values())}"
        )
    _ = run.model_file, run.dataset["image_shape"]
    return lambda: _of_run(run)


def _shipped(known: zoo.Shipped) -> Features:
    options = {"input_shape": known.input_shape, "classes": len(known.class_names)}
    model = zoo.build(known.model, weights=known.weights, **options)
    name = f"{known.model}:{known.weights}:{LAYER}"
    return Features(name, _up_to(model, name), known.input_shape, known.resample)


def _of_run(run: Run) -> Features:
    model, shape = zoo.load(run.model_file), tuple(run.dataset["image_shape"])
    return Features(f"{run}:{LAYER}", _up_to(model, str(run)), shape, run.row.data.resample)


def _up_to(model: keras.Model, name: str) -> keras.Model:
    import keras

    if LAYER not in [layer.name for layer in model.layers]:
        raise ValueError(
            f"{name} has no layer {LAYER}: give the run of one network of the zoo (--features)"
        )
    return keras.Model(model.inputs[0], model.get_layer(LAYER).output, name=model.name)
