"""Size and cost of a built model."""

import math

MOVING = {"moving_mean", "moving_variance"}


def profile(model) -> tuple[int, int]:
    """Return (parameters, multiply-adds for one image) of a functional model.

    Parameters are weights, biases, BN gamma and beta, frozen or not; moving statistics are not
    counted. Multiply-adds are those of convolutions (depthwise, separable, transposed) and dense
    layers, squeeze-excite included; biases, normalization, pooling and additions are not counted.
    Members of a stack are counted once each. Raises ValueError where an image size is not fixed.
    """
    parameters = macs = 0
    for layer in model.layers:
        if hasattr(layer, "layers"):
            inner = profile(layer)
            parameters, macs = parameters + inner[0], macs + inner[1]
            continue
        parameters += sum(math.prod(w.shape) for w in layer.weights if w.name not in MOVING)
        kernels = [w for w in layer.weights if "kernel" in w.name]
        if kernels:
            macs += _positions(layer) * sum(math.prod(kernel.shape) for kernel in kernels)
    return parameters, macs


def _positions(layer) -> int:
    """Count the places at which a layer applies its kernels."""
    shape = layer.input.shape if "Transpose" in type(layer).__name__ else layer.output.shape
    if None in shape[1:]:
        raise ValueError(
            f"layer {layer.name} yields {shape}: multiply-adds need a fixed input_shape."
        )
    return math.prod(shape[1:-1])
