"""Weights into built models: saved files, and tensors under the names of a reference."""

import pathlib
import warnings
from typing import NamedTuple

from zoo import _families

SUFFIXES = (".keras", ".weights.h5", ".safetensors")

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


def load(path):
    """Return the model saved in a `.keras` file; ValueError names a file that cannot be read."""
    import keras

    path = _existing(path, (".keras",), fix="zoo.build(name, weights=path) reads weights alone.")
    try:
        return keras.saving.load_model(path)
    except Exception as error:  # Keras raises many kinds, from zipfile, json, h5py and its own
        raise ValueError(f"{path} cannot be loaded as a Keras model: {error}") from error


def load_state_dict(model, tensors):
    """Fill a model of the zoo with the tensors of its reference implementation; return the model.

    `tensors` maps the reference's names to arrays in PyTorch's layouts: convolutions (out, in /
    groups, height, width), dense layers (out, in); trailing axes of length one may be there or not.
    The classifier has its name in the reference (`fc.weight`). `num_batches_tracked` is ignored.
    Where the model has one input channel and the first kernel three, its channels are summed.

    Raises ValueError with all missing, surplus and misshapen tensors, before any weight changes.
    """
    _fill(model, tensors, _slots(model, _head_in(tensors, model)))
    return model


def check(weights, name: str) -> str:
    """Return the `weights` of `build` as `restore` takes them; ValueError if there are none."""
    weights = str(weights)
    if weights == "timm":
        known = _families.info(name).weights
        if not known:
            raise ValueError(f"weights='timm': timm has none for {name}; give a file or None.")
        return known[0]
    if weights.startswith("timm:"):
        return weights
    return str(_existing(weights, SUFFIXES, fix="Or give 'timm', 'timm:<name>' or None."))


def restore(model, weights: str, head: str) -> None:
    """Fill a new model from what `check` returned; `head` is the classifier's reference name.

    Where the tensors are for other classes, the classifier stays as it is, and a warning says so.
    """
    if weights.endswith((".keras", ".weights.h5")):
        return _restore_saved(model, weights)
    path = _download(weights.removeprefix("timm:")) if weights.startswith("timm:") else weights
    tensors, slots = _read_safetensors(path), _slots(model, head)
    ours, theirs = (
        side[f"{head}.weight"].shape[0] if f"{head}.weight" in side else 0
        for side in (slots, tensors)
    )
    if ours and theirs and ours != theirs:
        warnings.warn(
            f"{weights} has {theirs} classes, {model.name} has {ours}: its classifier is left "
            "fresh, all other weights are read.",
            stacklevel=3,
        )
    if ours != theirs:
        slots, tensors = (
            {key: value for key, value in side.items() if key.rpartition(".")[0] != head}
            for side in (slots, tensors)
        )
    _fill(model, tensors, slots)


class _Slot(NamedTuple):
    """A variable and the axes that bring PyTorch's layout of it into that of Keras, if any."""

    variable: object
    axes: tuple[int, ...] | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in PyTorch's layout."""
        shape = tuple(self.variable.shape)
        return tuple(shape[self.axes.index(i)] for i in range(len(shape))) if self.axes else shape


def _slots(model, head: str) -> dict[str, _Slot]:
    """Map the reference's name of each tensor to its place in the model."""
    slots = {}
    for layer in model.layers:
        prefix = head if layer.name == "logits" else layer.name.replace("-", ".")
        for variable in layer.weights:
            axes = AXES[type(layer).__name__] if variable.name == "kernel" else None
            slots[f"{prefix}.{PARTS[variable.name]}"] = _Slot(variable, axes)
    return slots


def _head_in(tensors, model) -> str:
    """Name of the classifier in a reference's tensors."""
    layers = {layer.name.replace("-", ".") for layer in model.layers}
    prefixes = {key.rpartition(".")[0] for key in tensors} - layers
    catalog = _families.catalog()
    own = catalog[model.name][1].head if model.name in catalog else "logits"
    others = sorted({spec.head for _, spec in catalog.values()} & prefixes)
    return own if own in prefixes or not others else others[0]


def _fill(model, tensors, slots) -> None:
    import numpy as np

    tensors = {k: v for k, v in tensors.items() if not k.endswith("num_batches_tracked")}
    first = next((name for name, slot in slots.items() if slot.axes), None)
    values, misshapen = {}, []
    for name in slots.keys() & tensors.keys():
        value, slot = np.asarray(tensors[name]), slots[name]
        if name == first and value.ndim == 4 and value.shape[1] == 3 and slot.shape[1] == 1:
            value = value.sum(axis=1, keepdims=True)
        if _untrailed(value.shape) != _untrailed(slot.shape):
            misshapen.append(f"{name} {value.shape} instead of {slot.shape}")
            continue
        value = value.reshape(slot.shape)
        values[name] = value.transpose(slot.axes) if slot.axes else value
    problems = {
        "missing": slots.keys() - tensors.keys(),
        "surplus": tensors.keys() - slots.keys(),
        "misshapen": misshapen,
    }
    if any(problems.values()):
        lists = [f"{kind}: {', '.join(sorted(names))}" for kind, names in problems.items() if names]
        raise ValueError(f"these are not the tensors of {model.name}. {'; '.join(lists)}.")
    for name, value in values.items():
        slots[name].variable.assign(value)


def _untrailed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape without trailing ones: a dense layer may be stored as a 1x1 convolution."""
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return tuple(shape)


def _existing(path, suffixes: tuple[str, ...], fix: str) -> pathlib.Path:
    path = pathlib.Path(path).expanduser()
    if not path.name.endswith(suffixes):
        raise ValueError(f"{str(path)!r} must end in {' or '.join(suffixes)}. {fix}")
    if not path.is_file():
        raise ValueError(f"there is no file {path}. {fix}")
    return path


def _restore_saved(model, path: str) -> None:
    try:
        model.load_weights(path)
    except Exception as error:  # as in `load`
        raise ValueError(f"{path} does not hold the weights of {model.name}: {error}") from error


def _read_safetensors(path) -> dict:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise ImportError(f"reading {path} needs safetensors: pip install safetensors") from error
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file, or is cut short: {error}") from error


def _download(name: str) -> str:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise ImportError(
            f"weights='timm:{name}' needs huggingface_hub: pip install huggingface_hub safetensors"
        ) from error
    return hf_hub_download(f"timm/{name}", "model.safetensors")
