"""Networks of keras.applications, with the zoo's ends: VGG, Inception, Xception and NASNet.

The layers, their names and their initial distributions are Keras' own. What differs: raw pixels
come in, for the normalization that each network's weights were trained with is its first layer;
smaller images than Keras takes are enlarged; the draws are NumPy's. `vgg16_bn` is torchvision's:
VGG-16 with a normalization between each convolution and its ReLU. Both VGGs flatten the last map,
as Keras does, at every size (torchvision averages it to 7x7), and have no dropout in between.
"""

import collections
import types
from dataclasses import dataclass
from typing import Literal

from zoo._blocks import (
    Rate,
    Settings,
    classify,
    dense,
    host_objects,
    layers,
    norm,
    normalize,
    variance_scaling,
)

# To -1..1.
SYMMETRIC = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}

# To 0..255 around the mean pixel of ImageNet, in the order red, green, blue.
CENTERED = {
    "mean": tuple(x / 255 for x in (123.68, 116.779, 103.939)),
    "std": (1 / 255, 1 / 255, 1 / 255),
}

# Applications whose weights were trained on blue, green, red.
BLUE_FIRST = {"VGG16"}

# Arguments of our initializers by the name of Keras' that they stand for.
DRAWS = {
    "glorot_uniform": (1.0, "fan_avg", "uniform"),
    "he_normal": (2.0, "fan_in", "truncated_normal"),
}

NOT_ON_TORCH = "keras.applications refuses to build it on the torch backend."


@dataclass(frozen=True, kw_only=True)
class Spec(Settings):
    """Name of the network in keras.applications, and what follows on its last map."""

    stem: str | None = None
    network: Literal[
        "InceptionResNetV2", "InceptionV3", "NASNetLarge", "NASNetMobile", "VGG16", "Xception"
    ]
    batch_norm: bool = False
    """Normalize between each convolution and its ReLU; for networks that do not themselves."""
    hidden: tuple[int, ...] = ()
    """Widths of dense layers on the flattened last map; without any it is averaged."""
    dropout: Rate = 0.0

    @property
    def any_size(self) -> bool:
        """Whether no dense layer sees all pixels of the last map."""
        return not self.hidden


VARIANTS = {
    "vgg16": Spec(
        network="VGG16",
        hidden=(4096, 4096),
        enlarges_to=32,
        **CENTERED,
        parameters=138_357_544,
        macs=15_470_264_320,
        macs_64=1_282_048_000,
        weights=("imagenet",),
    ),
    "vgg16_bn": Spec(
        network="VGG16",
        batch_norm=True,
        hidden=(4096, 4096),
        enlarges_to=32,
        parameters=138_365_992,
        macs=15_470_264_320,
        macs_64=1_282_048_000,
        source="torchvision 0.28.0",
    ),
    "inception_v3": Spec(
        network="InceptionV3",
        input_shape=(299, 299, 3),
        enlarges_to=75,
        **SYMMETRIC,
        parameters=23_817_352,
        macs=5_713_216_096,
        macs_64=203_525_728,
        weights=("imagenet",),
        paper="Rethinking the Inception Architecture, arXiv 1512.00567",
    ),
    "inception_resnet_v2": Spec(
        network="InceptionResNetV2",
        input_shape=(299, 299, 3),
        enlarges_to=75,
        **SYMMETRIC,
        parameters=55_813_192,
        macs=13_155_794_016,
        macs_64=434_823_264,
        weights=("imagenet",),
        paper="Inception-v4, Inception-ResNet, arXiv 1602.07261",
    ),
    "xception": Spec(
        network="Xception",
        input_shape=(299, 299, 3),
        enlarges_to=71,
        **SYMMETRIC,
        parameters=22_855_952,
        macs=8_357_403_496,
        macs_64=553_174_824,
        weights=("imagenet",),
        paper="Xception, arXiv 1610.02357",
    ),
    "nasnet_mobile": Spec(
        network="NASNetMobile",
        enlarges_to=32,
        **SYMMETRIC,
        parameters=5_289_978,
        macs=563_638_816,
        macs_64=46_926_656,
        weights=("imagenet",),
        paper="NASNet, arXiv 1707.07012",
        notes=NOT_ON_TORCH,
    ),
    "nasnet_large": Spec(
        network="NASNetLarge",
        input_shape=(331, 331, 3),
        enlarges_to=32,
        **SYMMETRIC,
        parameters=88_753_150,
        macs=23_783_414_658,
        macs_64=842_899_680,
        weights=("imagenet",),
        paper="NASNet, arXiv 1707.07012",
        notes=NOT_ON_TORCH,
    ),
}

