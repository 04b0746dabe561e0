"""One compiled update of one of two networks; here alone the backends are told apart."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

Update = Callable[..., Any]


def update(loss: Callable, learns: keras.Model, other: keras.Model, optimizer: Any) -> Update:
    """Return the function (*arrays) -> loss that makes a step of `optimizer`.

    `loss` takes tensors like the arrays, and calls the networks in training; of these `learns`
    changes by its gradient, and `other` by what a call in training changes, such as moving means.
    """
    by_backend = {"tensorflow": _on_tensorflow, "jax": _on_jax, "torch": _on_torch}
    if not optimizer.built:
        optimizer.build(learns.trainable_variables)
    return by_backend[keras.backend.backend()](loss, learns, other, optimizer)


def _on_tensorflow(loss, learns, other, optimizer) -> Update:
    import tensorflow as tf

    variables = learns.trainable_variables

    @tf.function(autograph=False)
    def step(*arrays):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            total = loss(*arrays)
        gradients = tape.gradient(total, [variable.value for variable in variables])
        optimizer.apply(gradients, variables)
        return total

    return lambda *arrays: step(*(tf.convert_to_tensor(array) for array in arrays))


def _on_jax(loss, learns, other, optimizer) -> Update:
    import jax

    variables, fixed = learns.trainable_variables, other.trainable_variables
    changed = [*learns.non_trainable_variables, *other.non_trainable_variables]

    def total(values, others, given, arrays):
        mapping = [*zip(variables, values, strict=True), *zip(changed, others, strict=True)]
        mapping += zip(fixed, given, strict=True)
        with keras.StatelessScope(mapping) as scope:
            found = loss(*arrays)
        return found, [scope.get_current_value(variable) for variable in changed]

    @jax.jit
    def step(values, others, given, slots, arrays):
        gradient = jax.value_and_grad(total, has_aux=True)
        (found, others), gradients = gradient(values, others, given, arrays)
        values, slots = optimizer.stateless_apply(slots, gradients, values)
        return found, values, others, slots

    def call(*arrays):
        owned = variables, changed, fixed, optimizer.variables
        state = [[variable.value for variable in part] for part in owned]
        found, values, others, slots = step(*state, arrays)
        for part, new in zip((variables, changed, owned[3]), (values, others, slots), strict=True):
            for variable, value in zip(part, new, strict=True):
                variable.assign(value)
        return found

    return call


def _on_torch(loss, learns, other, optimizer) -> Update:
    import torch
    from keras import ops

    variables = learns.trainable_variables

    def call(*arrays):
        with torch.enable_grad():
            total = loss(*(ops.convert_to_tensor(np.asarray(array)) for array in arrays))
            gradients = torch.autograd.grad(total, [variable.value for variable in variables])
        with torch.no_grad():
            optimizer.apply(list(gradients), variables)
        return total.detach()

    return call
