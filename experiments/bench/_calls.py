"""A functional model as the calls that it is made of, and each of them alone, in training."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from experiments.training._pieces import form

_PARTS = {
    "activation": ("Activation", "ReLU", "LeakyReLU", "ELU", "PReLU", "Softmax"),
    "pooling": (
        "MaxPooling2D",
        "AveragePooling2D",
        "GlobalAveragePooling2D",
        "GlobalMaxPooling2D",
    ),
    "dropout": ("Dropout", "SpatialDropout2D"),
}
_PART_OF = {name: part for part, names in _PARTS.items() for name in names}


class Call(NamedTuple):
    """An operation applied to tensors of a graph; `learns`: whether gradients go through it."""

    node: Any
    learns: tuple[bool, ...]

    @property
    def operation(self) -> Any:
        """The layer or operation."""
        return self.node.operation

    @property
    def inputs(self) -> list:
        """Symbolic tensors that it takes."""
        return self.node.input_tensors

    @property
    def macs(self) -> int:
        """Multiply-adds of an image."""
        weights = getattr(self.operation, "weights", ())
        kernels = [w for w in weights if "kernel" in w.name]
        positions = np.prod(self.node.outputs[0].shape[1:-1], dtype=int)
        return int(positions * sum(np.prod(kernel.shape) for kernel in kernels))

    @property
    def part(self) -> str:
        """What of a network it belongs to: a form of convolution, `normalization` and so on."""
        if self.macs:
            return form(self.operation)
        name = type(self.operation).__name__
        return "normalization" if "Normalization" in name else _PART_OF.get(name, "joins, shapes")

    def flop(self, batch: int) -> int:
        """Floating-point operations of a step: forward, for weights, and for inputs."""
        return 2 * (2 + any(self.learns)) * self.macs * batch

    def same(self) -> tuple:
        """Return what calls have in common that take equally long."""
        config = {}
        with contextlib.suppress(NotImplementedError):  # an operation of keras.ops
            config = self.operation.get_config()
        given = [repr(config.get(key)) for key in sorted(config) if not key.endswith("name")]
        shapes = [(x.shape, x.dtype) for x in (*self.inputs, *self.node.outputs)]
        return type(self.operation).__name__, *given, *map(str, shapes), self.learns

    def on(self, tensors: Sequence[Any], **options: Any) -> Any:
        """Return what it makes of tensors, in the order of `inputs`."""
        filled = {id(x): tensor for x, tensor in zip(self.inputs, tensors, strict=True)}
        args, kwargs = self.node.arguments.fill_in(filled)
        return self.operation(*args, **kwargs | options)


def calls(model: keras.Model) -> list[Call]:
    """Return a functional model's calls, each after those whose outputs it takes."""
    found, learned = [], set()
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if node.is_input:
                continue
            learns = tuple(id(x) in learned for x in node.input_tensors)
            if any(learns) or getattr(node.operation, "trainable_weights", ()):
                learned |= {id(x) for x in node.outputs}
            found.append(Call(node, learns))
    return found


def training_step(call: Call, batch: int) -> Callable[[], Any]:
    """Return a function that runs a call forward and backward on noise, compiled, and waits."""
    rng = np.random.default_rng(0)

    def noise(tensor) -> Any:
        array = rng.standard_normal((batch, *tensor.shape[1:]), np.float32)
        return keras.ops.convert_to_tensor(array, tensor.dtype)

    inputs, slopes = [noise(x) for x in call.inputs], noise(call.node.outputs[0])
    options = {}
    if getattr(call.operation, "_call_has_training_arg", False):
        options["training"] = True
    return _STEPS[keras.backend.backend()](call, inputs, slopes, options)


def _tensorflow(call: Call, inputs: list, slopes: Any, options: dict) -> Callable[[], Any]:
    import tensorflow as tf

    weights = [w.value for w in getattr(call.operation, "trainable_weights", ())]

    @tf.function(autograph=False)
    def step(inputs, slopes):
        watched = [x for x, learns in zip(inputs, call.learns, strict=True) if learns]
        with tf.GradientTape() as tape:
            tape.watch(watched)
            outputs = call.on(inputs, **options)
        if not watched and not weights:
            return outputs
        return tape.gradient(outputs, [*watched, *weights], output_gradients=slopes)

    return lambda: step(inputs, slopes)


def _jax(call: Call, inputs: list, slopes: Any, options: dict) -> Callable[[], Any]:
    import jax

    operation = call.operation
    known = [v.value for v in getattr(operation, "non_trainable_variables", ())]
    weights = [v.value for v in getattr(operation, "trainable_variables", ())]

    def outputs(weights, learning, others):
        taken = iter(learning), iter(others)
        tensors = [next(taken[0] if learns else taken[1]) for learns in call.learns]
        if not weights and not known:
            return call.on(tensors, **options)
        variables = zip(
            [*operation.trainable_variables, *operation.non_trainable_variables],
            [*weights, *known],
            strict=True,
        )
        with keras.StatelessScope(state_mapping=list(variables)):
            return call.on(tensors, **options)

    @jax.jit
    def step(weights, learning, others, slopes):
        found, back = jax.vjp(lambda w, x: outputs(w, x, others), weights, learning)
        return back(slopes) if weights or learning else found

    learning = [x for x, learns in zip(inputs, call.learns, strict=True) if learns]
    others = [x for x, learns in zip(inputs, call.learns, strict=True) if not learns]
    return lambda: jax.block_until_ready(step(weights, learning, others, slopes))


def _torch(call: Call, inputs: list, slopes: Any, options: dict) -> Callable[[], Any]:
    import torch

    weights = [v.value for v in getattr(call.operation, "trainable_variables", ())]
    watched = [x.requires_grad_() for x, learns in zip(inputs, call.learns, strict=True) if learns]

    def step():
        outputs = call.on(inputs, **options)
        if watched or weights:
            outputs = torch.autograd.grad(outputs, [*watched, *weights], slopes, allow_unused=True)
        if slopes.is_cuda:
            torch.cuda.synchronize()
        return outputs

    return step


_STEPS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