TINY = {"name": "vgg16_bn", "hidden": ()}


def build(spec, inputs, classes):
    """(h, w, c) in 0..255 -> logits, or features where classes is None."""
    x = normalize(inputs, spec)
    height, width = (max(side, spec.enlarges_to) for side in x.shape[1:3])
    if (height, width) != x.shape[1:3]:
        x = layers.Resizing(height, width, dtype="float32", name="enlarge")(x)
    network = _network(spec, include_top=False, weights=None, input_tensor=x)
    x = (_with_batch_norm(network) if spec.batch_norm else network).output
    if not spec.hidden:
        x = layers.GlobalAveragePooling2D(name="pooled")(x)
        return classify(x, spec, classes)
    x = layers.Flatten(name="flatten")(x)
    for i, units in enumerate(spec.hidden, start=1):
        x = dense(x, units, name=f"fc{i}")
        x = layers.ReLU(name="pooled" if i == len(spec.hidden) else None)(x)
    return classify(x, spec, classes)


def pretrained(spec) -> dict:
    """Download Keras' ImageNet weights; they are named by layer and number, as in saved files."""
    network = _network(spec, weights="imagenet")
    network.get_layer("predictions").name = "logits"
    tensors = {
        f"{layer.name}.{i}": tensor
        for layer in network.layers
        for i, tensor in enumerate(layer.get_weights())
    }
    if spec.network in BLUE_FIRST:
        first = next(iter(tensors))
        tensors[first] = tensors[first][:, :, ::-1]
    return tensors


def _network(spec, **options):
    """Build an application of Keras, drawing its weights with NumPy."""
    import keras

    draws = {
        name: types.SimpleNamespace(from_config=lambda _, rule=rule: variance_scaling(*rule))
        for name, rule in DRAWS.items()
    }
    with keras.saving.custom_object_scope(draws):
        network = getattr(keras.applications, spec.network)(**options)
    _number_anew(network)
    return network


def _number_anew(network):
    """Name the layers as in a process that builds nothing else.

    Keras numbers those without a name of their own (`conv2d_7`) through all networks of a process,
    but weights are found by the names of layers.
    """
    unnamed = []
    for layer in network.layers:
        kind, _, number = layer.name.rpartition("_")
        kind, number = (kind, int(number)) if number.isdigit() else (layer.name, 0)
        if kind.replace("_", "") == type(layer).__name__.lower():
            unnamed.append((number, kind, layer))
    counts = collections.Counter()
    for _, kind, layer in sorted(unnamed, key=lambda found: found[0]):
        layer.name = f"{kind}_{counts[kind]}" if counts[kind] else kind
        counts[kind] += 1


def _with_batch_norm(network):
    """Copy a network with a normalization in front of the ReLU of each convolution."""
    import keras

    def clone(layer):
        linear = {"activation": None} if isinstance(layer, keras.layers.Conv2D) else {}
        return type(layer).from_config({**layer.get_config(), **linear})

    def call(layer, *args, **options):
        x = layer(*args, **options)
        if not isinstance(layer, keras.layers.Conv2D):
            return x
        return layers.ReLU()(norm(x, f"{layer.name}_bn"))

    with keras.saving.custom_object_scope(host_objects()):
        return keras.models.clone_model(
            network, input_tensors=network.input, clone_function=clone, call_function=call
        )
