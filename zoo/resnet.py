"""ResNet v1.5: residual networks with the stride on the 3x3 convolution.

He et al., Deep Residual Learning for Image Recognition (arXiv 1512.03385), table 1. As in
torchvision and timm, and unlike the paper, a bottleneck strides in its 3x3 and not in its first
1x1 convolution (4.09 instead of 3.86 billion multiply-adds for ResNet-50).
"""

from dataclasses import dataclass

from zoo._blocks import STEMS, Rate, Settings, classify, he_conv, layers, max_pool, norm, normalize

WIDTHS = (64, 128, 256, 512)


@dataclass(frozen=True, kw_only=True)
class Spec(Settings):
    """Blocks per stage, their kind, and the kernel of the stem (3 is usual on CIFAR)."""

    blocks: tuple[int, int, int, int]
    bottleneck: bool = False
    stem_kernel: int = 7
    dropout: Rate = 0.0


VARIANTS = {
    "resnet18": Spec(
        blocks=(2, 2, 2, 2),
        parameters=11_689_512,
        macs=1_814_073_344,
        macs_64=592_695_296,
        weights=("timm:resnet18.tv_in1k", "timm:resnet18.a1_in1k"),
    ),
    "resnet34": Spec(
        blocks=(3, 4, 6, 3),
        parameters=21_797_672,
        macs=3_663_761_408,
        macs_64=1_196_675_072,
        weights=("timm:resnet34.tv_in1k", "timm:resnet34.a1_in1k"),
    ),
    "resnet50": Spec(
        blocks=(3, 4, 6, 3),
        bottleneck=True,
        parameters=25_557_032,
        macs=4_089_184_256,
        macs_64=1_336_623_104,
        weights=("timm:resnet50.tv_in1k", "timm:resnet50.a1_in1k"),
    ),
}

TINY = {"name": "resnet18"}


def build(spec, inputs, classes):
    """(h, w, c) in 0..255 -> logits, or features where classes is None."""
    first, second = STEMS[spec.stem]
    block = _bottleneck if spec.bottleneck else _basic
    x = normalize(inputs, spec)
    x = he_conv(x, 64, spec.stem_kernel, first, name="conv1")
    x = layers.ReLU()(norm(x, "bn1"))
    x = max_pool(x) if second == 2 else x
    for stage, (blocks, width) in enumerate(zip(spec.blocks, WIDTHS, strict=True), start=1):
        for i in range(blocks):
            stride = 2 if stage > 1 and i == 0 else 1
            x = block(x, width, stride, name=f"layer{stage}.{i}")
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    return classify(x, spec, classes)


def _basic(x, width, stride, name):
    """(h, w, c) -> (h/stride, w/stride, width)."""
    y = he_conv(x, width, 3, stride, name=f"{name}.conv1")
    y = layers.ReLU()(norm(y, f"{name}.bn1"))
    y = he_conv(y, width, 3, name=f"{name}.conv2")
    y = norm(y, f"{name}.bn2")
    return layers.ReLU()(layers.Add()([y, _shortcut(x, width, stride, name)]))


def _bottleneck(x, width, stride, name):
    """(h, w, c) -> (h/stride, w/stride, 4 width)."""
    y = he_conv(x, width, 1, name=f"{name}.conv1")
    y = layers.ReLU()(norm(y, f"{name}.bn1"))
    y = he_conv(y, width, 3, stride, name=f"{name}.conv2")
    y = layers.ReLU()(norm(y, f"{name}.bn2"))
    y = he_conv(y, 4 * width, 1, name=f"{name}.conv3")
    y = norm(y, f"{name}.bn3")
    return layers.ReLU()(layers.Add()([y, _shortcut(x, 4 * width, stride, name)]))


def _shortcut(x, width, stride, name):
    """Return the input itself, or its 1x1 projection where stride or width changes."""
    if stride == 1 and x.shape[-1] == width:
        return x
    x = he_conv(x, width, 1, stride, name=f"{name}.downsample.0")
    return norm(x, f"{name}.downsample.1")
