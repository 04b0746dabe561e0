"""Image classifiers by name, for images of 28 to 224 pixels.

    zoo.list_models("ghost*")
    model = zoo.build("resnet18", input_shape=(64, 64, 3), classes=200)

Every model is a functional `keras.Model` that takes raw pixels 0..255 (uint8 or float, height,
width, 1 or 3 channels) and has layers named `pooled` (features), `logits` and `probs` (the output).
Importing this package, `list_models` and `info` do not import Keras.
"""

import dataclasses
import difflib
import fnmatch

from zoo import _blocks, _families, _weights
from zoo._families import ModelInfo, info
from zoo._profile import profile
from zoo._weights import load, load_state_dict

__all__ = [
    "ModelInfo",
    "build",
    "freeze",
    "info",
    "list_models",
    "load",
    "load_state_dict",
    "profile",
    "reset_classifier",
]


def list_models(pattern: str = "*") -> list[str]:
    """Return the names of the models that match a shell pattern, sorted."""
    return sorted(fnmatch.filter(_families.catalog(), pattern))


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
    weights: None (random), "timm", "timm:<name>" or "imagenet" (downloads, as in `info`), or a path
        ending in .keras, .weights.h5 or .safetensors (tensors under the reference's names).
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
    architecture, spec = _families.find(name)
    shape = _checked_shape(spec.input_shape if input_shape is None else input_shape)
    classes = spec.classes if classes is None else classes
    if not _is_int(classes) or classes < 1:
        raise ValueError(f"classes={classes!r} must be an integer of at least 1.")
    if dropout is not None:
        overrides[spec.head_dropout] = dropout
    stem = _chosen_stem(name, spec, stem, shape)
    spec = dataclasses.replace(spec, stem=stem, **_checked_overrides(name, spec, overrides))
    source = None if weights is None else _weights.read(weights, name)

    import keras

    inputs = keras.Input(shape, name="image")
    outputs = architecture.build(spec, inputs, classes if include_top else None)
    if include_top:
        outputs = keras.layers.Activation(
            classifier_activation or "linear", dtype="float32", name="probs"
        )(outputs)
    model = keras.Model(inputs, outputs, name=model_name or name)
    if source is not None:
        _weights.restore(model, source, spec.head)
    return model


def reset_classifier(model, classes: int):
    """Return a copy of a model of the zoo with fresh `logits` for `classes` classes.

    All other weights are copied, frozen layers stay frozen; the copy is not compiled. Raises
    ValueError where the model has no layer `logits`.
    """
    import keras

    if not _is_int(classes) or classes < 1:
        raise ValueError(f"classes={classes!r} must be an integer of at least 1.")
    _layer_index(model, "logits")
    classifier = _blocks.classifier(_layer_names(model))

    def clone(layer):
        resized = {"units": classes} if layer.name == classifier else {}
        return type(layer).from_config({**layer.get_config(), **resized})

    with keras.saving.custom_object_scope(_blocks.host_objects()):
        copy = keras.models.clone_model(model, clone_function=clone)
    for old, new in zip(model.layers, copy.layers, strict=True):
        if old.name != classifier:
            new.set_weights(old.get_weights())
    return copy


def freeze(model, until: str | None = None):
    """Freeze the layers up to and including `until`, by default all but the classifier.

    Batch normalization of frozen layers keeps its moving statistics. Layers behind `until` are left
    as they are. Returns the model itself; compile it afterwards. Raises ValueError where there is
    no such layer.
    """
    last = len(model.layers) if until is None else _layer_index(model, until) + 1
    classifier = _blocks.classifier(_layer_names(model))
    for layer in model.layers[:last]:
        if until is not None or layer.name != classifier:
            layer.trainable = False
    return model


def _layer_names(model) -> list[str]:
    return [layer.name for layer in model.layers]


def _layer_index(model, name: str) -> int:
    names = _layer_names(model)
    name = _blocks.layer_name(name)
    if name not in names:
        close = difflib.get_close_matches(name, names, n=3)
        hint = f" Closest: {', '.join(close)}." if close else ""
        raise ValueError(f"model {model.name} has no layer {name!r}.{hint}")
    return names.index(name)


def _is_int(value) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)


def _checked_shape(shape) -> tuple[int, int, int]:
    try:
        height, width, channels = shape
    except (TypeError, ValueError):
        height = width = channels = None
    if not (_is_int(height) and _is_int(width)):
        raise ValueError(f"input_shape={shape!r} must be (height, width, channels), in pixels.")
    if channels not in (1, 3):
        raise ValueError(f"input_shape={shape!r} must end in 1 (gray) or 3 (RGB) channels.")
    least = _families.MIN_SIZE
    if min(height, width) < least:
        raise ValueError(
            f"input_shape={shape!r} is below {least}x{least} pixels: enlarge the images."
        )
    return int(height), int(width), int(channels)


def _chosen_stem(name: str, spec, stem: str, shape) -> str | None:
    if stem not in ("auto", *_blocks.STEMS):
        raise ValueError(f"stem={stem!r} must be one of auto, {', '.join(_blocks.STEMS)}.")
    if spec.stem is None:
        if stem != "auto":
            raise ValueError(f"stem={stem!r}: {name} has no choice of stem, leave it 'auto'.")
        return None
    chosen = spec.stem if stem == "auto" else stem
    return _blocks.auto_stem(shape) if chosen == "auto" else chosen


def _checked_overrides(name: str, spec, overrides: dict) -> dict:
    facts = {field.name for field in dataclasses.fields(_blocks.Facts)}
    allowed = [field.name for field in dataclasses.fields(spec) if field.name not in facts]
    unknown = sorted(overrides.keys() - set(allowed))
    if unknown:
        raise ValueError(
            f"{name} has no field {', '.join(unknown)}. Its fields: {', '.join(allowed)}."
        )
    return overrides
