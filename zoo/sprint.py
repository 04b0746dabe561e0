"""Sprint: plain networks that learn small images in few epochs.

The source is ours; the ideas are those of airbench (Keller Jordan, arXiv 2404.00498) and of what it
stands on (Page, How to train your ResNet): a frozen convolution that whitens patches, computed
from the training images by `zoo.adapt`; groups of convolutions that begin as the identity; the
pooling behind a group's first convolution; normalization without a scale; GELU; logits scaled
down. Here a stem of stride 2 keeps images above 40 pixels as cheap as those below, the last
pooling is global, so that one network takes images of any size, and the head has a bias.
"""

from dataclasses import dataclass

from zoo._blocks import (
    CIFAR,
    Factor,
    Rate,
    Settings,
    classify,
    conv,
    gelu,
    identity,
    layers,
    norm,
    normalize,
    variance_scaling,
)


@dataclass(frozen=True, kw_only=True)
class Spec(Settings):
    """Maps of each group, its convolutions, and what the features are multiplied by."""

    widths: tuple[int, ...]
    convs: int = 2
    """Convolutions of a group; from 3 on, a residual leads over all but the first."""
    scale: Factor = 1 / 2
    """A class of 200 has few images: the gradient of its weights goes with the scale's square."""
    dropout: Rate = 0.0
    mean: tuple[float, ...] = CIFAR["mean"]
    std: tuple[Factor, ...] = CIFAR["std"]


VARIANTS = {
    "sprint_s": Spec(
        widths=(64, 256, 256),
        scale=1 / 9,
        parameters=1_971_626,
        macs=118_147_360,
        macs_64=146_573_824,
        input_shape=(32, 32, 3),
        classes=10,
        weights=("cifar10",),
    ),
    "sprint_m": Spec(
        widths=(64, 192, 384, 384),
        parameters=5_217_256,
        macs=163_752_960,
        weights=("tiny_imagenet",),
    ),
    "sprint_l": Spec(widths=(96, 256, 512, 512), convs=3, parameters=14_670_600, macs=403_836_928),
}

TINY = {"name": "sprint_s", "widths": (8, 16, 16)}

# Stride of the first convolution, and of a pooling behind it.
STRIDES = {"cifar": (1, 1), "tiny": (2, 1), "imagenet": (2, 2)}


def build(spec, inputs, classes):
    """(h, w, c) in 0..255 -> logits, or features where classes is None."""
    stride, pool = STRIDES[spec.stem]
    x = normalize(inputs, spec)
    filters = 8 * x.shape[-1]  # of 2x2 pixels, with both signs
    x = layers.Conv2D(
        filters,
        2,
        stride,
        use_bias=False,
        kernel_initializer=variance_scaling(1.0, "fan_in", "uniform"),
        trainable=False,
        name="whiten",
    )(x)
    x = gelu(x)
    x = layers.MaxPooling2D(pool)(x) if pool > 1 else x
    for number, width in enumerate(spec.widths, start=1):
        x = _group(x, width, spec.convs, f"group{number}")
    x = layers.GlobalMaxPooling2D(name="pooled")(x)
    return classify(layers.Rescaling(spec.scale, name="scale")(x), spec, classes)


def _group(x, width, convs, name):
    """(h, w, c) -> (h/2, w/2, width)."""
    x = _conv(x, width, f"{name}.conv1")
    x = x if 1 in x.shape[1:3] else layers.MaxPooling2D(2)(x)
    x = first = gelu(_norm(x, f"{name}.norm1"))
    for i in range(2, convs + 1):
        x = _norm(_conv(x, width, f"{name}.conv{i}"), f"{name}.norm{i}")
        x = layers.Add()([x, first]) if i == convs > 2 else x
        x = gelu(x)
    return x


def _conv(x, width, name):
    return conv(x, width, 3, name=name, kernel_initializer=identity())


def _norm(x, name):
    return norm(x, name, momentum=0.6, scale=False)
