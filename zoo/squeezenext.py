"""SqueezeNext: narrow bottlenecks whose 3x3 convolution is split into 1x3 and 3x1.

Gholami et al., SqueezeNext: Hardware-Aware Neural Network Design (arXiv 1803.10615), in the form of
pytorchcv, whose names and initial weights are kept. Unlike in the authors' Caffe files convolutions
have biases (724,056 instead of 718,280 parameters), the stem is padded by one pixel, and 1x3 always
precedes 3x1. As there, a projection is rectified before the addition.
"""

from dataclasses import dataclass

from zoo._blocks import (
    STEMS,
    Factor,
    Rate,
    Settings,
    classify,
    conv_norm,
    layer_name,
    layers,
    norm,
    normalize,
    variance_scaling,
)


@dataclass(frozen=True, kw_only=True)
class Spec(Settings):
    """Blocks and maps per stage."""

    blocks: tuple[int, int, int, int] = (6, 6, 8, 1)
    widths: tuple[int, int, int, int] = (32, 64, 128, 256)
    scale: Factor = 1.0
    """Multiplies all widths."""
    stem_width: int = 64
    final_width: int = 128
    dropout: Rate = 0.0

    def __post_init__(self):
        least = int(min(self.stem_width, self.final_width, *self.widths) * self.scale)
        if least < 8:
            raise ValueError(
                f"scale={self.scale} leaves {least} of the maps of widths={self.widths}, "
                f"stem_width={self.stem_width} and final_width={self.final_width}: a block needs 8."
            )


VARIANTS = {
    "squeezenext_1_0_23": Spec(parameters=724_056, macs=275_920_640, macs_64=83_696_640),
    "squeezenext_2_0_23": Spec(
        scale=2.0, parameters=2_583_752, macs=875_752_960, macs_64=266_792_960
    ),
}

TINY = {"name": "squeezenext_1_0_23", "blocks": (2, 1, 1, 1)}


def build(spec, inputs, classes):
    """(h, w, c) in 0..255 -> logits, or features where classes is None."""
    first, second = STEMS[spec.stem]
    x = normalize(inputs, spec)
    x = _stem(x, int(spec.stem_width * spec.scale), first)
    x = _pool(x) if second == 2 else x
    for stage, (blocks, width) in enumerate(zip(spec.blocks, spec.widths, strict=True), start=1):
        for i in range(1, blocks + 1):
            stride = 2 if stage > 1 and i == 1 else 1
            x = _block(x, int(width * spec.scale), stride, f"features.stage{stage}.unit{i}")
    x = _conv(x, int(spec.final_width * spec.scale), 1, name="features.final_block")
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    return classify(x, spec, classes)


def _stem(x, width, stride):
    """(h, w, c) -> ((h - 4) / stride, (w - 4) / stride, width), rounded up."""
    name = "features.init_block.conv"
    options = {"kernel_initializer": _he_uniform(), "name": layer_name(f"{name}.conv")}
    x = layers.Conv2D(width, 7, stride, **options)(layers.ZeroPadding2D(1)(x))
    return layers.ReLU()(norm(x, f"{name}.bn"))


def _block(x, width, stride, name):
    """(h, w, c) -> (h/stride, w/stride, width)."""
    channels = x.shape[-1]
    project = stride == 2 or channels > width
    inner = channels // (1 if stride == 2 else 4 if project else 2)
    y = _conv(x, inner, 1, stride, name=f"{name}.conv1")
    y = _conv(y, inner // 2, 1, name=f"{name}.conv2")
    y = _conv(y, inner, (1, 3), name=f"{name}.conv3")
    y = _conv(y, inner, (3, 1), name=f"{name}.conv4")
    y = _conv(y, width, 1, name=f"{name}.conv5")
    if project:
        x = _conv(x, width, 1, stride, name=f"{name}.identity_conv")
    return layers.ReLU()(layers.Add()([y, x]))


def _conv(x, width, kernel, stride=1, *, name):
    """(h, w, c) -> (h/stride, w/stride, width), normalized and rectified."""
    options = {"use_bias": True, "kernel_initializer": _he_uniform()}
    return layers.ReLU()(conv_norm(x, width, kernel, stride, name=name, **options))


def _pool(x):
    """(h, w, c) -> (h // 2, w // 2, c) over 3x3; even sizes get a last row or column of zeros."""
    height, width = x.shape[1:3]
    x = layers.ZeroPadding2D(((0, 1 - height % 2), (0, 1 - width % 2)))(x)
    return layers.MaxPooling2D(3, 2)(x)


def _he_uniform():
    return variance_scaling(2.0, "fan_in", "uniform")
