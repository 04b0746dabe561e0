"""Weights into built models: as Keras saved them, or under the names of a reference."""

import warnings
from collections.abc import Mapping
from typing import NamedTuple

from zoo import _blocks, _families
from zoo._files import Source, layer_of

# Axes of PyTorch's kernel (out, in / groups, height, width) in the order of the Keras layer's.
AXES = {"Conv2D": (2, 3, 1, 0), "DepthwiseConv2D": (2, 3, 0, 1), "Dense": (1, 0)}

PARTS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def load_state_dict(model, tensors):
    """Fill a model of the zoo with the tensors of its reference implementation; return the model.

    `tensors` maps the reference's names to arrays in PyTorch's layouts: convolutions (out, in /
    groups, height, width), dense layers (out, in); trailing axes of length one may be there or not.
    The classifier has its name in the reference (`fc.weight`). `num_batches_tracked` is ignored.
    Where the model has one input channel and the first kernel three, its channels are summed.

    Raises ValueError with all missing, surplus, misshapen and not finite tensors, before any weight
    changes.
    """
    if not isinstance(tensors, Mapping) or not all(isinstance(name, str) for name in tensors):
        kind = "a mapping of other keys" if isinstance(tensors, Mapping) else repr(tensors)[:80]
        raise ValueError(
            f"tensors={kind} must map names to arrays: torch.load(path, weights_only=True) reads a "
            ".pth, safetensors.numpy.load_file(path) a .safetensors."
        )
    _fill(model, "tensors", tensors, _slots(model, _head_in(tensors, model)))
    return model


def state_dict(model) -> dict:
    """Return the weights of a model of the zoo as `load_state_dict` takes them."""
    import numpy as np
    from keras import ops

    found = {}
    for name, slot in _slots(model, _head_in({}, model)).items():
        value = np.asarray(ops.convert_to_numpy(slot.variable.value))
        if slot.axes:  # of each axis here, its place in PyTorch's order
            value = value.transpose(np.argsort(slot.axes))
        found[name] = value.reshape(slot.shape)
    return found


def restore(model, source: Source, head: str) -> None:
    """Fill a new model; `head` is the name of the classifier in its reference.

    The classifier stays as it is where the source is for other classes, and dense layers where its
    weights come from Keras and are for another size of images; a warning says so.
    """
    if source.saved:
        slots = _saved_slots(model)
        head = _blocks.classifier({layer_of(x) for x in (*source.tensors, *slots)})
    else:
        slots = _slots(model, head)
    theirs, ours = _classes(source.tensors, head), _classes(slots, head)
    other = {x for x in source.sized if _shapes(source.tensors, x) != _shapes(slots, x)}
    if theirs != ours:
        other.add(head)
    fresh = sorted(other & {layer_of(name) for name in slots})
    tensors, slots = (
        {name: x for name, x in side.items() if layer_of(name) not in other}
        for side in (source.tensors, slots)
    )
    _fill(model, source.label, tensors, slots)
    if fresh:
        reason = f"does not fit {model.name} as it is built here"
        if ours not in (0, theirs):
            reason = f"is for {theirs or 'no'} classes and {model.name} for {ours}"
        warnings.warn(
            f"{source.label} {reason}: layers left fresh are {', '.join(fresh)}; all other "
            "weights are read.",
            stacklevel=3,
        )


class _Slot(NamedTuple):
    """A variable and the axes that bring PyTorch's layout of it into that of Keras, if any."""

    variable: object
    axes: tuple[int, ...] | None

    @property
    def permuted(self) -> tuple[int, ...]:
        """Shape with the axes in PyTorch's order."""
        shape = tuple(self.variable.shape)
        return tuple(shape[self.axes.index(i)] for i in range(len(shape))) if self.axes else shape

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in PyTorch's layout, where several filters of a channel are outputs in a row."""
        shape = self.permuted
        if self.axes == AXES["DepthwiseConv2D"]:
            return (shape[0] * shape[1], 1, *shape[2:])
        return shape


