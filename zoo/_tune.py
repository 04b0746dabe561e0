"""Changing a built model for other classes or what it sees, and freezing it."""

import difflib

from zoo import _blocks
from zoo._spec import fitted


def reset_classifier(model, classes: int):
    """Return a copy of a model of the zoo with fresh `logits` for `classes` classes.

    All other weights are copied, frozen layers stay frozen; the copy is not compiled. Raises
    ValueError where the model has no layer `logits`.
    """
    import keras

    classes = fitted("classes", classes, int)
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


def precede(model, layers):
    """Return a copy of a model whose images go through `layers` first, one after another.

    They become layers of the copy, as those of the model are. All weights are copied, frozen layers
    stay frozen; the copy is not compiled. Raises ValueError where the layers change the shape of
    images.
    """
    import keras

    image = keras.Input(batch_shape=model.input.shape, dtype=model.input.dtype, name="image")
    seen = image
    for layer in layers:
        seen = layer(seen)
    if seen.shape != image.shape:
        raise ValueError(f"the layers make {seen.shape} of images {image.shape}: keep their shape.")

    def call(layer, *args, **kwargs):
        swap = keras.tree.map_structure(lambda x: seen if x is image else x, (args, kwargs))
        return layer(*swap[0], **swap[1])

    with keras.saving.custom_object_scope(_blocks.host_objects()):
        copy = keras.models.clone_model(model, input_tensors=image, call_function=call)
    for old in model.layers:
        if old.weights:
            copy.get_layer(old.name).set_weights(old.get_weights())
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
