"""The stack as one functional graph: image -> frozen members -> their taps side by side -> head.

    image (h, w, c) -> member 1 .. m -> features (sum of their widths) -> head -> probs (classes)

The default head is the AlphaStack's (source paper of AlphaNet and AlphaStack): three
Dense(512, glorot_normal) with LeakyReLU(0.1), then a softmax. The paper states neither dropout
nor batch normalization in the head; there is none here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

TAPS = ("probs", "logits", "pooled")
# Names of the stack's own layers, which no member may carry.
RESERVED = ("image", "features", "head")


def stack(
    members: dict[str, keras.Model],
    *,
    classes: int | None = None,
    on: str = "probs",
    head: tuple[int, ...] | list[int] = (512, 512, 512),
    name: str = "stack",
    seed: int | None = None,
) -> keras.Model:
    """Join frozen members and a new, trainable head in one model: images in, probs out.

    The members are copied (structure and weights), so the models given stay as they are and may
    share a name or an architecture; the copies are named by the keys of `members`. In the copies
    dropout and noise layers are taken out: a frozen member is one function of the image, whatever
    mode the stack is called in (Keras passes `training=True` down into frozen models).

    `on` is the layer whose output the head reads: "probs" as in the paper, "logits" or "pooled"
    (n, width). A stack can be a member of another stack. `head` lists the widths of the hidden
    layers (source: the AlphaStack of the paper); the head is a nested model named `head` with
    float32 layers `logits` and `probs`, and `pooled`, its last hidden activation. Without hidden
    layers it is linear, and on "logits" or "probs" it begins as their mean over the members.
    `classes` is needed only if no member says how many there are; `seed` fixes the first weights of
    a head that is drawn.

    Raises ValueError for members that are not functional models with one input, lack the tap, or
    differ in input shape or classes, and for names Keras cannot nest.
    """
    import keras

    check_members(members)
    _check_head(head)
    check_tap(on)
    frozen = {key: frozen_member(model, on, key) for key, model in members.items()}
    shapes = {key: member.input_shape[1:] for key, member in frozen.items()}
    _check_equal(shapes, "input shapes", "build them for one image size and channel count")
    classes = _classes(members, classes, on)

    image = keras.Input(next(iter(shapes.values())), name="image")
    taps = [member(image) for member in frozen.values()]
    features = keras.layers.Concatenate(name="features", dtype="float32")(taps)
    last = _head(features.shape[-1], head, classes, seed)
    if not head and on != "pooled":
        _begin_as_mean(last, len(frozen))
    return keras.Model(image, last(features), name=name)


def head_of(stack: keras.Model) -> keras.Model:
    """Return the trainable head: features (n, sum of the members' widths) -> probs (n, classes)."""
    if not _is_stack(stack):
        raise ValueError(f"{_name(stack)} is no stack: it has no layers 'features' and 'head'")
    return stack.get_layer("head")


def members_of(stack: keras.Model) -> dict[str, keras.Model]:
    """Return the frozen members by name, in the order in which the head reads their taps."""
    head_of(stack)  # a clear error for what is no stack
    taps = stack.get_layer("features").input
    taps = taps if isinstance(taps, list) else [taps]
    layers = [tap._keras_history.operation for tap in taps]
    return {layer.name: layer for layer in layers}


def frozen_member(model: keras.Model, on: str, name: str) -> keras.Model:
    """Copy `model` from its input to its tap `on` as a frozen functional model called `name`."""
    import keras

    tap = keras.Model(model.inputs[0], _tap(model, on, name), name=name)
    noise = (  # identities at inference
        keras.layers.Dropout,
        keras.layers.SpatialDropout1D,
        keras.layers.SpatialDropout2D,
        keras.layers.SpatialDropout3D,
        keras.layers.AlphaDropout,
        keras.layers.GaussianDropout,
        keras.layers.GaussianNoise,
    )

    def copy(layer):
        if isinstance(layer, noise):
            return keras.layers.Identity(name=layer.name)
        return layer.__class__.from_config(layer.get_config())

    image = keras.Input(tap.input_shape[1:], dtype=model.inputs[0].dtype, name="image")
    member = keras.models.clone_model(tap, image, clone_function=copy, recursive=True)
    _copy_weights(tap, member)
    member.trainable = False
    return member


def _copy_weights(source: keras.Model, target: keras.Model) -> None:
    import keras

    for layer in source.layers:
        if not layer.weights:
            continue
        copy = target.get_layer(layer.name)
        if isinstance(layer, keras.Model):
            _copy_weights(layer, copy)
            continue
        copy.set_weights(layer.get_weights())
        if isinstance(copy, keras.layers.Normalization):
            copy.finalize_state()  # it computes with a second copy of its weights


def check_tap(on: str) -> None:
    """Raise ValueError unless `on` names a tap."""
    if on not in TAPS:
        raise ValueError(f"on={on!r} is no tap of a member; choose one of {', '.join(TAPS)}")


def _head(
    width: int, units: tuple[int, ...] | list[int], classes: int, seed: int | None
) -> keras.Model:
    """(width) -> hidden (units) each -> logits (classes) -> probs (classes)."""
    import keras

    layers = keras.layers
    features = x = keras.Input((width,), name="features")
    for i, hidden in enumerate(units):
        draw = keras.initializers.GlorotNormal(None if seed is None else seed + i)
        x = layers.Dense(hidden, kernel_initializer=draw, name=f"hidden_{i + 1}")(x)
        last = i + 1 == len(units)
        x = layers.LeakyReLU(0.1, name="pooled" if last else f"leaky_relu_{i + 1}")(x)
    draw = keras.initializers.GlorotUniform(None if seed is None else seed + len(units))
    # float32 whatever the global policy: a softmax over bfloat16 logits loses its small classes
    x = layers.Dense(classes, kernel_initializer=draw, dtype="float32", name="logits")(x)
    x = layers.Activation("softmax", dtype="float32", name="probs")(x)
    return keras.Model(features, x, name="head")


def _begin_as_mean(head: keras.Model, members: int) -> None:
    """Give a linear head the weights with which its logits are the mean of the members' taps.

    A few held-out images then have to improve on the mean, not to find it.
    """
    import numpy as np

    kernel, bias = head.get_layer("logits").get_weights()
    mean = np.tile(np.eye(kernel.shape[1]) / members, (members, 1))
    head.get_layer("logits").set_weights([mean, bias])


def _tap(model: keras.Model, on: str, name: str):
    """Return the symbolic output of the layer `on`, for a stack that of its head's layer."""
    import keras

    layer = _layer(model, on)
    if layer is None:
        last = ", ".join(inner.name for inner in model.layers[-4:])
        raise ValueError(
            f"member {name!r} has no layer {on!r} (its last layers: {last}), which on={on!r} reads;"
            " build it with its top, or give the layer that name"
        )
    output = layer.output
    if len(output.shape) != 2:
        raise ValueError(f"layer {on!r} of member {name!r} is {output.shape}, not (n, width)")
    if layer not in model.layers:
        head = model.get_layer("head")
        output = keras.Model(head.inputs[0], output, name="head")(
            model.get_layer("features").output
        )
    return output


def _layer(model: keras.Model, name: str):
    """Find a layer by name in `model`, else in its head if it is a stack; None if absent."""
    places = [model, model.get_layer("head")] if _is_stack(model) else [model]
    return next((layer for m in places for layer in m.layers if layer.name == name), None)


def _is_stack(model) -> bool:
    layers = {layer.name: layer for layer in getattr(model, "layers", ())}
    return "features" in layers and hasattr(layers.get("head"), "layers")


def _classes(members: dict[str, keras.Model], classes: int | None, on: str) -> int:
    """How many classes the stack has: the members' number, or `classes` for bare features."""
    widths = {}
    for key, model in members.items():
        layer = _layer(model, "logits") or _layer(model, "probs")
        if layer is not None:
            widths[key] = layer.output.shape[-1]
    if on == "pooled" and classes is not None:  # features may come from another set of classes
        widths = {}
    elif classes is not None:
        widths["classes="] = classes
    _check_equal(widths, "numbers of classes", "stack members trained on the same classes")
    found = next(iter(widths.values()), classes)
    if found is None:
        raise ValueError("no member has a layer 'logits' or 'probs': give classes=")
    if not isinstance(found, int) or found < 2:
        raise ValueError(f"classes={found!r}: a stack needs a whole number of 2 classes or more")
    return found


def check_members(members: dict[str, keras.Model]) -> None:
    """Raise ValueError unless `members` are functional models under names Keras can nest."""
    if not isinstance(members, dict) or not members:
        raise ValueError(
            f"members must be a non-empty dict of name: model, not {_name(members)};"
            " the names tell the members apart"
        )
    for name, model in members.items():
        if not isinstance(name, str) or not name or "/" in name or name in RESERVED:
            raise ValueError(
                f"member name {name!r}: use text without '/' that is none of {', '.join(RESERVED)}"
            )
        if len(getattr(model, "inputs", None) or ()) != 1:
            raise ValueError(f"member {name!r} ({_name(model)}) is no functional model of 1 input")


def _check_head(head: object) -> None:
    if not isinstance(head, list | tuple) or not all(isinstance(n, int) and n > 0 for n in head):
        raise ValueError(f"head={head!r}: list the widths of the hidden layers, for example (512,)")


def _check_equal(values: dict, what: str, fix: str) -> None:
    if len(set(values.values())) > 1:
        listed = ", ".join(f"{key} {value}" for key, value in values.items())
        raise ValueError(f"members differ in their {what}: {listed}; {fix}")


def _name(thing) -> str:
    return f"{type(thing).__name__} {getattr(thing, 'name', '')}".strip()
