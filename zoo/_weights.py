"""Weights into built models: saved files, and tensors under the names of a reference."""

import io
import pathlib
import warnings
import zipfile
from typing import NamedTuple

from zoo import _blocks, _families

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
        return keras.saving.load_model(path, custom_objects=_blocks.host_objects())
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


class Source(NamedTuple):
    """Tensors of a file, by layer and number if Keras saved it, else under reference names."""

    label: str
    saved: bool
    tensors: dict
    sized: frozenset[str] = frozenset()
    """Layers whose shapes go by the size of the images, fresh where they do not fit."""


def read(weights, name: str) -> Source:
    """Read what `weights` of `build` means for a model; ValueError if there is no such thing."""
    label, known = str(weights), _families.info(name).weights
    if label == "imagenet" and label in known:
        architecture, spec = _families.find(name)
        tensors = architecture.pretrained(spec)
        dense = frozenset(_layer(key) for key, tensor in tensors.items() if tensor.ndim == 2)
        return Source(label, True, tensors, dense)
    if label == "timm":
        label = next((x for x in known if x.startswith("timm:")), label)
        if label == "timm":
            raise ValueError(f"weights='timm': timm has none for {name}; give a file or None.")
    if label.startswith("timm:"):
        return Source(label, False, _read_safetensors(_download(label.removeprefix("timm:"))))
    choices = ", ".join(repr(x) for x in (*known, "timm:<name>"))
    path = _existing(label, SUFFIXES, fix=f"Or give {choices} or None.")
    saved = path.suffix != ".safetensors"
    return Source(label, saved, _read_saved(path) if saved else _read_safetensors(path))


def restore(model, source: Source, head: str) -> None:
    """Fill a new model; `head` is the name of the classifier in its reference.

    The classifier stays as it is where the source is for other classes, and dense layers where its
    weights come from Keras and are for another size of images; a warning says so.
    """
    if source.saved:
        slots = _saved_slots(model)
        head = _blocks.classifier({_layer(x) for x in (*source.tensors, *slots)})
    else:
        slots = _slots(model, head)
    theirs, ours = _classes(source.tensors, head), _classes(slots, head)
    other = {x for x in source.sized if _shapes(source.tensors, x) != _shapes(slots, x)}
    if theirs != ours:
        other.add(head)
    fresh = sorted(other & {_layer(name) for name in slots})
    tensors, slots = (
        {name: x for name, x in side.items() if _layer(name) not in other}
        for side in (source.tensors, slots)
    )
    _fill(model, tensors, slots)
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


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def _shapes(tensors, layer: str) -> list[tuple]:
    return [tuple(x.shape) for name, x in sorted(tensors.items()) if _layer(name) == layer]


def _classes(tensors, head: str) -> int:
    """Count the classes by the classifier's bias; 0 where there is no classifier."""
    biases = [x for k, x in tensors.items() if _layer(k) == head and len(x.shape) == 1]
    return biases[0].shape[0] if biases else 0


def _head_in(tensors, model) -> str:
    """Name of the classifier in a reference's tensors."""
    layers = {layer.name.replace("-", ".") for layer in model.layers}
    prefixes = {_layer(key) for key in tensors} - layers
    catalog = _families.catalog()
    own = catalog[model.name][1].head if model.name in catalog else "logits"
    others = sorted({spec.head for _, spec in catalog.values()} & prefixes)
    return own if own in prefixes or not others else others[0]


def _fill(model, tensors, slots) -> None:
    import numpy as np

    tensors = {k: v for k, v in tensors.items() if not k.endswith("num_batches_tracked")}
    first = next((name for name, slot in slots.items() if len(slot.shape) == 4), None)
    values, misshapen = {}, []
    for name in slots.keys() & tensors.keys():
        value, slot = np.asarray(tensors[name]), slots[name]
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


def _read_saved(path: pathlib.Path) -> dict:
    """Read a file that Keras saved, by the names of its layers.

    Keras' own loader goes by the order of layers: it takes files of networks that are laid out
    alike, and warns of weights that it did read where the files differ in dropout alone.
    """
    import h5py

    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                file = h5py.File(io.BytesIO(archive.read("model.weights.h5")))
        else:
            file = h5py.File(path)
        with file:
            saved = [layer["vars"] for layer in file["layers"].values() if "vars" in layer]
            return {f"{x.attrs['name']}.{i}": x[i][()] for x in saved for i in x}
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read as weights that Keras saved: {error}") from error


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
    try:
        return hf_hub_download(f"timm/{name}", "model.safetensors")
    except OSError as error:  # of which all of the hub's are: no such model, no connection
        raise ValueError(
            f"weights='timm:{name}' cannot be downloaded ({error}): check the name and the "
            "connection, or give the path of its model.safetensors"
        ) from error
