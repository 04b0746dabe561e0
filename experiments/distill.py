"""Distillation: a network learns what a stack, or any larger model, says of each image.

Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network (arXiv 1503.02531): besides
the labels the network is given the teacher's logits, for the same augmented images, both softened
by a temperature. The gradient of the soft part shrinks with its square, which is put back.
"""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

import stacking
from experiments.rows import Distill


def teacher_of(model: keras.Model, student: keras.Model) -> Callable[[object], np.ndarray]:
    """Return images -> logits (n, classes) of a trained model or stack, as at inference.

    Raises ValueError where the student differs from it in images or classes.
    """
    teacher = stacking.frozen_member(model, "logits", "teacher")
    for what, ours, theirs in (
        ("images", student.input_shape[1:], teacher.input_shape[1:]),
        ("classes", student.output_shape[-1], teacher.output_shape[-1]),
    ):
        if ours != theirs:
            raise ValueError(f"the teacher takes {what} {theirs}, the network {ours}: they differ")
    return lambda images: ops.convert_to_numpy(teacher.predict_on_batch(images))


def loss(spec: Distill) -> Callable:
    """Return the loss for targets of `feed.batches` with a teacher; of labels alone, their own.

    So that the loss of validation images is the one of every other run.
    """
    hard = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    temperature, alpha = spec.temperature, spec.alpha

    def distillation(targets, logits):
        labels = labels_of(targets)
        if labels is targets:
            return hard(labels, logits)
        teacher = ops.log_softmax(targets[:, 1:] / temperature)
        student = ops.log_softmax(logits / temperature)
        divergence = ops.mean(ops.sum(ops.exp(teacher) * (teacher - student), axis=-1))
        return alpha * temperature**2 * divergence + (1 - alpha) * hard(labels, logits)

    return distillation


class TopK(keras.metrics.SparseTopKCategoricalAccuracy):
    """Accuracy by the label, where a teacher's logits stand beside it."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count a batch."""
        return super().update_state(labels_of(y_true), y_pred, sample_weight)


def labels_of(targets):
    """Return the labels of a batch, with or without a teacher's logits beside them."""
    return targets if len(targets.shape) == 1 or targets.shape[-1] == 1 else targets[:, 0]
