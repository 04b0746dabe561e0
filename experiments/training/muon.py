"""Muon for convolutions (Keller Jordan, https://kellerjordan.github.io/posts/muon).

As in airbench94_muon of https://github.com/KellerJordan/cifar10-airbench: a kernel (h, w, in, out)
is a matrix (h w in, out); its momentum is replaced by the nearest matrix whose singular values are
all about 1, found by Newton and Schulz's iteration; the kernel itself is scaled before each step so
that its norm is the square root of its filters' number. Keras' own Muon gives kernels of four
dimensions to AdamW. Here the iteration is float32, there bfloat16.
"""

import math
from typing import Any

import keras
from keras import ops

# Of the odd polynomial that drives singular values between 0 and 1 to about 1.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonal(matrix: Any, steps: int) -> Any:
    """Return U S V' with S about 1 for a matrix U D V'; `steps` of the iteration.

    Singular values below a hundredth of the largest ones need more steps than three.
    """
    a, b, c = COEFFICIENTS
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else ops.transpose(matrix)  # the smaller products
    x = x / (ops.sqrt(ops.sum(ops.square(x))) + 1e-7)
    for _ in range(steps):
        square = ops.matmul(x, ops.transpose(x))
        x = a * x + ops.matmul(b * square + c * ops.matmul(square, square), x)
    return x if wide else ops.transpose(x)


class Muon(keras.optimizers.SGD):
    """Muon for kernels of convolutions, but depthwise ones; SGD with Nesterov for all others.

    `learning_rate`, `momentum` and `steps` (of the iteration) are those of the kernels; the others
    are updated at that rate times their group's, with `sgd_momentum`. Weight decay is for the
    others alone: the norm of a kernel is given.
    """

    def __init__(
        self,
        learning_rate: Any = 0.24,
        momentum: float = 0.6,
        steps: int = 3,
        sgd_momentum: float = 0.85,
        **options: Any,
    ):
        for name, value in (("momentum", momentum), ("sgd_momentum", sgd_momentum)):
            if not 0 <= value < 1:
                raise ValueError(f"{name} must be from 0 to below 1 (got {value!r})")
        if not isinstance(steps, int) or steps < 1:
            raise ValueError(f"steps must be a whole number of 1 or more (got {steps!r})")
        super().__init__(learning_rate, momentum=sgd_momentum, nesterov=True, **options)
        self.kernel_momentum, self.steps = momentum, steps
        self._left_out, self._matrices = (), ()

    def leave_out(self, model: keras.Model) -> None:
        """Take note of a model's depthwise kernels, before `build`: no matrix stands in them."""
        depthwise = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
        layers = model._flatten_layers(include_self=False)
        self._left_out = tuple(one.kernel.path for one in layers if isinstance(one, depthwise))

    def build(self, variables: list) -> None:
        """Tell kernels from the others, and make their momenta."""
        if self.built:
            return
        super().build(variables)
        if not self.momentum:  # SGD without momentum has no variables for it
            self.momentums = self.add_optimizer_variables(variables, "momentum")
        self._matrices = tuple(
            len(v.shape) == 4 and v.name == "kernel" and v.path not in self._left_out
            for v in variables
        )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update a variable."""
        index = self._get_variable_index(variable)
        if not self._matrices[index]:
            super().update_step(gradient, variable, learning_rate)
            return
        rate = ops.cast(learning_rate, variable.dtype)
        gradient, momentum = ops.cast(gradient, variable.dtype), self.momentums[index]
        self.assign(momentum, momentum * self.kernel_momentum + gradient)
        ahead = gradient + momentum * self.kernel_momentum
        filters = variable.shape[-1]
        update = ops.reshape(orthogonal(ops.reshape(ahead, (-1, filters)), self.steps), ahead.shape)
        norm = ops.maximum(ops.sqrt(ops.sum(ops.square(variable))), 1e-7)
        self.assign(variable, variable * (math.sqrt(filters) / norm) - rate * update)

    def _use_weight_decay(self, variable: Any) -> bool:
        is_matrix = self._matrices[self._get_variable_index(variable)]
        return not is_matrix and super()._use_weight_decay(variable)

    def get_config(self) -> dict:
        """Return the arguments."""
        config = super().get_config() | {"steps": self.steps, "sgd_momentum": self.momentum}
        config.pop("nesterov")
        return config | {"momentum": self.kernel_momentum}
