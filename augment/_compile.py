"""Compiles functions of batches: XLA on TensorFlow and JAX, eager on torch."""

import functools
import typing

import keras
from keras import ops


def is_compiled() -> bool:
    """Tell whether the backend compiles for each new shape."""
    return keras.backend.backend() != "torch"


@functools.cache
def compiled(function: typing.Callable) -> typing.Callable:
    """Compile a function of host arrays or tensors where the backend compiles."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.jit(function)
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=True, autograph=False)
    import torch

    def call(*arrays):
        with torch.no_grad():
            return function(*(ops.convert_to_tensor(array) for array in arrays))

    return call
