"""What a run predicted, kept: probabilities of the validation images, mistakes, augmented images.

- predictions.npz: probs (n, classes) float32, of a vote float64, whose ties are broken in the ninth
  decimal; labels (n,) int64: validation images, in order.
- samples.npz: wrong_images (k, h, w, c) uint8, wrong_labels, wrong_predictions, wrong_confidence
  (k,): the most confident mistakes, k <= 24; with a policy also original (m, h, w, c), augmented
  (m, views, h, w, c) uint8.
- sheets.npz, of a generator: by the number of an epoch, images (n, h, w, c) uint8 of the same
  latent numbers each time, eight of a class in turn where it knows classes; `strip`, once it is
  finished, ten images on the way from one latent point to another, of each class in turn.
"""

import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments._files import atomic
from experiments.runs import _reading, names

PREDICTIONS = ("probs", "labels")
SAMPLES = ("wrong_images", "wrong_labels", "wrong_predictions", "wrong_confidence")
MISTAKES = 24  # kept for the report


def write(path: pathlib.Path, **arrays: np.ndarray) -> None:
    """Write arrays into one .npz file, whole or not at all."""
    with atomic(path) as part:
        np.savez(part, **arrays)


def read(path: pathlib.Path, required: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Read all arrays of an .npz file without pickle; ValueError says what is wrong."""
    try:
        # NumPy closes a file of its own only where that is whole.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    # What numpy and zipfile raise on a cut or foreign file, of which OSError is one.
    except (zipfile.BadZipFile, EOFError, OSError, KeyError, AttributeError, ValueError) as error:
        raise ValueError(str(error) or type(error).__name__) from error
    missing = [key for key in required if key not in arrays]
    if missing:
        raise ValueError(f"no array {', '.join(missing)}")
    return arrays


def contradiction(probs: np.ndarray, labels: np.ndarray, classes: int) -> str:
    """Return why probabilities and labels of so many classes cannot be of one run, or nothing."""
    if probs.ndim != 2 or len(probs) != len(labels) or not len(labels):
        return f"probs {probs.shape}, labels {labels.shape}: (n, classes) and (n,) are expected"
    if probs.shape[1] != classes:
        return f"{probs.shape[1]} classes, dataset.json has {classes}"
    if labels.min() < 0 or labels.max() >= classes:
        return f"labels reach {labels.min()} to {labels.max()}"
    return "" if np.isfinite(probs).all() else "some probabilities are not finite"


def mistakes(images: Any, probs: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return the most confident mistakes on images (n, h, w, c), as samples.npz keeps them."""
    predicted, confidence = probs.argmax(axis=1), probs.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    # One by one: a memory-mapped array need not take a list of indices.
    chosen = [np.asarray(images[index]) for index in wrong]
    return {
        "wrong_images": np.stack(chosen) if chosen else np.empty((0, *images.shape[1:]), np.uint8),
        "wrong_labels": labels[wrong],
        "wrong_predictions": predicted[wrong],
        "wrong_confidence": confidence[wrong],
    }


def sheets(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """Read the images of a generator over its epochs from its run's folder; none at first."""
    file = folder / names.SHEETS
    return _reading.read(file, read, ()) if file.is_file() else {}


def write_sheets(
    folder: pathlib.Path, kept: Mapping[str, np.ndarray], strip: np.ndarray | None = None
) -> None:
    """Keep a generator's images by epoch, and the strip that it ends with."""
    last = {} if strip is None else {"strip": strip}
    write(folder / names.SHEETS, **kept, **last)
