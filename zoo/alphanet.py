"""AlphaNet: five convolutions and three dense layers for 64x64 images of Tiny ImageNet.

Source: AlphaNet, BravoNet and the AlphaStack, table of models. Convolutions and hidden dense layers
keep their bias although batch normalization follows: only so does v1 have the published
23,000,776 parameters.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from zoo._blocks import (
    Factor,
    Rate,
    Settings,
    classify,
    conv,
    dense,
    layers,
    norm,
    normalize,
    variance_scaling,
)


@dataclass(frozen=True, kw_only=True)
class Spec(Settings):
    """Widths, kernels and dropout rates; `filters`, `kernels` and `pools` are per convolution."""

    head_dropout: ClassVar[str] = "dense_dropout"

    stem: str | None = None
    filters: tuple[int, ...] = (32, 64, 128, 256, 512)
    kernels: tuple[int, ...] = (7, 5, 3, 3, 3)
    pools: tuple[bool, ...] = (True, True, True, False, True)
    dense: int = 1024
    conv_dropout: Rate = 0.2
    dense_dropout: Rate = 0.2
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[Factor, ...] = (1.0, 1.0, 1.0)

    def __post_init__(self):
        if not len(self.filters) == len(self.kernels) == len(self.pools):
            raise ValueError(
                f"filters={self.filters}, kernels={self.kernels} and pools={self.pools} must be of "
                "one length: give all three."
            )

    @property
    def any_size(self) -> bool:
        """The dense layers see all pixels of the last map."""
        return False


_wide = partial(Spec, parameters=23_000_776, macs=206_323_712, dense=2048)
_v4 = partial(Spec, parameters=11_255_496, macs=194_584_576)

VARIANTS = {
    "alphanet_v1": _wide(conv_dropout=0.4, dense_dropout=0.5),
    "alphanet_v2": _wide(notes="alphanet_v1 with other dropout rates."),
    "alphanet_v3": Spec(
        parameters=11_255_496, macs=243_709_952, macs_64=194_584_576, input_shape=(72, 72, 3)
    ),
    "alphanet_v4": _v4(),
    "alphanet_v4b": _v4(notes="The network of alphanet_v4: only the seed of its training differs."),
    "alphanet_v4c": _v4(notes="The network of alphanet_v4: only the seed of its training differs."),
}

TINY = {"name": "alphanet_v4", "filters": (8, 16, 16, 32, 32), "dense": 64}


def build(spec, inputs, classes):
    """(h, w, c) in 0..255 -> logits, or features where classes is None."""
    x = normalize(inputs, spec)
    for i, (filters, kernel, pool) in enumerate(
        zip(spec.filters, spec.kernels, spec.pools, strict=True), start=1
    ):
        x = _convolution(x, filters, kernel, name=f"conv{i}")
        if pool:  # (h, w, c) -> (h // 2, w // 2, c)
            x = layers.MaxPooling2D(2)(x)
            x = layers.SpatialDropout2D(spec.conv_dropout)(x)
    x = layers.Flatten()(x)
    x = _dense(x, spec.dense, name="dense1")
    x = layers.LeakyReLU(0.1)(x)
    x = layers.Dropout(spec.dense_dropout)(x)
    x = _dense(x, spec.dense, name="dense2")
    x = layers.LeakyReLU(0.1, name="pooled")(x)
    return classify(x, spec, classes)


def _convolution(x, filters, kernel, name):
    """(h, w, c) -> (h, w, filters)."""
    glorot_normal = variance_scaling(1.0, "fan_avg", "truncated_normal")
    x = conv(x, filters, kernel, name=name, use_bias=True, kernel_initializer=glorot_normal)
    return layers.LeakyReLU(0.1)(_norm(x, f"{name}.bn"))


def _dense(x, width, name):
    """(features) -> (width)."""
    return _norm(dense(x, width, name=name), f"{name}.bn")


def _norm(x, name):
    return norm(x, name, momentum=0.99, epsilon=1e-3)
