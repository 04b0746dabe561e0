"""What is explained: models of runs and the members inside of them, images, and classes."""

from __future__ import annotations

import dataclasses
import difflib
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from experiments.datasets import Dataset
from experiments.listener import SILENT, Listener
from experiments.runs import Run, class_number, short_names
from experiments.studies import predict
from experiments.training.predict import check_finite

if TYPE_CHECKING:
    import keras

PREDICTED, TRUE = "predicted", "true"
# Layers that a member of a stack ends in, but for `pooled`, which has no classes.
CLASSES_COME_FROM = ("logits", "probs")


@dataclasses.dataclass(frozen=True, eq=False)
class Pictures:
    """Images (n, h, w, c) uint8 and what each is called; labels and boxes where they are known."""

    images: np.ndarray
    names: Sequence[str]
    labels: np.ndarray | None = None
    boxes: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> Pictures:
        """Return those alone, in that order."""
        labels, boxes = (None if a is None else a[rows] for a in (self.labels, self.boxes))
        return Pictures(self.images[rows], [self.names[row] for row in rows], labels, boxes)


def of_data(data: Dataset, limit: int, seed: int) -> Pictures:
    """Return so many validation images, in the order in which the seed draws them."""
    split = data.validation
    rows = np.random.RandomState(seed).permutation(len(split))[:limit]
    short = short_names(data.class_names, data.class_ids)
    labels = np.asarray(split.labels)[rows]
    boxes = None if split.boxes is None else np.asarray(split.boxes)[rows]
    return Pictures(split.batch(rows), [short[label] for label in labels], labels, boxes)


def of_files(
    paths: Sequence[pathlib.Path], pictures: Sequence[Image.Image], run: Run, model: keras.Model
) -> Pictures:
    """Return image files as a run's model sees them: padded and resized like those of its data."""
    shape = predict.input_shape(run, model)
    pixels = predict.fitted(pictures, shape, predict.fitting(run))
    return Pictures(pixels, [path.name for path in paths])


def networks(
    runs: Mapping[str, Run], only: Sequence[str] = (), listener: Listener = SILENT
) -> dict[str, keras.Model]:
    """Return the models of runs by name, each followed by its members as `name/member`.

    Members are the networks nested in a stack, or in one that was trained together, as they are in
    there. One that ends in features has no classes: it is told, and left out. `only` chooses some,
    by their whole name or a member's alone. Raises ValueError for names that there are not and
    weights that are not finite.
    """
    import zoo

    found = {}
    for name, run in runs.items():
        model = zoo.load(run.model_file)
        check_finite(model, str(run))
        found[name] = model
        for member in _members(model):
            if _last(member) in CLASSES_COME_FROM:
                found[f"{name}/{member.name}"] = member
            else:
                listener.say(
                    f"{member.name} ends in features inside of {name}, and has no classes there: "
                    "give its own run to have it explained by itself"
                )
    return {key: found[key] for key in _chosen(list(found), only)}


def _members(model: keras.Model) -> Iterator[keras.Model]:
    """Yield the networks that a model asks about its image, if there are two or more."""
    import keras

    inside = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    image = model.inputs[0]
    asked = [
        layer
        for layer in inside
        if any(tensor is image for node in layer._inbound_nodes for tensor in node.input_tensors)
    ]
    yield from asked if len(asked) > 1 else ()


def _last(model: keras.Model) -> str:
    """Return the name of the layer that gives a model's output, of a stack that of its head's."""
    import keras

    layer = model.outputs[0]._keras_history.operation
    return _last(layer) if isinstance(layer, keras.Model) else layer.name


def _chosen(names: Sequence[str], only: Sequence[str]) -> list[str]:
    chosen = [key for key in names if not only or {key, key.partition("/")[2]} & set(only)]
    if missing := [
        name for name in only if not any(name in (key, key.partition("/")[2]) for key in names)
    ]:
        raise ValueError(f"no model {', '.join(missing)}: there are {', '.join(names)}")
    return chosen


def layer_in(subject: str, layer: str | None) -> str | None:
    """Return what a layer named by its path in a stack is called in a member by itself."""
    return layer and layer.removeprefix(f"{subject.partition('/')[2]}/")


def check_class(of: str, run: Run) -> int | None:
    """Return the number of a class named by name, id or number; None for predicted and true ones.

    Raises ValueError for a class that there is not, with the closest names.
    """
    if of in (PREDICTED, TRUE):
        return None
    names, ids = list(run.dataset["class_names"]), list(run.dataset.get("class_ids") or ())
    if (number := class_number(of, names, ids)) is not None:
        return number
    if of.isdecimal():
        raise ValueError(f"class {of}: {run} has classes 0 to {len(names) - 1}")
    close = difflib.get_close_matches(of, run.names, n=5, cutoff=0.4) or run.names[:5]
    raise ValueError(
        f"class {of!r}: {run} has no such class, close are {', '.join(close)}; or give "
        f"{PREDICTED!r}, {TRUE!r}, or a number from 0 to {len(names) - 1}"
    )


def classes_of(of: str, number: int | None, pictures: Pictures, probs: np.ndarray) -> np.ndarray:
    """Return the class (n,) of each image that is explained."""
    if number is not None:
        return np.full(len(probs), number)
    return pictures.labels if of == TRUE else probs.argmax(axis=1)
