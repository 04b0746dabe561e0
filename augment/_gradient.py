"""Gradients of a classifier: of the loss or a logit, by pixels or maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np

from augment._derivative import derivative
from augment._maps import maps_of, shapes_of, shifted

if TYPE_CHECKING:
    import keras

BATCH = 256
SMALLEST = 1e-30  # probability below which its logarithm counts as constant; far above float32's


class _OfBatches:
    """A model, and batches of one size for a function of it that was compiled once."""

    def __init__(self, model: keras.Model, batch_size: int):
        _check_model(model)
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: give the images of one batch, 1 or more")
        self.input_shape: tuple[int | None, ...] = tuple(model.inputs[0].shape[1:])
        self.classes: int = model.outputs[0].shape[-1]
        self.batch_size = batch_size
        self._size = 0  # of the largest batch so far

    def _batches(
        self, images: np.ndarray, labels: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
        """Yield float32 images and labels, filled up, and how many of them are meant."""
        self.check(images, labels)
        for start in range(0, len(images), self.batch_size):
            rows = slice(start, start + self.batch_size)
            batch = np.asarray(images[rows], np.float32)
            n = len(batch)
            self._size = max(self._size, n)
            batch = np.concatenate([batch, np.zeros((self._size - n, *batch.shape[1:]), "float32")])
            padded = np.zeros(self._size, np.int32)
            padded[:n] = labels[rows]
            yield batch, padded, n

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


class Gradient(_OfBatches):
    """Gradient of each image's cross entropy, or its class's logit, by its pixels; compiled once.

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
        of: what is differentiated: the `loss`, or the `logit` of the label.

    Raises:
        ValueError: the model is not functional, or has other inputs or outputs than these.

    """

    def __init__(
        self, model: keras.Model, batch_size: int = BATCH, *, of: Literal["loss", "logit"] = "loss"
    ):
        super().__init__(model, batch_size)
        score = _score(model, of)
        self._compiled = derivative(lambda by, labels: (score(by[0], labels), []), model)

    def __call__(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the gradient, float32 like images (n, h, w, c), of labels (n,).

        Raises ValueError for images or labels that do not fit the model.
        """
        parts = []
        for batch, padded, n in self._batches(images, labels):
            (gradient,), _ = self._compiled([batch], padded)
            parts.append(gradient[:n])
        return np.concatenate(parts)


class MapGradient(_OfBatches):
    """Maps of a network, and the gradient of a class's logit by them, compiled once for a model.

    What Grad-CAM needs (Selvaraju et al., arXiv 1610.02391). Which maps: see `augment.maps_of`; of
    a stack those of every member, each by the stack's logit. For the rest it is as `Gradient`.

    Raises:
        ValueError: the model does not fit, or there are no such maps.

    """

    def __init__(self, model: keras.Model, layer: str | None = None, batch_size: int = BATCH):
        super().__init__(model, batch_size)
        found = maps_of(model, layer)
        self.layers = tuple(found)
        """Paths of the layers whose maps these are."""
        operations = list(found.values())
        self._shapes = shapes_of(operations)
        score = _score(model, "logit")

        def of_maps(by, images, labels):
            with shifted(operations, by) as maps:
                total = score(images, labels)
            return total, maps

        self._compiled = derivative(of_maps, model)

    def __call__(
        self, images: np.ndarray, labels: np.ndarray
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return the maps and their gradient, (n, h, w, channels) float32, by the layer's path.

        Raises ValueError for images or labels that do not fit the model.
        """
        parts: dict[str, list] = {path: [] for path in self.layers}
        for batch, padded, n in self._batches(images, labels):
            zeros = [np.zeros((len(batch), *shape), np.float32) for shape in self._shapes]
            gradients, maps = self._compiled(zeros, batch, padded)
            for path, of_maps, gradient in zip(self.layers, maps, gradients, strict=True):
                parts[path].append((of_maps[:n], gradient[:n]))
        return {
            path: tuple(np.concatenate(arrays) for arrays in zip(*found, strict=True))
            for path, found in parts.items()
        }


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


def logits_model(model: keras.Model) -> keras.Model:
    """Return the model images -> logits (n, classes) float32 that shares a classifier's weights.

    Where the logits are, and what is taken where there are none: see `Gradient`.
    """
    import keras

    image = keras.Input(model.inputs[0].shape[1:], dtype=model.inputs[0].dtype)
    scores = keras.ops.cast(_logits(model)(image), "float32")
    return keras.Model(image, scores, name=f"{model.name}_logits")


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


def _loss(scores, own):
    """Cross entropy, but not by probability - 1, which is 0 where the label is certain."""
    from keras import ops

    others = ops.logsumexp(ops.where(own, -float("inf"), scores), axis=1)
    return ops.softplus(others - _own(scores, own))


def _own(scores, own):
    """Return the label's own logit."""
    from keras import ops

    return ops.sum(ops.where(own, scores, 0.0), axis=1)


_OF = {"loss": _loss, "logit": _own}


def _score(model: keras.Model, of: str) -> Callable:
    """Return the function (images, labels) -> the sum over images of what is differentiated."""
    from keras import ops

    if of not in _OF:
        raise ValueError(f"of={of!r}: give one of {', '.join(_OF)}")
    logits, measure = _logits(model), _OF[of]

    def score(images, labels):
        scores = ops.cast(logits(images), "float32")
        own = ops.one_hot(labels, scores.shape[-1], dtype="bool")
        return ops.sum(measure(scores, own))

    return score
