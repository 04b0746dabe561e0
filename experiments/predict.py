"""The likeliest classes of image files, by a finished run or a `.keras` file."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from experiments._files import read_json
from experiments.evaluate import model_file, predict_probs


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The likeliest classes of one image, best first; `resized_from` is None where it fitted."""

    path: pathlib.Path
    classes: tuple[str, ...]
    probs: tuple[float, ...]
    resized_from: tuple[int, int] | None


def predict(
    run_or_model: pathlib.Path,
    image_paths: Sequence[pathlib.Path],
    top: int = 5,
    *,
    console: Console | None = None,
) -> list[Prediction]:
    """Print and return the `top` likeliest classes of each image file, with probabilities.

    Images become RGB or gray as the model wants, and are resized (Lanczos) to its input where
    they differ, which is said. Class names are those of `dataset.json` beside the model, else
    numbers. Raises ValueError that names every file that is missing or no image, before the model
    is loaded.
    """
    if top < 1:
        raise ValueError(f"top={top}: give 1 or more")
    if not image_paths:
        raise ValueError("no images given: name at least one image file")
    file = model_file(run_or_model)
    pictures = open_pictures([pathlib.Path(path) for path in image_paths])

    import zoo

    model = zoo.load(file)
    names = _class_names(file, classes=model.output_shape[-1])
    height, width, channels = input_shape(file, model)
    images = [fit_picture(picture, (width, height), channels) for _, picture in pictures]
    probs = predict_probs(model, np.stack(images))
    order = np.argsort(-probs, axis=1, kind="stable")[:, :top]
    found = [
        Prediction(
            path,
            tuple(names[label] for label in ranked),
            tuple(float(row[label]) for label in ranked),
            None if picture.size == (width, height) else picture.size,
        )
        for (path, picture), row, ranked in zip(pictures, probs, order, strict=True)
    ]
    _print(found, (width, height), console or Console())
    return found


def open_pictures(paths: Sequence[pathlib.Path]) -> list[tuple[pathlib.Path, Image.Image]]:
    """Decode every file; one error names all that fail."""
    pictures, failures = [], []
    for path in paths:
        try:
            with Image.open(path) as picture:
                if picture.mode[0] in "IF":
                    raise ValueError(f"mode {picture.mode}: save it with 8 bits per channel")
                pictures.append((path, ImageOps.exif_transpose(picture)))
        except FileNotFoundError:
            failures.append(f"{path}: no such file")
        except UnidentifiedImageError:
            failures.append(f"{path}: not an image that Pillow can read")
        # Pillow raises a dozen kinds of error on damaged files, SyntaxError among them.
        except Exception as error:
            failures.append(f"{path}: {error}")
    if failures:
        raise ValueError("cannot read " + "; ".join(failures))
    return pictures


def fit_picture(picture: Image.Image, size: tuple[int, int], channels: int) -> np.ndarray:
    """Return the picture as (h, w, channels) uint8; what is transparent becomes white."""
    if picture.has_transparency_data:
        solid = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", solid.size, "white"), solid)
    picture = picture.convert("L" if channels == 1 else "RGB")
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    return np.asarray(picture).reshape(*size[::-1], channels)


def _class_names(file: pathlib.Path, classes: int) -> list[str]:
    described = file.parent / "dataset.json"
    if not described.exists():
        return [f"class {number}" for number in range(classes)]
    names = read_json(described)["class_names"]
    if len(names) != classes:
        raise ValueError(f"{described} names {len(names)} classes, {file.name} has {classes}")
    return names


def input_shape(file: pathlib.Path, model) -> tuple[int, int, int]:
    """Return the model's input shape; sides that it leaves open are those of its training."""
    shape = model.input_shape[1:]
    if None in shape:
        trained = read_json(file.parent / "dataset.json")["image_shape"]
        shape = [known or other for known, other in zip(shape, trained, strict=True)]
    return tuple(shape)


def _print(found: Sequence[Prediction], size: tuple[int, int], console: Console) -> None:
    for prediction in found:
        heading = f"[bold]{escape(str(prediction.path))}[/]"
        if prediction.resized_from:
            sizes = [f"{width}x{height}" for width, height in (prediction.resized_from, size)]
            heading += f", resized from {sizes[0]} to {sizes[1]} (Lanczos)"
        console.print(heading, soft_wrap=True, highlight=False)
        table = Table.grid(padding=(0, 2))
        table.add_column(justify="right", min_width=9)
        for name, probability in zip(prediction.classes, prediction.probs, strict=True):
            table.add_row(f"{100 * probability:.1f} %", escape(name))
        console.print(table)
