"""What a run predicted, kept: probabilities of the validation images, mistakes, augmented images.

- predictions.npz: probs (n, classes) float32, of a vote float64, whose ties are broken in the ninth
  decimal; labels (n,) int64: validation images, in order.
- samples.npz: wrong_images (k, h, w, c) uint8, wrong_labels, wrong_predictions, wrong_confidence
  (k,): the most confident mistakes, k <= 24; with a policy also original (m, h, w, c), augmented
  (m, views, h, w, c) uint8.
"""

import pathlib
import zipfile
from typing import Any

import numpy as np

from experiments._files import atomic

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
