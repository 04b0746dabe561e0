"""What each operation of Keras is in PyTorch, with its weights.

A function takes a call of a graph (`_calls.Call`) and returns a module, or a function of the
call's inputs, which are maps (n, c, h, w) or features (n, c).
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np


def _filled(module: Any, layer: Any, weight: np.ndarray, bias: Any = None) -> Any:
    """Give a module its weights, frozen where the layer is."""
    import torch

    for name, array in (("weight", weight), ("bias", bias)):
        if array is not None:
            values = torch.tensor(np.ascontiguousarray(array))
            setattr(module, name, torch.nn.Parameter(values, requires_grad=layer.trainable))
    return module


def _arrays(layer: Any) -> dict[str, np.ndarray]:
    return dict(zip([w.name for w in layer.weights], layer.get_weights(), strict=True))


def _convolution(call: Any) -> Any:
    """Translate `Conv2D`, grouped or not, and `DepthwiseConv2D`, with padding and activation."""
    import torch

    layer, arrays = call.operation, _arrays(call.operation)
    kernel = arrays["kernel"]  # (height, width, inputs of a group, outputs)
    inputs, groups = call.inputs[0].shape[-1], getattr(layer, "groups", 1)
    weight = kernel.transpose(3, 2, 0, 1)
    if type(layer).__name__ == "DepthwiseConv2D":
        # (height, width, inputs, multiplier): the maps of an input stand beside each other.
        groups = inputs
        weight = kernel.transpose(2, 3, 0, 1).reshape(-1, 1, *kernel.shape[:2])
    before, padding = _padding(layer, call.inputs[0].shape, layer.kernel_size, 0.0)
    module = torch.nn.Conv2d(
        inputs,
        len(weight),
        layer.kernel_size,
        layer.strides,
        padding,
        layer.dilation_rate,
        groups,
        bias=layer.use_bias,
    )
    _filled(module, layer, weight, arrays.get("bias"))
    return _chain(before, module, _function(layer.activation))


def _padding(layer: Any, shape: tuple, size: tuple, value: float) -> tuple:
    """Return a padding to do before, or None, and what the layer pads itself, on both sides."""
    import torch

    if layer.padding == "valid":
        return None, 0
    sides = []
    dilation = getattr(layer, "dilation_rate", (1, 1))
    for length, k, stride, apart in zip(shape[1:3], size, layer.strides, dilation, strict=True):
        needed = max((-(-length // stride) - 1) * stride + (k - 1) * apart + 1 - length, 0)
        sides.append((needed // 2, needed - needed // 2))
    if value == 0 and all(a == b for a, b in sides):
        return None, (sides[0][0], sides[1][0])
    (top, bottom), (left, right) = sides
    return torch.nn.ConstantPad2d((left, right, top, bottom), value), 0


def _chain(*modules: Any) -> Any:
    import torch

    kept = [module for module in modules if module is not None]
    return kept[0] if len(kept) == 1 else torch.nn.Sequential(*kept)


def _dense(call: Any) -> Any:
    import torch

    layer, arrays = call.operation, _arrays(call.operation)
    module = torch.nn.Linear(*arrays["kernel"].shape, bias=layer.use_bias)
    _filled(module, layer, arrays["kernel"].T, arrays.get("bias"))
    return _chain(module, _function(layer.activation))


def _normalization(call: Any) -> Any:
    import torch

    layer, arrays = call.operation, _arrays(call.operation)
    width = call.inputs[0].shape[-1]
    make = torch.nn.BatchNorm2d if len(call.inputs[0].shape) == 4 else torch.nn.BatchNorm1d
    module = make(width, layer.epsilon, 1 - layer.momentum)
    one, none = np.ones(width, np.float32), np.zeros(width, np.float32)
    _filled(module, layer, arrays.get("gamma", one), arrays.get("beta", none))
    module.weight.requires_grad_(layer.trainable and layer.scale)
    module.bias.requires_grad_(layer.trainable and layer.center)
    module.running_mean = torch.tensor(arrays["moving_mean"])
    module.running_var = torch.tensor(arrays["moving_variance"])
    return module


def _rescaling(call: Any) -> Any:
    """Return (x scale + offset) in float32; numbers are of each channel, or of all."""
    import torch

    layer, ahead = call.operation, len(call.inputs[0].shape) == 4
    shape = (1, -1, 1, 1) if ahead else (1, -1)

    class Rescaling(torch.nn.Module):
        def __init__(self):
            super().__init__()
            for name in ("scale", "offset"):
                values = torch.tensor(np.float32(getattr(layer, name)))
                self.register_buffer(name, values.reshape(shape if values.ndim else ()))

        def forward(self, x):
            return x.to(self.scale.dtype) * self.scale + self.offset

    return Rescaling()


def _function(activation: Any) -> Any:
    """Return the module of a Keras activation function; None for the linear one."""
    import torch

    modules = {
        "relu": torch.nn.ReLU,
        "relu6": torch.nn.ReLU6,
        "gelu": torch.nn.GELU,
        "silu": torch.nn.SiLU,
        "swish": torch.nn.SiLU,
        "sigmoid": torch.nn.Sigmoid,
        "hard_sigmoid": torch.nn.Hardsigmoid,
        "softmax": functools.partial(torch.nn.Softmax, dim=1),
    }
    name = getattr(activation, "__name__", str(activation))
    if name == "linear":
        return None
    if name not in modules:
        raise ValueError(f"activation {name} has no translation to PyTorch")
    return modules[name]()


def _activation(call: Any) -> Any:
    import torch

    return _function(call.operation.activation) or torch.nn.Identity()


def _relu(call: Any) -> Any:
    import torch

    layer = call.operation
    if layer.threshold:
        raise ValueError(f"ReLU {layer.name} with a threshold has no translation to PyTorch")
    if layer.negative_slope:
        return torch.nn.LeakyReLU(float(layer.negative_slope))
    return torch.nn.ReLU() if layer.max_value is None else torch.nn.Hardtanh(0, layer.max_value)


def _pooling(call: Any) -> Any:
    import torch

    layer = call.operation
    largest = type(layer).__name__.startswith("Max")
    before, padding = _padding(layer, call.inputs[0].shape, layer.pool_size, -np.inf)
    if largest:
        return _chain(before, torch.nn.MaxPool2d(layer.pool_size, layer.strides))
    if before is not None:  # Keras leaves the padding out of its means
        if any(before.padding):
            raise ValueError(f"padded means ({layer.name}) have no translation to PyTorch")
    return torch.nn.AvgPool2d(layer.pool_size, layer.strides, padding)


def _global(call: Any) -> Callable:
    layer = call.operation
    keep, largest = layer.keepdims, "Max" in type(layer).__name__
    return lambda x: (x.amax if largest else x.mean)((2, 3), keepdim=keep)


def _zeros(call: Any) -> Any:
    import torch

    (top, bottom), (left, right) = call.operation.padding
    return torch.nn.ZeroPad2d((left, right, top, bottom))


def _flatten(call: Any) -> Callable:
    """Keras flattens (h, w, c)."""
    if len(call.inputs[0].shape) == 2:
        return lambda x: x
    return lambda x: x.permute(0, 2, 3, 1).flatten(1)


def _joined(call: Any) -> Callable:
    import torch

    layer, rank = call.operation, len(call.inputs[0].shape)
    axis = (0, 2, 3, 1)[layer.axis % rank] if rank == 4 else layer.axis % rank
    return lambda *xs: torch.cat(xs, axis)


def _slice(call: Any) -> Callable:
    """Return x[key], whose key is of (n, h, w, c)."""
    args, kwargs = call.node.arguments.args, call.node.arguments.kwargs
    key, rank = kwargs["key"] if "key" in kwargs else args[1], len(call.inputs[0].shape)
    key = key if isinstance(key, tuple) else (key,)
    if Ellipsis in key:
        at = key.index(Ellipsis)
        key = (*key[:at], *[slice(None)] * (rank + 1 - len(key)), *key[at + 1 :])
    key = (*key, *[slice(None)] * (rank - len(key)))
    if not all(isinstance(part, slice) for part in key):
        raise ValueError(f"index {key}: only slices have a translation to PyTorch")
    key = tuple(key[i] for i in (0, 3, 1, 2)) if rank == 4 else key
    return lambda x: x[key]


def _product(*xs: Any) -> Any:
    return functools.reduce(lambda a, b: a * b, xs)


def _dropout(call: Any) -> Any:
    import torch

    spatial = "Spatial" in type(call.operation).__name__
    return (torch.nn.Dropout2d if spatial else torch.nn.Dropout)(call.operation.rate)


def _leaky(call: Any) -> Any:
    import torch

    return torch.nn.LeakyReLU(float(call.operation.negative_slope))


# What an operation of Keras becomes: its call -> a module, or a function of its inputs.
MAKERS = {
    "Activation": _activation,
    "Add": lambda call: lambda *xs: sum(xs[1:], xs[0]),
    "AveragePooling2D": _pooling,
    "BatchNormalization": _normalization,
    "Concatenate": _joined,
    "Conv2D": _convolution,
    "Dense": _dense,
    "DepthwiseConv2D": _convolution,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "GetItem": _slice,
    "GlobalAveragePooling2D": _global,
    "GlobalMaxPooling2D": _global,
    "LeakyReLU": _leaky,
    "MaxPooling2D": _pooling,
    "Multiply": lambda call: _product,
    "ReLU": _relu,
    "Rescaling": _rescaling,
    "SpatialDropout2D": _dropout,
    "ZeroPadding2D": _zeros,
}
