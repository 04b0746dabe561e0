"""EfficientNet: inverted residuals with squeeze-excite, laid out by a search.

Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks
(arXiv 1905.11946), table 1, as timm has it: padding is symmetric and BN has PyTorch's constants.
The squeezed width is a quarter of the block's input, not of its expanded maps. Stochastic depth,
which the paper's training uses, is left out: Keras has no layer for it, and a saved model must load
without code of ours. B1 to B7 are B0 scaled as in section 4, by the widths, depths, image sizes and
dropout of the authors' code: widths to the nearest multiple of 8, numbers of blocks rounded up.
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
    squeeze_excite,
    variance_scaling,
)

# Table 1 by stage: kernel, expansion, width, stride of the first block.
STAGES = (
    (3, 1, 16, 1),
    (3, 6, 24, 2),
    (5, 6, 40, 2),
    (3, 6, 80, 2),
    (5, 6, 112, 1),
    (5, 6, 192, 2),
    (3, 6, 320, 1),
)


@dataclass(frozen=True, kw_only=True)
class Spec(Settings):
    """What the paper scales: blocks per stage and widths."""

    blocks: tuple[int, int, int, int, int, int, int] = (1, 2, 2, 3, 3, 4, 1)
    width: Factor = 1.0
    """Multiplies all widths, the head's included."""
    dropout: Rate = 0.2


VARIANTS = {
    "efficientnet_b0": Spec(
        parameters=5_288_548,
        macs=385_814_752,
        macs_64=127_264_768,
        weights=("timm:efficientnet_b0.ra_in1k",),
    ),
    "efficientnet_b1": Spec(
        blocks=(2, 3, 3, 4, 4, 5, 2),
        input_shape=(240, 240, 3),
        parameters=7_794_184,
        macs=686_802_832,
        macs_64=187_617_280,
    ),
    "efficientnet_b2": Spec(
        blocks=(2, 3, 3, 4, 4, 5, 2),
        width=1.1,
        dropout=0.3,
        input_shape=(260, 260, 3),
        parameters=9_109_994,
        macs=993_561_872,
        macs_64=217_004_736,
    ),
    "efficientnet_b3": Spec(
        blocks=(2, 3, 3, 5, 5, 6, 2),
        width=1.2,
        dropout=0.3,
        input_shape=(300, 300, 3),
        parameters=12_233_232,
        macs=1_827_141_392,
        macs_64=316_640_576,
    ),
    "efficientnet_b4": Spec(
        blocks=(2, 4, 4, 6, 6, 8, 2),
        width=1.4,
        dropout=0.4,
        input_shape=(380, 380, 3),
        parameters=19_341_616,
        macs=4_393_771_024,
        macs_64=494_313_824,
    ),
    "efficientnet_b5": Spec(
        blocks=(3, 5, 5, 7, 7, 9, 3),
        width=1.6,
        dropout=0.4,
        input_shape=(456, 456, 3),
        parameters=30_389_784,
        macs=10_266_384_752,
        macs_64=774_315_840,
    ),
    "efficientnet_b6": Spec(
        blocks=(3, 6, 6, 8, 8, 11, 3),
        width=1.8,
        dropout=0.5,
        input_shape=(528, 528, 3),
        parameters=43_040_704,
        macs=19_067_593_536,
        macs_64=1_103_787_360,
    ),
    "efficientnet_b7": Spec(
        blocks=(4, 7, 7, 10, 10, 13, 4),
        width=2.0,
        dropout=0.5,
        input_shape=(600, 600, 3),
        parameters=66_347_960,
        macs=37_745_884_192,
        macs_64=1_697_857_536,
    ),
}

TINY = {"name": "efficientnet_b0", "blocks": (1,) * 7}


def build(spec, inputs, classes):
    """(h, w, c) in 0..255 -> logits, or features where classes is None."""
    first, second = STEMS[spec.stem]
    x = normalize(inputs, spec)
    x = he_conv(x, nearest_multiple(32 * spec.width, 8), 3, first, name="conv_stem")
    x = layers.Activation("silu")(norm(x, "bn1"))
    for stage, (blocks, row) in enumerate(zip(spec.blocks, STAGES, strict=True)):
        kernel, expansion, width, stride = row
        width = nearest_multiple(width * spec.width, 8)
        stride = second if stage == 1 else stride
        for i in range(blocks):
            x = _block(x, (kernel, expansion, width), 1 if i else stride, f"blocks.{stage}.{i}")
    x = he_conv(x, nearest_multiple(1280 * spec.width, 8), 1, name="conv_head")
    x = layers.Activation("silu")(norm(x, "bn2"))
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    return classify(x, spec, classes)


def _block(x, row, stride, name):
    """(h, w, c) -> (h/stride, w/stride, width); timm counts the layers that are there."""
    kernel, expansion, width = row
    y, bn, project = x, 1, "conv_pw"
    if expansion > 1:
        y = he_conv(y, expansion * x.shape[-1], 1, name=f"{name}.conv_pw")
        y = layers.Activation("silu")(norm(y, f"{name}.bn1"))
        bn, project = 2, "conv_pwl"
    he_normal = variance_scaling(2.0, "fan_out", "untruncated_normal")
    y = depthwise(y, kernel, stride, name=f"{name}.conv_dw", depthwise_initializer=he_normal)
    y = layers.Activation("silu")(norm(y, f"{name}.bn{bn}"))
    y = _squeeze_excite(y, x.shape[-1] // 4, f"{name}.se")
    y = norm(he_conv(y, width, 1, name=f"{name}.{project}"), f"{name}.bn{bn + 1}")
    return layers.Add()([y, x]) if stride == 1 and x.shape[-1] == width else y


def _squeeze_excite(x, width, name):
    """(h, w, c) -> (h, w, c)."""
    activation, gate = layers.Activation("silu"), layers.Activation("sigmoid")
    names = (f"{name}.conv_reduce", f"{name}.conv_expand")
    return squeeze_excite(x, width, activation, gate, names=names, by=he_conv)
