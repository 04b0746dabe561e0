"""A network as methods that explain it ask it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

import augment

if TYPE_CHECKING:
    import keras

BATCH = 64
GRADIENT = 3  # passes forward that a pass forward and back is counted as


class Network:
    """A classifier as the methods ask it: logits and their gradients, each compiled once.

    All batches have one size. `passed` hears of each how many passes forward it was worth. What
    fits and what is raised: see `augment.Gradient` and `augment.MapGradient`.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        layer: str | None = None,
        batch_size: int = BATCH,
        passed: Callable[[int], None] = lambda passes: None,
    ):
        self.model, self.layer, self.batch_size, self._passed = model, layer, batch_size, passed
        self._gradient = augment.Gradient(model, batch_size, of="logit")
        self.classes = self._gradient.classes
        self.check = self._gradient.check

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return the logits (n, classes)."""
        parts = []
        for rows in self._batches(len(images)):
            batch = np.asarray(images[rows], np.float32)
            filled = np.zeros((self.batch_size, *batch.shape[1:]), np.float32)
            filled[: len(batch)] = batch
            parts.append(np.asarray(self._forward.predict_on_batch(filled))[: len(batch)])
            self._passed(len(batch))
        return np.concatenate(parts)

    def probs(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities (n, classes): the softmax of the logits."""
        logits = self.logits(images).astype(np.float64)
        grown = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (grown / grown.sum(axis=1, keepdims=True)).astype(np.float32)

    def gradient(self, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Return the gradient of the class's logit by the pixels, (n, h, w, c)."""
        parts = []
        for rows in self._batches(len(images)):
            parts.append(self._gradient(images[rows], classes[rows]))
            self._passed(GRADIENT * len(parts[-1]))
        return np.concatenate(parts)

    def map_gradient(self, images: np.ndarray, classes: np.ndarray) -> list[tuple]:
        """Return (maps, gradient of the class's logit by them) of each layer."""
        found = self._maps(images, classes)
        self._passed(GRADIENT * len(images))
        return list(found.values())

    @property
    def layers(self) -> tuple[str, ...]:
        """Paths of the layers whose maps Grad-CAM takes."""
        return self._maps.layers

    @functools.cached_property
    def _forward(self) -> keras.Model:
        return augment.logits_model(self.model)

    @functools.cached_property
    def _maps(self) -> augment.MapGradient:
        return augment.MapGradient(self.model, self.layer, self.batch_size)

    def _batches(self, count: int) -> Iterator[slice]:
        return (slice(at, at + self.batch_size) for at in range(0, count, self.batch_size))
