"""Image classifiers by name, for images of 28 to 224 pixels.

    zoo.list_models("ghost*")
    model = zoo.build("resnet18", input_shape=(64, 64, 3), classes=200)

Every model is a functional `keras.Model` that takes raw pixels 0..255 (uint8 or float, height,
width, 1 or 3 channels) and has layers named `pooled` (features), `logits` and `probs` (the output).
Importing this package, `list_models`, `info` and `check` do not import Keras.
"""

import fnmatch
from collections.abc import Mapping
from typing import Any

from zoo import _check, _families, _files, _hypermodel, _weights
from zoo._adapt import adapt
from zoo._families import ModelInfo, info
from zoo._files import load
from zoo._profile import profile
from zoo._shipped import Shipped, shipped
from zoo._tune import freeze, precede, reset_classifier
from zoo._weights import load_state_dict, state_dict

__all__ = [
    "ModelInfo",
    "Shipped",
    "adapt",
    "build",
    "check",
    "freeze",
    "hypermodel",
    "info",
    "list_models",
    "load",
    "load_state_dict",
    "precede",
    "profile",
    "reset_classifier",
    "resizable",
    "shipped",
    "state_dict",
]


def list_models(pattern: str = "*") -> list[str]:
    """Return the names of the models that match a shell pattern, sorted."""
    return sorted(fnmatch.filter(_families.catalog(), pattern))


def check(name: str, **options) -> None:
    """Raise what `build(name, **options)` would raise of its arguments, without Keras.

    Weights are looked for, by name or path, but neither downloaded nor read.
    """
    _check.plan(name, **options)


def resizable(name: str, **options) -> dict:
    """Return options of `build` that give one network, weight for weight, for images of every size.

    They name the stem that "auto" chooses for `input_shape`, which may then be changed. Raises
    ValueError as `check` does, and for a network whose weights fit images of one size alone.
    """
    spec = _check.plan(name, **options).spec
    if not spec.any_size:
        raise ValueError(
            f"{name} flattens its last map, so its weights fit images of one size alone: choose a "
            "network that averages it, such as resnet18."
        )
    return {"name": name, **options} | ({"stem": spec.stem} if spec.stem else {})


def build(
    name: str,
    *,
    input_shape=None,
    classes: int | None = None,
    weights=None,
    include_top: bool = True,
    stem: str = "auto",
    dropout: float | None = None,
    classifier_activation: str | None = "softmax",
    model_name: str | None = None,
    **overrides,
):
    """Build a network; without options the reference network at its reference shape.

    input_shape: (height, width, channels), at least 28 pixels, 1 or 3 channels.
    classes: number of classes; by default both are the reference's, as in `info`.
    weights: None (random); what `info` names: our own, such as "tiny_imagenet", which come with the
        package, or "timm", "timm:<name>" or "imagenet", which are downloaded; or a path ending in
        .keras, .weights.h5 or .safetensors (tensors under the reference's names).
    include_top: False ends the network at its features, `pooled`.
    stem: "imagenet" is the paper's; "tiny" leaves out the first downsampling and "cifar" the first
        two, by strides and pools alone, so that all weights fit under every stem; "auto" is cifar
        up to 40 pixels, tiny up to 96, then imagenet. For BravoNet "auto" is imagenet, as in its
        paper. AlphaNet and SimpleNet have one stem, which "auto" is.
    dropout: rate in front of the classifier, instead of the network's own.
    classifier_activation: of `probs`; None passes the logits on.
    model_name: name of the model, by default `name`.
    overrides: fields of the architecture's `Spec`, such as `width=0.5`.

    Raises ValueError for what is unknown or does not fit, before anything is built.
    """
    plan = _check.plan(
        name,
        input_shape=input_shape,
        classes=classes,
        weights=weights,
        include_top=include_top,
        stem=stem,
        dropout=dropout,
        classifier_activation=classifier_activation,
        model_name=model_name,
        **overrides,
    )
    source = None if plan.weights is None else _files.read(plan.weights, name)

    import keras

    activation = classifier_activation or "linear"
    probs = keras.layers.Activation(activation, dtype="float32", name="probs")
    inputs = keras.Input(plan.shape, name="image")
    outputs = plan.architecture.build(plan.spec, inputs, plan.classes)
    if plan.classes is not None:
        outputs = probs(outputs)
    model = keras.Model(inputs, outputs, name=model_name or name)
    if source is not None:
        _weights.restore(model, source, plan.spec.head)
    return model


def hypermodel(name: str, space: Mapping[str, Any], **options):
    """Return a `keras_tuner.HyperModel` that any tuner of Keras Tuner takes.

        tuner = keras_tuner.RandomSearch(
            zoo.hypermodel("alphanet_v4", space={"dense": [256, 512]}, input_shape=(64, 64, 3)),
            objective="val_accuracy", max_trials=20)
        tuner.search(images, labels, validation_data=..., epochs=5)

    `space` maps names to `{"min": ..., "max": ..., "sampling": "log", "step": ...}` or to lists of
    choices, with `"when": {name: value}` where one only means something beside another. Names are
    those that `build` takes, and `optimizer` (Keras' name of it), `learning_rate` and `batch_size`;
    `options` are what does not vary, of the same names. Models are compiled for whole-number labels
    and tell `accuracy`.
    Raises ValueError for a space that does not fit, each bound of it, before anything is built.
    """
    return _hypermodel.make(build, name, space, options)
