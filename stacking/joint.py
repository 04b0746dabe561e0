"""Members that answer together by a weighted mean, as one functional graph that can be trained.

    image (h, w, c) -> member 1 .. m -> their probabilities (m, classes) -> weighted mean (classes)

Unlike those of a stack, members are not frozen, keep their dropout and are trained together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stacking.stack import check_members

if TYPE_CHECKING:
    import keras
    import numpy as np

# Layers of the graph, which no member may be called.
WEIGHTS, SAID = "weights", "members"
RESERVED = (WEIGHTS, SAID, "logits", "probs")
# Weights are taken to be no less where their logarithm is needed.
LEAST = 1e-30


def joint(members: dict[str, keras.Model], *, name: str = "joint") -> keras.Model:
    """Join members with a layer `logits` in one model: images in, their mean probabilities out.

    The members given become part of it, by their names. Layer `members` has their probabilities
    (n, m, classes), `weights` their weighted mean by weights that sum to 1, all equal at first and
    not trained by gradients, `logits` the logarithms of that mean and `probs` the mean itself.

    Raises ValueError for fewer than two members, for names Keras cannot nest, and for members that
    are no functional models of one input with the same image shape and classes.
    """
    import keras

    layers, ops = keras.layers, keras.ops
    check_members(members)
    if len(members) < 2:
        raise ValueError(f"{len(members)} member: two or more can answer together")
    if taken := [key for key in members if key in RESERVED]:
        raise ValueError(f"members are called {', '.join(taken)}: these are names of layers here")
    shapes = {(m.input_shape[1:], m.get_layer("logits").output.shape[-1]) for m in members.values()}
    if len(shapes) > 1:
        raise ValueError(f"members differ in images and classes: {sorted(shapes, key=str)}")
    ((shape, classes),) = shapes

    image = keras.Input(shape, name="image")
    said = [
        keras.Model(model.inputs[0], model.get_layer("logits").output, name=key)(image)
        for key, model in members.items()
    ]
    x = layers.Concatenate(dtype="float32", name="said")(said)
    x = layers.Reshape((len(members), classes), dtype="float32", name="of_each")(x)
    x = layers.Softmax(dtype="float32", name=SAID)(x)
    weighing = layers.EinsumDense(
        "nmc,m->nc",
        output_shape=(classes,),
        kernel_initializer=keras.initializers.Constant(1 / len(members)),
        dtype="float32",
        trainable=False,
        name=WEIGHTS,
    )
    x = ops.log(ops.maximum(weighing(x), LEAST))
    x = layers.Activation("linear", dtype="float32", name="logits")(x)
    x = layers.Softmax(dtype="float32", name="probs")(x)
    return keras.Model(image, x, name=name)


def weights_of(model: keras.Model) -> np.ndarray:
    """Return the weights (m,) of the members of a joint model, in their order; they sum to 1."""
    import keras

    return keras.ops.convert_to_numpy(model.get_layer(WEIGHTS).kernel)


def effective_members(weights: np.ndarray) -> float:
    """Return how many members a mean by these weights is of: exp of their entropy, 1 to m."""
    import numpy as np

    shares = np.asarray(weights, np.float64)
    shares = shares[shares > 0] / shares.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))
