"""The gradient of a number on TensorFlow, JAX and torch; here alone they are told apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras


def derivative(function: Callable, model: keras.Model) -> Callable:
    """Compile the gradient of a function that calls a model in inference mode.

    `function` is (by, *given) -> (number, kept), where `by` and `kept` are lists of tensors. What
    is returned takes NumPy arrays and gives them: (by, *given) -> (the gradients of the number by
    each of `by`, kept). Shapes may change, which compiles anew; so may the model's weights.
    """
    import keras

    by_backend = {"tensorflow": _on_tensorflow, "jax": _on_jax, "torch": _on_torch}
    return by_backend[keras.backend.backend()](function, model.variables)


def _on_tensorflow(function: Callable, variables: list) -> Callable:
    import tensorflow as tf

    @tf.function(autograph=False)
    def gradient(by, *given):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(by)
            total, kept = function(by, *given)
        return tape.gradient(total, by, unconnected_gradients="zero"), kept

    def call(by, *given):
        by = [tf.convert_to_tensor(array) for array in by]
        found = gradient(by, *(tf.convert_to_tensor(array) for array in given))
        return tuple([tensor.numpy() for tensor in part] for part in found)

    return call


def _on_jax(function: Callable, variables: list) -> Callable:
    import jax
    import keras

    # Weights are arguments: as constants they would be frozen in, and compile for minutes.
    def total(by, values, *given):
        with keras.StatelessScope(list(zip(variables, values, strict=True))):
            return function(by, *given)

    gradient = jax.jit(jax.grad(total, has_aux=True))

    def call(by, *given):
        found = gradient(by, [v.value for v in variables], *given)
        return tuple([np.asarray(array) for array in part] for part in found)

    return call


def _on_torch(function: Callable, variables: list) -> Callable:
    import torch
    from keras import ops

    def call(by, *given):
        with torch.enable_grad():
            by = [ops.convert_to_tensor(array).requires_grad_() for array in by]
            total, kept = function(by, *(ops.convert_to_tensor(array) for array in given))
        found = torch.autograd.grad(total, by, allow_unused=True, materialize_grads=True)
        return tuple([ops.convert_to_numpy(tensor) for tensor in part] for part in (found, kept))

    return call
