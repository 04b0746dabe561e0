"""DenseNet: every layer sees the maps of all layers before it in its block.

Huang et al., Densely Connected Convolutional Networks (arXiv 1608.06993), table 1, with bottlenecks
and compression (DenseNet-BC), as in torchvision and timm. `densenet161` is of the authors' code.
"""

from dataclasses import dataclass

from zoo._blocks import STEMS, Rate, Settings, classify, conv, layers, max_pool, norm, normalize
from zoo._blocks import variance_scaling as scaled


@dataclass(frozen=True, kw_only=True)
class Spec(Settings):
    """Layers per block and the maps that each layer adds."""

    blocks: tuple[int, int, int, int]
    growth: int = 32
    bottleneck: int = 4
    """Width of a layer's 1x1 convolution, in maps that the layer adds."""
    dropout: Rate = 0.0


VARIANTS = {
    "densenet121": Spec(
        blocks=(6, 12, 24, 16),
        parameters=7_978_856,
        macs=2_834_161_664,
        macs_64=926_130_176,
        weights=("timm:densenet121.tv_in1k", "timm:densenet121.ra_in1k"),
    ),
    "densenet161": Spec(
        blocks=(6, 12, 36, 24),
        growth=48,
        parameters=28_681_000,
        macs=7_727_907_072,
        macs_64=2_524_885_248,
        weights=("timm:densenet161.tv_in1k",),
    ),
    "densenet169": Spec(
        blocks=(6, 12, 32, 32),
        parameters=14_149_480,
        macs=3_359_843_328,
        macs_64=1_098_212_352,
        weights=("timm:densenet169.tv_in1k",),
    ),
    "densenet201": Spec(
        blocks=(6, 12, 48, 32),
        parameters=20_013_928,
        macs=4_291_365_888,
        macs_64=1_402_555_392,
        weights=("timm:densenet201.tv_in1k",),
    ),
}

TINY = {"name": "densenet121", "blocks": (2, 2, 2, 2)}


def build(spec, inputs, classes):
    """(h, w, c) in 0..255 -> logits, or features where classes is None."""
    first, second = STEMS[spec.stem]
    x = normalize(inputs, spec)
    x = _conv(x, 2 * spec.growth, 7, first, name="features.conv0")
    x = layers.ReLU()(norm(x, "features.norm0"))
    x = max_pool(x) if second == 2 else x
    for block, count in enumerate(spec.blocks, start=1):
        if block > 1:
            x = _transition(x, f"features.transition{block - 1}")
        for i in range(1, count + 1):
            x = _layer(x, spec, f"features.denseblock{block}.denselayer{i}")
    x = layers.ReLU()(norm(x, "features.norm5"))
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    return classify(x, spec, classes)


def _layer(x, spec, name):
    """(h, w, c) -> (h, w, c + growth)."""
    y = layers.ReLU()(norm(x, f"{name}.norm1"))
    y = _conv(y, spec.bottleneck * spec.growth, 1, name=f"{name}.conv1")
    y = layers.ReLU()(norm(y, f"{name}.norm2"))
    y = _conv(y, spec.growth, 3, name=f"{name}.conv2")
    return layers.Concatenate()([x, y])


def _transition(x, name):
    """(h, w, c) -> (h // 2, w // 2, c // 2); a single row or column is not pooled any more."""
    x = layers.ReLU()(norm(x, f"{name}.norm"))
    x = _conv(x, x.shape[-1] // 2, 1, name=f"{name}.conv")
    return layers.AveragePooling2D(2)(x) if min(x.shape[1:3]) > 1 else x


def _conv(x, width, kernel, stride=1, *, name):
    he_normal = scaled(2.0, "fan_in", "untruncated_normal")
    return conv(x, width, kernel, stride, name=name, kernel_initializer=he_normal)
