"""WideResNet: shallow pre-activation residual networks with wide layers.

Zagoruyko and Komodakis, Wide Residual Networks (arXiv 1605.07146), table 1: three groups of N
blocks, 16k, 32k and 64k maps wide; `wrn_16_10` has depth 6N + 4 = 16 and k = 10. As in the authors'
code and pytorchcv, a block strides in its first 3x3, and the projection of the shortcut sees the
normalized and rectified maps. Other ports stride in the second, or have biases, and count more.
"""

from dataclasses import dataclass

from zoo._blocks import CIFAR, Factor, Rate, Settings, classify, he_conv, layers, norm, normalize


@dataclass(frozen=True, kw_only=True)
class Spec(Settings):
    """Blocks per group (the paper's N), widening (its k) and dropout between convolutions."""

    stem: str | None = None
    blocks: int
    widen: int
    conv_dropout: Rate = 0.0
    """Rate between the two convolutions of a block; the paper also trains with 0.3."""
    dropout: Rate = 0.0
    mean: tuple[float, ...] = CIFAR["mean"]
    std: tuple[Factor, ...] = CIFAR["std"]


VARIANTS = {
    "wrn_16_2": Spec(blocks=2, widen=2, parameters=691_674, macs=101_106_944, macs_64=404_423_936),
    "wrn_16_4": Spec(
        blocks=2, widen=4, parameters=2_748_890, macs=392_612_352, macs_64=1_570_441_728
    ),
    "wrn_16_8": Spec(
        blocks=2, widen=8, parameters=10_961_370, macs=1_548_145_664, macs_64=6_192_567_296
    ),
    "wrn_16_10": Spec(
        blocks=2, widen=10, parameters=17_116_634, macs=2_412_173_568, macs_64=9_648_675_072
    ),
    "wrn_16_16": Spec(
        blocks=2, widen=16, parameters=43_778_522, macs=6_149_302_272, macs_64=24_597_178_368
    ),
    "wrn_28_2": Spec(
        blocks=4, widen=2, parameters=1_467_610, macs=214_353_152, macs_64=857_408_768
    ),
    "wrn_28_4": Spec(
        blocks=4, widen=4, parameters=5_849_050, macs=845_597_184, macs_64=3_382_381_056
    ),
    "wrn_28_10": Spec(
        blocks=4, widen=10, parameters=36_479_194, macs=5_243_328_768, macs_64=20_973_295_872
    ),
}

TINY = {"name": "wrn_16_2"}


def build(spec, inputs, classes):
    """(h, w, c) in 0..255 -> logits, or features where classes is None."""
    x = normalize(inputs, spec)
    x = he_conv(x, 16, 3, name="features.init_block")
    for group, width in enumerate((16, 32, 64), start=1):
        for i in range(1, spec.blocks + 1):
            stride = 2 if group > 1 and i == 1 else 1
            x = _block(x, width * spec.widen, stride, spec, f"features.stage{group}.unit{i}")
    x = layers.ReLU()(norm(x, "features.post_activ.bn"))
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    return classify(x, spec, classes)


def _block(x, width, stride, spec, name):
    """(h, w, c) -> (h/stride, w/stride, width)."""
    y = layers.ReLU()(norm(x, f"{name}.body.conv1.bn"))
    if stride > 1 or x.shape[-1] != width:
        x = he_conv(y, width, 1, stride, name=f"{name}.identity_conv")
    y = he_conv(y, width, 3, stride, name=f"{name}.body.conv1.conv")
    y = layers.ReLU()(norm(y, f"{name}.body.conv2.bn"))
    y = layers.Dropout(spec.conv_dropout)(y) if spec.conv_dropout else y
    y = he_conv(y, width, 3, name=f"{name}.body.conv2.conv")
    return layers.Add()([y, x])
