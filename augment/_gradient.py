"""The gradient of a classifier's loss by its pixels; here alone the backends are told apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

BATCH = 256
SMALLEST = 1e-30  # probability below which its logarithm counts as constant; far above float32's


class Gradient:
    """Gradient of each image's cross entropy by its pixels, compiled once for a model.

    The model runs in inference mode: its weights and batch statistics stay as they are, and no
    image touches another's gradient. Weights may change between calls; the graph may not. Backends
    agree but for pixels behind a tie that rounding decides, as in max pooling.

    The loss is taken on logits, which keep their gradient where the softmax is saturated: those of
    the layer `logits`, else of the layer `logits` in the nested model that gives the output (the
    head of a stack). A model without such a layer is differentiated through the logarithm of its
    output, clipped at 1e-30: the gradient vanishes where the label's probability is below.

    Args:
        model: functional, one input of raw pixels 0..255, one output of probabilities (n, classes).
        batch_size: images in one call of the compiled function. Smaller batches are filled up to
            the largest before them, so that a ragged last batch compiles nothing.

    Raises:
        ValueError: the model is not functional, or has other inputs or outputs than these.

    """

    def __init__(self, model: keras.Model, batch_size: int = BATCH):
        _check_model(model)
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: give the images of one batch, 1 or more")
        self.input_shape: tuple[int | None, ...] = tuple(model.inputs[0].shape[1:])
        self.classes: int = model.outputs[0].shape[-1]
        self.batch_size = batch_size
        self._compiled = _compiled(model)
        self._size = 0  # of the largest batch so far

    def __call__(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the gradient, float32 like images (n, h, w, c), of labels (n,).

        Raises ValueError for images or labels that do not fit the model.
        """
        self.check(images, labels)
        parts = []
        for start in range(0, len(images), self.batch_size):
            rows = slice(start, start + self.batch_size)
            batch = np.asarray(images[rows], np.float32)
            n = len(batch)
            self._size = max(self._size, n)
            batch = np.concatenate([batch, np.zeros((self._size - n, *batch.shape[1:]), "float32")])
            padded = np.zeros(self._size, np.int32)
            padded[:n] = labels[rows]
            parts.append(self._compiled(batch, padded)[:n])
        return np.concatenate(parts)

    def check(self, images: np.ndarray, labels: np.ndarray, name: str = "labels") -> None:
        """Raise ValueError unless these images and `labels` (called `name`) fit the model."""
        shape = tuple(images.shape)
        if len(shape) != 4 or not shape[0]:
            raise ValueError(
                f"images of shape {shape}: (n, height, width, channels), n > 0, expected"
            )
        sides = zip(self.input_shape, shape[1:], strict=True)
        if any(side not in (None, given) for side, given in sides):
            raise ValueError(f"images are {shape[1:]}, the model takes {self.input_shape}")
        labels = np.asarray(labels)
        if labels.shape != shape[:1] or labels.dtype.kind not in "iu":
            raise ValueError(
                f"{name} of type {labels.dtype} and shape {labels.shape}: whole numbers "
                f"({shape[0]},) are expected, one for each image"
            )
        if labels.min() < 0 or labels.max() >= self.classes:
            raise ValueError(
                f"{name} from {labels.min()} to {labels.max()}: the model has classes 0 to "
                f"{self.classes - 1}"
            )


def input_gradient(
    model: keras.Model | Gradient, images: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Return the gradient of each image's cross entropy by its pixels, float32 (n, h, w, c).

    `images` are (n, h, w, c), raw pixels 0..255, `labels` (n,) their classes. A model compiles
    anew in each call: for many calls, or another batch size, make a `Gradient` and give that.
    Raises ValueError for a model, images or labels that do not fit; see `Gradient`.
    """
    return as_gradient(model)(images, labels)


def as_gradient(model: keras.Model | Gradient) -> Gradient:
    """Return the Gradient given, or one of the model given."""
    return model if isinstance(model, Gradient) else Gradient(model)


def _check_model(model) -> None:
    name = f"{type(model).__name__} {getattr(model, 'name', '')}".strip()
    inputs, outputs = (getattr(model, ends, None) or () for ends in ("inputs", "outputs"))
    if len(inputs) != 1 or len(outputs) != 1:
        raise ValueError(f"{name} is no functional model of 1 input and 1 output")
    if len(outputs[0].shape) != 2 or outputs[0].shape[-1] < 2:
        raise ValueError(
            f"{name} gives {outputs[0].shape}: probabilities (n, classes) of 2 classes or more are "
            "expected"
        )
    if "float" not in inputs[0].dtype:
        raise ValueError(
            f"{name} takes {inputs[0].dtype} images, which have no gradient: build its Input with "
            "dtype float32"
        )


def _logits(model: keras.Model) -> Callable:
    """Return the function images -> logits (n, classes), by the rule in `Gradient`."""
    import keras

    def inference(output):
        part = keras.Model(model.inputs[0], output)
        return lambda images: part(images, training=False)

    layer = next((layer for layer in model.layers if layer.name == "logits"), None)
    if layer is not None:
        return inference(layer.output)
    last, call, _ = model.outputs[0]._keras_history
    if isinstance(last, keras.Model):
        (features,) = last._inbound_nodes[call].input_tensors
        before, head = inference(features), _logits(last)
        return lambda images: head(before(images))
    probs = inference(model.outputs[0])
    return lambda images: keras.ops.log(keras.ops.maximum(probs(images), SMALLEST))


def _compiled(model: keras.Model) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the function (images, labels) -> gradient, NumPy in and out, of any batch shape."""
    import keras
    from keras import ops

    logits = _logits(model)

    def loss(images, labels):
        scores = ops.cast(logits(images), "float32")
        own = ops.one_hot(labels, scores.shape[-1], dtype="bool")
        others = ops.logsumexp(ops.where(own, -float("inf"), scores), axis=1)
        # Cross entropy, but not by probability - 1, which is 0 where the label is certain.
        return ops.sum(ops.softplus(others - ops.sum(ops.where(own, scores, 0.0), axis=1)))

    by_backend = {"tensorflow": _on_tensorflow, "jax": _on_jax, "torch": _on_torch}
    return by_backend[keras.backend.backend()](loss, model.variables)


def _on_tensorflow(loss: Callable, variables: list) -> Callable:
    import tensorflow as tf

    @tf.function(autograph=False)
    def gradient(images, labels):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            total = loss(images, labels)
        return tape.gradient(total, images)

    def call(images, labels):
        return gradient(tf.convert_to_tensor(images), tf.convert_to_tensor(labels)).numpy()

    return call


def _on_jax(loss: Callable, variables: list) -> Callable:
    import jax
    import keras

    # Weights are arguments: as constants they would be frozen in, and compile for minutes.
    def total(images, labels, values):
        with keras.StatelessScope(list(zip(variables, values, strict=True))):
            return loss(images, labels)

    gradient = jax.jit(jax.grad(total))
    return lambda images, labels: np.asarray(gradient(images, labels, [v.value for v in variables]))


def _on_torch(loss: Callable, variables: list) -> Callable:
    import torch
    from keras import ops

    def gradient(images, labels):
        with torch.enable_grad():
            images = ops.convert_to_tensor(images).requires_grad_()
            total = loss(images, ops.convert_to_tensor(labels))
        return ops.convert_to_numpy(torch.autograd.grad(total, images)[0])

    return gradient
