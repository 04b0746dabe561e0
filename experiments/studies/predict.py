"""The likeliest classes of image files, by a finished run or a `.keras` file."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from experiments import datasets, runs
from experiments.recipes import Images
from experiments.runs import Run, names
from experiments.training import views as seen

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The likeliest classes of one image, best first, by a model that takes (w, h) `size`.

    `resized_from` is None where the image fitted, else (w, h); then by PIL's filter `resample`,
    which is `assumed` where the model has no recipe that names one. Probabilities are means over
    `views` of the image.
    """

    path: pathlib.Path
    classes: tuple[str, ...]
    probs: tuple[float, ...]
    size: tuple[int, int]
    resized_from: tuple[int, int] | None
    resample: str
    assumed: bool
    views: str = "none"


def predict(
    run_or_model: pathlib.Path,
    images: Sequence[pathlib.Path],
    top: int = 5,
    *,
    views: str = "none",
) -> list[Prediction]:
    """Return the `top` likeliest classes of each image file, with probabilities.

    Files become pixels as those of the run's data set did: upright, white where transparent, RGB
    or gray as the model wants, resized by the run's filter where they differ. Class names are
    those of the run, else numbers. Raises ValueError that names every file that is missing or no
    image, and for unknown views, before the model is loaded.
    """
    seen.get(views)
    if top < 1:
        raise ValueError(f"top={top}: give 1 or more")
    if not images:
        raise ValueError("no images given: name at least one image file")
    file, run = runs.of_model(run_or_model)
    paths = [pathlib.Path(path) for path in images]
    pictures = datasets.open_pictures(paths)

    import zoo

    model = zoo.load(file)
    known = _class_names(run, file, classes=model.output_shape[-1])
    height, width, channels = input_shape(run, model)
    resample, assumed = resampling(run)
    pixels = [
        datasets.fit_picture(picture, (width, height), channels, resample) for picture in pictures
    ]
    probs = seen.predict_views(model, np.stack(pixels), views)
    order = np.argsort(-probs, axis=1, kind="stable")[:, :top]
    return [
        Prediction(
            path,
            tuple(known[label] for label in ranked),
            tuple(float(row[label]) for label in ranked),
            (width, height),
            None if picture.size == (width, height) else picture.size,
            resample,
            assumed,
            views,
        )
        for path, picture, row, ranked in zip(paths, pictures, probs, order, strict=True)
    ]


def resampling(run: Run) -> tuple[str, bool]:
    """Return PIL's filter for files that a run's model is asked about, and whether it is assumed.

    A model file without a recipe beside it was trained nobody knows how.
    """
    if run.begun:
        return run.row.data.resample, False
    return Images.model_fields["resample"].default, True


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
