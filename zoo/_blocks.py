"""What the architecture files share: Keras on demand, facts, stems, padding, the two ends."""

import dataclasses
import importlib
from typing import ClassVar


class _Lazy:
    """A module that is imported at its first use, so that listing models needs no Keras."""

    def __init__(self, module: str):
        self._module = module

    def __getattr__(self, name: str):
        return getattr(importlib.import_module(self._module), name)


layers = _Lazy("keras.layers")
initializers = _Lazy("keras.initializers")

# Strides of a network's first two downsamplings, by stem.
STEMS = {"imagenet": (2, 2), "tiny": (1, 2), "cifar": (1, 1)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a network; None: what its line in `_families.py` says."""

    head_dropout: ClassVar[str] = "dropout"
    """Field that holds the rate in front of the classifier."""

    parameters: int
    """Weights, biases, BN gamma and beta, at the reference shape and classes."""
    macs: int
    """Multiply-adds of convolutions and dense layers for one image, likewise."""
    input_shape: tuple[int, int, int] | None = None
    classes: int | None = None
    head: str | None = None
    """Name of the classifier in the reference implementation."""
    source: str | None = None
    stem: str | None = "auto"
    """The stem unless the caller chooses one; None: the network has no choice of stem."""
    weights: tuple[str, ...] = ()
    """What `build(weights=...)` can download, the default first."""
    notes: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Facts):
    """Base of every `Spec`: its fields, from here on, are what `build(**overrides)` changes."""

    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    """Of the pixels in 0..1 by channel, here ImageNet's; subtracted by the first layer."""
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    """Deviation, likewise; divides."""


def auto_stem(shape: tuple[int, int, int]) -> str:
    """Stem for images of (height, width, channels): the smaller they are, the less it shrinks."""
    side = min(shape[:2])
    return "cifar" if side <= 40 else "tiny" if side <= 96 else "imagenet"


def normalize(images, spec):
    """Bring raw pixels 0..255 to (x / 255 - mean) / std in float32; one channel gets averages."""
    mean, std = spec.mean, spec.std
    if images.shape[-1] == 1:
        mean, std = [sum(mean) / len(mean)], [sum(std) / len(std)]
    return layers.Rescaling(
        scale=[1 / (255 * s) for s in std],
        offset=[-m / s for m, s in zip(mean, std, strict=True)],
        dtype="float32",
        name="normalize",
    )(images)


def he_fan_out():
    """Return the initializer that keeps the variance of gradients under ReLU (He et al., 2015)."""
    return initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")


def pad_for(x, kernel: int, stride: int) -> tuple:
    """Pad as PyTorch does with `padding=kernel // 2`; returns (x, padding for the layer).

    Keras' `same` pads more at the bottom right when the stride is 2 and the size even.
    """
    if stride == 1:
        return x, "same"
    if kernel > 1:
        x = layers.ZeroPadding2D(kernel // 2)(x)
    return x, "valid"


def conv(x, filters: int, kernel: int, stride: int = 1, *, name: str, **options):
    """(h, w, c) -> (h/stride, w/stride, filters), without bias, padded as in PyTorch."""
    options = {"use_bias": False, "kernel_initializer": he_fan_out(), **options}
    x, padding = pad_for(x, kernel, stride)
    return layers.Conv2D(filters, kernel, stride, padding, name=name, **options)(x)


def depthwise(x, kernel: int, stride: int = 1, *, name: str):
    """(h, w, c) -> (h/stride, w/stride, c), one filter per channel, without bias."""
    x, padding = pad_for(x, kernel, stride)
    return layers.DepthwiseConv2D(
        kernel, stride, padding, use_bias=False, depthwise_initializer=he_fan_out(), name=name
    )(x)


def norm(x, name: str):
    """Batch normalization with PyTorch's constants."""
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)


def classify(pooled, spec, classes: int | None):
    """(features) -> (classes) in float32; for classes=None the features themselves."""
    if classes is None:
        return pooled
    if rate := getattr(spec, spec.head_dropout):
        pooled = layers.Dropout(rate)(pooled)
    return layers.Dense(classes, dtype="float32", name="logits")(pooled)
