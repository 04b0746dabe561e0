"""What a model says of images, in batches of one size. Keras is imported inside functions."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

    from augment import Policy
    from augment.mix import Mix

BATCH = 256
ORIGINALS, VIEWS = 6, 5  # training images shown, augmented views of each


def predict_probs(model: keras.Model, images: np.ndarray, batch_size: int = BATCH) -> np.ndarray:
    """Return the probabilities (n, classes) float32 of images (n, h, w, c), raw pixels 0..255.

    `images` may be memory-mapped: one batch at a time is read, and enlarged where it is stored
    smaller, as in training. The last batch is filled up to the
    size of the others, so that every backend compiles once.
    Raises ValueError for images that do not fit the model, or are not finite.
    """
    from experiments.training import enlarging

    _check_images(model, images)
    images, enlarge = enlarging.apart(images)
    size = min(batch_size, len(images))
    parts = []
    for start in range(0, len(images), size):
        batch = np.asarray(images[start : start + size])
        if batch.dtype.kind == "f" and not np.isfinite(batch).all():
            where = f"images {start} to {start + len(batch) - 1}"
            raise ValueError(f"{where}: some pixels are not finite; give raw pixels, 0 to 255")
        if start == 0 and batch.dtype.kind == "f" and batch.max() <= 1:
            warnings.warn(
                f"float images between {batch.min():g} and {batch.max():g}: the model expects raw "
                "pixels, 0 to 255; multiply by 255",
                stacklevel=2,
            )
        count = len(batch)
        if count < size:
            batch = np.concatenate([batch, np.zeros((size - count, *batch.shape[1:]), batch.dtype)])
        parts.append(np.asarray(model.predict_on_batch(enlarge(batch)), np.float32)[:count])
    return np.concatenate(parts)


def augmented_views(
    images: np.ndarray, policy: Policy | None, seed: int, mix: Mix | None = None
) -> dict[str, np.ndarray]:
    """Return some training images and their views of the first epochs, as training saw them."""
    import keras

    from experiments.training import feed

    def pixels(numbers: np.ndarray) -> np.ndarray:
        return np.stack([np.asarray(images[number]) for number in numbers])

    count = min(ORIGINALS, len(images))
    indices = np.sort(np.random.default_rng(seed).choice(len(images), count, replace=False))
    plan = feed.Plan(len(images), count, seed)
    views = [
        keras.ops.convert_to_numpy(feed.seen(pixels, indices, plan, policy, mix, epoch=epoch)[0])
        for epoch in range(VIEWS)
    ]
    augmented = np.stack(views, axis=1).round().clip(0, 255).astype(np.uint8)
    return {"original": pixels(indices), "augmented": augmented}


def check_finite(model: keras.Model, name: str) -> None:
    """Raise ValueError where a model, called `name`, has weights that are not finite.

    Its answers need not show it: on TensorFlow, ReLU makes 0 of what is not a number.
    """
    import keras

    for variable in model.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(variable)).all():
            raise ValueError(
                f"{name} has weights that are not finite ({variable.path}): did its training "
                "diverge?"
            )


def _check_images(model: keras.Model, images: np.ndarray) -> None:
    shape, expected = tuple(images.shape), tuple(model.input_shape[1:])
    if len(shape) != 4 or not shape[0]:
        raise ValueError(f"images of shape {shape}: (n, height, width, channels), n > 0, expected")
    if any(side not in (None, given) for side, given in zip(expected, shape[1:], strict=True)):
        raise ValueError(
            f"images are {shape[1:]}, {model.name} takes {expected}: load the data set with the "
            f"size and channels of the model"
        )
