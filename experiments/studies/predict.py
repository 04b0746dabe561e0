"""The likeliest classes of image files, by a finished run, a `.keras` file or weights of ours."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from experiments import datasets, runs
from experiments.recipes import Images
from experiments.runs import Run, names
from experiments.training import views as seen

if TYPE_CHECKING:
    import keras
    from PIL import Image

    import zoo


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The likeliest classes of one image, best first, by a model that takes (w, h) `size`.

    `resized_from` is None where the image fitted, else (w, h); then by PIL's filter `resample`,
    which is `assumed` where the model has no recipe that names one. Probabilities are means over
    `views` of the image. `padded_with` is the color that makes it a square before; `uncropped` says
    that the model knows images that are cropped to their boxes, and this one, without one, is not.
    """

    path: pathlib.Path
    classes: tuple[str, ...]
    probs: tuple[float, ...]
    size: tuple[int, int]
    resized_from: tuple[int, int] | None
    resample: str
    assumed: bool
    views: str = "none"
    padded_with: str | None = None
    uncropped: bool = False


def predict(
    asked: pathlib.Path | zoo.Shipped,
    images: Sequence[pathlib.Path],
    top: int = 5,
    *,
    views: str = "none",
) -> list[Prediction]:
    """Return the `top` likeliest classes of each image file, with probabilities.

    `asked` is a run's folder, a `.keras` file, or weights that come with the zoo. Files become
    pixels as those of its data set did: upright, white where transparent, RGB or gray as the model
    wants, padded and resized in the same way where they differ; of boxes to be cropped to they have
    none. Classes of a model without a run around it are numbers. Raises ValueError that names every
    file that is missing or no image, and for unknown views, before the model is loaded.
    """
    seen.get(views)
    if top < 1:
        raise ValueError(f"top={top}: give 1 or more")
    if not images:
        raise ValueError("no images given: name at least one image file")
    opened = _saved(asked) if isinstance(asked, str | pathlib.Path) else _shipped(asked)
    paths = [pathlib.Path(path) for path in images]
    pictures = datasets.open_pictures(paths)

    answering = opened()
    known, how = answering.class_names, answering.fitting
    height, width, _ = answering.input_shape
    pixels = fitted(pictures, answering.input_shape, how)
    probs = seen.predict_views(answering.model, pixels, views)
    order = np.argsort(-probs, axis=1, kind="stable")[:, :top]
    return [
        Prediction(
            path,
            tuple(known[label] for label in ranked),
            tuple(float(row[label]) for label in ranked),
            (width, height),
            None if picture.size == (width, height) else picture.size,
            how.resample,
            how.assumed,
            views,
            how.background if picture.width != picture.height else None,
            how.uncropped,
        )
        for path, picture, row, ranked in zip(paths, pictures, probs, order, strict=True)
    ]


class Fitting(NamedTuple):
    """How files become the pixels that a model knows; `Prediction` has the same fields."""

    resample: str
    background: str | None = None
    uncropped: bool = False
    assumed: bool = False


def fitted(
    pictures: Sequence[Image.Image], shape: tuple[int, int, int], how: Fitting
) -> np.ndarray:
    """Return the pixels (n, h, w, c) uint8 that pictures are to a model of images of `shape`."""
    height, width, channels = shape
    options = {"resample": how.resample, "background": how.background}
    return np.stack(
        [
            datasets.fit_picture(picture, size=(width, height), channels=channels, **options)
            for picture in pictures
        ]
    )


class _Answering(NamedTuple):
    """A model, what its classes are called, and the pixels that it takes."""

    model: keras.Model
    class_names: Sequence[str]
    input_shape: tuple[int, int, int]
    fitting: Fitting


def _saved(path: pathlib.Path) -> Callable[[], _Answering]:
    """Return what opens a run's model or a `.keras` file; it is looked for now."""
    file, run = runs.of_model(path)

    def opened() -> _Answering:
        import zoo

        model = zoo.load(file)
        classes = _class_names(run, file, classes=model.output_shape[-1])
        return _Answering(model, classes, input_shape(run, model), fitting(run))

    return opened


def _shipped(found: zoo.Shipped) -> Callable[[], _Answering]:
    """Return what builds a network with weights that come with the zoo."""

    def opened() -> _Answering:
        import zoo

        names, shape = found.class_names, found.input_shape
        options = {"weights": found.weights, "input_shape": shape, "classes": len(names)}
        return _Answering(zoo.build(found.model, **options), names, shape, Fitting(found.resample))

    return opened


def fitting(run: Run) -> Fitting:
    """Return how files become pixels that a run's model is asked about.

    A model file without a recipe beside it was trained nobody knows how: it is assumed.
    """
    if run.begun:
        data = run.row.data
        return Fitting(data.resample, data.background, uncropped=data.crop == "boxes")
    return Fitting(Images.model_fields["resample"].default, assumed=True)


def input_shape(run: Run, model: keras.Model) -> tuple[int, int, int]:
    """Return the model's input shape; sides that it leaves open are those of its training."""
    shape = model.input_shape[1:]
    if None in shape:
        trained = run.dataset["image_shape"]
        shape = [known or other for known, other in zip(shape, trained, strict=True)]
    return tuple(shape)


def _class_names(run: Run, file: pathlib.Path, classes: int) -> list[str]:
    if not (run.path / names.DATASET).exists():
        return [f"class {number}" for number in range(classes)]
    if run.classes != classes:
        raise ValueError(
            f"{run.path / names.DATASET} names {run.classes} classes, {file.name} has {classes}"
        )
    return run.dataset["class_names"]
