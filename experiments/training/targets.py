"""What a network is to say of a batch: its targets, their loss and their metrics.

`Labels` are those of the images, smoothed or of mixed images where the row says so. A `Teacher`
(Hinton, Vinyals and Dean, arXiv 1503.02531) adds what a trained model says of the same augmented
and mixed images, both softened by a temperature; the gradient of the soft part shrinks with its
square, which is put back.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

import stacking
from experiments.listener import Listener
from experiments.recipes.fitting import Distill, Loss
from experiments.runs.scores import TOP
from experiments.training.callbacks import Clock, Saved


class Labels:
    """Targets are the labels (batch,), or rows of a label, a partner's label and the first's share.

    Such rows (batch, 3) are the targets of training where labels are smoothed or images mixed;
    validation images always come with labels alone. With `weights` (classes,) so do images of some
    classes count more than of others in training; of a mixed one by the shares of its labels.
    """

    def __init__(
        self, spec: Loss | None = None, *, mixed: bool = False, weights: np.ndarray | None = None
    ):
        self.spec = Loss() if spec is None else spec
        self.weights = weights
        beside = mixed or self.spec.label_smoothing or weights is not None
        self.width = 3 if beside else 1

    def of(self, images: Any, labels: np.ndarray) -> np.ndarray:
        """Return the targets of a batch of images as the network sees them."""
        if self.width == 3 and labels.ndim == 1:
            return paired(labels, labels, np.ones(len(labels)))
        return labels

    def trainer(self, model: keras.Model) -> keras.Model:
        """Return what is trained in the place of a model: its logits, of which the loss is."""
        return keras.Model(model.input, model.get_layer("logits").output, name="trainer")

    def beside(self, model: keras.Model, clock: Clock, listener: Listener) -> list[Saved]:
        """Return callbacks of these targets, which follow the clock."""
        return []

    def loss(self) -> Callable:
        """Return the loss of (targets, logits): exact on logits, where probabilities are rounded.

        Of labels alone it is the cross entropy, or the smoothed one where the row says so.
        """
        plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        if self.width == 1:
            return plain
        smoothing, weights = self.spec.label_smoothing, self.weights

        def one_hot(labels, classes: int):
            return ops.one_hot(ops.cast(labels, "int32"), classes)

        def smoothed(targets, logits):
            classes, counted = logits.shape[-1], 1.0
            if _alone(targets):
                if self.spec.validation == "plain":
                    return plain(targets, logits)
                true = one_hot(ops.reshape(targets, (-1,)), classes)
            else:
                share = targets[:, 2:]
                first, second = (one_hot(targets[:, k], classes) for k in (0, 1))
                true = share * first + (1 - share) * second
                if weights is not None:
                    counted = ops.sum(true * ops.convert_to_tensor(weights, "float32"), axis=-1)
            true = (1 - smoothing) * true + smoothing / classes
            losses = ops.categorical_crossentropy(true, logits, from_logits=True)
            return ops.mean(counted * losses)

        return smoothed

    def metrics(self, classes: int) -> list[keras.metrics.Metric]:
        """Return accuracies of (targets, logits); k is at most the number of classes."""
        return [TopK(self.label, k=min(k, classes), name=f"top{k}") for k in TOP]

    def label(self, targets):
        """Return what accuracies go by: the label, of mixed images that of the larger share."""
        if _alone(targets):
            return targets
        if self.width == 1:
            return targets[:, 0]
        return ops.where(targets[:, 2] >= 0.5, targets[:, 0], targets[:, 1])


class Teacher(Labels):
    """Targets (batch, width + classes): those of the labels, and logits of a model or stack."""

    def __init__(
        self, spec: Distill, model: keras.Model, student: keras.Model, labels: Labels | None = None
    ):
        """Raise ValueError where the student differs from the model in images or classes."""
        self.hard = Labels() if labels is None else labels
        self.width = self.hard.width
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
        return np.column_stack([self.hard.of(images, labels), said]).astype("float32")

    def loss(self) -> Callable:
        """Return the loss; of labels alone, their own."""
        hard, width = self.hard.loss(), self.width
        temperature, alpha = self.spec.temperature, self.spec.alpha

        def distillation(targets, logits):
            if _alone(targets):
                return hard(targets, logits)
            labels = targets[:, 0] if width == 1 else targets[:, :width]
            teacher = ops.log_softmax(targets[:, width:] / temperature)
            student = ops.log_softmax(logits / temperature)
            divergence = ops.mean(ops.sum(ops.exp(teacher) * (teacher - student), axis=-1))
            return alpha * temperature**2 * divergence + (1 - alpha) * hard(labels, logits)

        return distillation


class TopK(keras.metrics.SparseTopKCategoricalAccuracy):
    """Accuracy by the label that stands in the targets."""

    def __init__(self, label: Callable, **options):
        super().__init__(**options)
        self.label = label

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count a batch."""
        return super().update_state(self.label(y_true), y_pred, sample_weight)


def class_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return (classes,) weights under which all classes count alike, 1 on the mean over images."""
    counts = np.bincount(labels, minlength=classes)
    present = np.count_nonzero(counts)
    return (len(labels) / (present * np.maximum(counts, 1))).astype("float32")


def paired(labels: np.ndarray, partners: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return rows (batch, 3) of what mixed images show: labels, partners' labels, first's share."""
    return np.column_stack([labels, partners, shares]).astype("float32")


def _alone(targets) -> bool:
    """Tell whether targets are labels with nothing beside them."""
    return len(targets.shape) == 1 or targets.shape[-1] == 1