def _slots(model, head: str) -> dict[str, _Slot]:
    """Map the reference's name of each tensor to its place in the model."""
    slots = {}
    classifier = _blocks.classifier({layer.name for layer in model.layers})
    for layer in model.layers:
        prefix = head if layer.name == classifier else layer.name.replace("-", ".")
        for variable in layer.weights:
            axes = AXES.get(type(layer).__name__) if variable.name == "kernel" else None
            part = PARTS.get(variable.name, variable.name)
            slots[f"{prefix}.{part}"] = _Slot(variable, axes)
    return slots


def _saved_slots(model) -> dict[str, _Slot]:
    """Map layer and number of each variable, as `_read_saved` names them, to its place."""
    return {
        f"{layer.name}.{i}": _Slot(variable, None)
        for layer in model.layers
        for i, variable in enumerate(layer.weights)
    }


def _shapes(tensors, layer: str) -> list[tuple]:
    return [tuple(x.shape) for name, x in sorted(tensors.items()) if layer_of(name) == layer]


def _classes(tensors, head: str) -> int:
    """Count the classes by the classifier's bias; 0 where there is no classifier."""
    biases = [x for k, x in tensors.items() if layer_of(k) == head and len(x.shape) == 1]
    return biases[0].shape[0] if biases else 0


def _head_in(tensors, model) -> str:
    """Name of the classifier in a reference's tensors."""
    layers = {layer.name.replace("-", ".") for layer in model.layers}
    prefixes = {layer_of(key) for key in tensors} - layers
    catalog = _families.catalog()
    own = catalog[model.name][1].head if model.name in catalog else "logits"
    others = sorted({spec.head for _, spec in catalog.values()} & prefixes)
    return own if own in prefixes or not others else others[0]


def _fill(model, label: str, tensors, slots) -> None:
    """Assign all tensors or, where one does not fit, none; `label` is what they are told by."""
    tensors = {k: v for k, v in tensors.items() if not k.endswith("num_batches_tracked")}
    first = next((name for name, slot in slots.items() if len(slot.shape) == 4), None)
    values, misshapen, unreadable = {}, [], []
    for name in slots.keys() & tensors.keys():
        slot = slots[name]
        try:
            value = _finite(tensors[name], slot.variable.dtype)
        except ValueError as error:
            unreadable.append(f"{name} ({error})")
            continue
        channel = 1 if slot.axes else 2
        if name == first and value.shape[channel:][:1] == (3,) and slot.shape[channel] == 1:
            value = value.sum(axis=channel, keepdims=True)
        if _untrailed(value.shape) != _untrailed(slot.shape):
            misshapen.append(f"{name} {value.shape} instead of {slot.shape}")
            continue
        value = value.reshape(slot.permuted)
        values[name] = value.transpose(slot.axes) if slot.axes else value
    problems = {
        "missing": slots.keys() - tensors.keys(),
        "surplus": tensors.keys() - slots.keys(),
        "misshapen": misshapen,
        "no finite numbers": unreadable,
    }
    if any(problems.values()):
        lists = [f"{kind}: {', '.join(sorted(names))}" for kind, names in problems.items() if names]
        raise ValueError(f"{label} cannot be the weights of {model.name}. {'; '.join(lists)}.")
    for name, value in values.items():
        slots[name].variable.assign(value)


def _finite(tensor, dtype: str):
    """Return a tensor as an array; ValueError where it has a value that is none of the dtype's."""
    import numpy as np

    try:
        value = np.asarray(tensor)
    except (TypeError, ValueError, RuntimeError) as error:  # torch: of a GPU, or to be learned
        raise ValueError(f"no array: {error}") from error
    if value.dtype.kind in "OSUcmM":
        raise ValueError(f"of {value.dtype}")
    most = np.finfo("float32" if dtype == "bfloat16" else dtype).max  # NumPy knows no bfloat16
    largest = abs(value).max(initial=0)
    if not largest <= most:
        raise ValueError(f"{largest} in {dtype}")
    return value


def _untrailed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape without trailing ones: a dense layer may be stored as a 1x1 convolution."""
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return tuple(shape)
