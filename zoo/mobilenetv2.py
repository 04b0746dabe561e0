"""MobileNetV2: blocks that are wide inside, where only depthwise filters work, and narrow outside.

Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks (arXiv 1801.04381), table 2,
as timm has it; dropout in front of the classifier is the authors' code's. Nothing follows the last
convolution of a block, and a shortcut is there only where a block keeps size and width.
"""

from dataclasses import dataclass

from zoo._blocks import (
    STEMS,
    Factor,
    Rate,
    Settings,
    classify,
    depthwise,
    he_conv,
    layers,
    nearest_multiple,
    norm,
    normalize,
    variance_scaling,
)

# Table 2 by stage: expansion, width, stride of the first block.
STAGES = (
    (1, 16, 1),
    (6, 24, 2),
    (6, 32, 2),
    (6, 64, 2),
    (6, 96, 1),
    (6, 160, 2),
    (6, 320, 1),
)


@dataclass(frozen=True, kw_only=True)
class Spec(Settings):
    """Blocks per stage and the widths' factor."""

    blocks: tuple[int, int, int, int, int, int, int] = (1, 2, 3, 4, 3, 3, 1)
    width: Factor = 1.0
    """Multiplies all widths, the head's only if that makes it wider."""
    dropout: Rate = 0.2


VARIANTS = {
    "mobilenetv2_100": Spec(
        parameters=3_504_872,
        macs=300_774_272,
        macs_64=99_074_048,
        weights=("timm:mobilenetv2_100.ra_in1k",),
    ),
}

TINY = {"name": "mobilenetv2_100", "blocks": (1,) * 7}


def build(spec, inputs, classes):
    """(h, w, c) in 0..255 -> logits, or features where classes is None."""
    first, second = STEMS[spec.stem]
    x = normalize(inputs, spec)
    x = he_conv(x, nearest_multiple(32 * spec.width, 8), 3, first, name="conv_stem")
    x = layers.ReLU(6)(norm(x, "bn1"))
    for stage, (blocks, row) in enumerate(zip(spec.blocks, STAGES, strict=True)):
        expansion, width, stride = row
        width = nearest_multiple(width * spec.width, 8)
        stride = second if stage == 1 else stride
        for i in range(blocks):
            x = _block(x, expansion, width, 1 if i else stride, f"blocks.{stage}.{i}")
    x = he_conv(x, nearest_multiple(1280 * max(1, spec.width), 8), 1, name="conv_head")
    x = layers.ReLU(6)(norm(x, "bn2"))
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    return classify(x, spec, classes)


def _block(x, expansion, width, stride, name):
    """(h, w, c) -> (h/stride, w/stride, width); timm counts the layers that are there."""
    y, bn, project = x, 1, "conv_pw"
    if expansion > 1:
        y = he_conv(y, expansion * x.shape[-1], 1, name=f"{name}.conv_pw")
        y = layers.ReLU(6)(norm(y, f"{name}.bn1"))
        bn, project = 2, "conv_pwl"
    he_normal = variance_scaling(2.0, "fan_out", "untruncated_normal")
    y = depthwise(y, 3, stride, name=f"{name}.conv_dw", depthwise_initializer=he_normal)
    y = layers.ReLU(6)(norm(y, f"{name}.bn{bn}"))
    y = norm(he_conv(y, width, 1, name=f"{name}.{project}"), f"{name}.bn{bn + 1}")
    return layers.Add()([y, x]) if stride == 1 and x.shape[-1] == width else y
