"""What a network is to say of a batch: its targets, their loss and their metrics.

`Labels` are those of the images. A `Teacher` (Hinton, Vinyals and Dean, arXiv 1503.02531) adds what
a trained model says of the same augmented images, both softened by a temperature; the gradient of
the soft part shrinks with its square, which is put back.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

import stacking
from experiments.recipes.fitting import Distill
from experiments.runs.scores import TOP


class Labels:
    """Targets are the labels (batch,)."""

    def of(self, images: Any, labels: np.ndarray) -> np.ndarray:
        """Return the targets of a batch of images as the network sees them."""
        return labels

    def loss(self) -> Callable:
        """Return the loss of (targets, logits): exact on logits, where probabilities are rounded.

        Validation images come with labels alone; their loss is the cross entropy with these.
        """
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def metrics(self, classes: int) -> list[keras.metrics.Metric]:
        """Return accuracies of (targets, logits); k is at most the number of classes."""
        return [_TopK(min(k, classes), name=f"top{k}") for k in TOP]


class Teacher(Labels):
    """Targets (batch, 1 + classes) are the labels and the logits of a trained model or stack."""

    def __init__(self, spec: Distill, model: keras.Model, student: keras.Model):
        """Raise ValueError where the student differs from the model in images or classes."""
        self.spec = spec
        self.model = stacking.frozen_member(model, "logits", "teacher")
        for what, ours, theirs in (
            ("images", student.input_shape[1:], self.model.input_shape[1:]),
            ("classes", student.output_shape[-1], self.model.output_shape[-1]),
        ):
            if ours != theirs:
                raise ValueError(
                    f"the teacher takes {what} {theirs}, the network {ours}: they differ"
                )

    def of(self, images: Any, labels: np.ndarray) -> np.ndarray:
        """Ask the teacher, as at inference."""
        said = ops.convert_to_numpy(self.model.predict_on_batch(images))
        return np.column_stack([labels, said]).astype("float32")

    def loss(self) -> Callable:
        """Return the loss; of labels alone, their own."""
        hard = super().loss()
        temperature, alpha = self.spec.temperature, self.spec.alpha

        def distillation(targets, logits):
            labels = _labels(targets)
            if labels is targets:
                return hard(labels, logits)
            teacher = ops.log_softmax(targets[:, 1:] / temperature)
            student = ops.log_softmax(logits / temperature)
            divergence = ops.mean(ops.sum(ops.exp(teacher) * (teacher - student), axis=-1))
            return alpha * temperature**2 * divergence + (1 - alpha) * hard(labels, logits)

        return distillation


class _TopK(keras.metrics.SparseTopKCategoricalAccuracy):
    """Accuracy by the label, where a teacher's logits stand beside it."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count a batch."""
        return super().update_state(_labels(y_true), y_pred, sample_weight)


def _labels(targets):
    """Return the labels of a batch, with or without a teacher's logits beside them."""
    return targets if len(targets.shape) == 1 or targets.shape[-1] == 1 else targets[:, 0]
