"""ResNeXt: residual networks whose 3x3 convolutions work in groups.

Xie et al., Aggregated Residual Transformations for Deep Neural Networks (arXiv 1611.05431), table 1
and, for CIFAR, section 5.3. `resnext50_32x4d` has 32 groups of 4 maps in its first stage. The
networks for ImageNet have the names of timm, those for CIFAR (29 layers, three stages, no pooling
in the stem) those of pytorchcv. All are drawn as the authors' code does, which is as timm does.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from zoo._blocks import (
    CIFAR,
    STEMS,
    Rate,
    Settings,
    classify,
    conv_norm,
    he_conv,
    layers,
    max_pool,
    norm,
    normalize,
)


class Names(NamedTuple):
    """Paths of a convolution and its BN in a reference; those of a block follow its path."""

    stem: tuple[str, str]
    block: str
    """With the number of the stage from 1 and those of the block from 0 (i) and from 1 (unit)."""
    convs: tuple[tuple[str, str], tuple[str, str], tuple[str, str]]
    shortcut: tuple[str, str]


TIMM = Names(
    stem=("conv1", "bn1"),
    block="layer{stage}.{i}",
    convs=(("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3")),
    shortcut=("downsample.0", "downsample.1"),
)
PYTORCHCV = Names(
    stem=("features.init_block.conv", "features.init_block.bn"),
    block="features.stage{stage}.unit{unit}",
    convs=tuple((f"body.conv{i}.conv", f"body.conv{i}.bn") for i in (1, 2, 3)),
    shortcut=("identity_conv.conv", "identity_conv.bn"),
)


@dataclass(frozen=True, kw_only=True)
class Spec(Settings):
    """Blocks per stage, and groups and maps per group in the first stage."""

    blocks: tuple[int, ...]
    groups: int
    group_width: int
    """Later stages double it each, with the number of groups unchanged."""
    stem_kernel: int = 7
    dropout: Rate = 0.0
    names: Names = TIMM


_cifar = partial(
    Spec,
    stem=None,
    blocks=(3, 3, 3),
    stem_kernel=3,
    names=PYTORCHCV,
    input_shape=(32, 32, 3),
    classes=10,
    head="output",
    source="pytorchcv 0.0.74",
    **CIFAR,
)

VARIANTS = {
    "resnext50_32x4d": Spec(
        blocks=(3, 4, 6, 3),
        groups=32,
        group_width=4,
        parameters=25_028_904,
        macs=4_230_479_872,
        macs_64=1_382_760_448,
        weights=("timm:resnext50_32x4d.tv_in1k", "timm:resnext50_32x4d.a1_in1k"),
    ),
    "resnext101_32x4d": Spec(
        blocks=(3, 4, 23, 3),
        groups=32,
        group_width=4,
        parameters=44_177_704,
        macs=7_969_996_800,
        macs_64=2_603_827_200,
        weights=("timm:resnext101_32x4d.gluon_in1k",),
    ),
    "resnext101_32x8d": Spec(
        blocks=(3, 4, 23, 3),
        groups=32,
        group_width=8,
        parameters=88_791_336,
        macs=16_414_015_488,
        macs_64=5_361_057_792,
        weights=("timm:resnext101_32x8d.fb_wsl_ig1b_ft_in1k", "timm:resnext101_32x8d.tv_in1k"),
        notes="The default weights are those trained on weakly labeled images (WSL).",
    ),
    "resnext29_32x4d": _cifar(
        groups=32, group_width=4, parameters=4_775_754, macs=774_055_936, macs_64=3_096_193_024
    ),
    "resnext29_4x32d": _cifar(
        groups=4, group_width=32, parameters=6_807_882, macs=1_071_327_232, macs_64=4_285_278_208
    ),
    "resnext29_8x64d": _cifar(
        groups=8, group_width=64, parameters=34_426_698, macs=5_387_266_048, macs_64=21_549_033_472
    ),
    "resnext29_16x64d": _cifar(
        groups=16,
        group_width=64,
        parameters=68_155_210,
        macs=10_688_866_304,
        macs_64=42_755_434_496,
    ),
}

TINY = {"name": "resnext50_32x4d", "blocks": (1, 1, 1, 1), "groups": 4}


def build(spec, inputs, classes):
    """(h, w, c) in 0..255 -> logits, or features where classes is None."""
    first, second = STEMS[spec.stem or "cifar"]
    x = normalize(inputs, spec)
    x = he_conv(x, 64, spec.stem_kernel, first, name=spec.names.stem[0])
    x = layers.ReLU()(norm(x, spec.names.stem[1]))
    x = max_pool(x) if second == 2 else x
    for stage, blocks in enumerate(spec.blocks, start=1):
        for i in range(blocks):
            stride = 2 if stage > 1 and i == 0 else 1
            name = spec.names.block.format(stage=stage, i=i, unit=i + 1)
            x = _block(x, 2 ** (stage - 1), stride, spec, name)
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    return classify(x, spec, classes)


def _block(x, scale, stride, spec, name):
    """(h, w, c) -> (h/stride, w/stride, 256 scale)."""
    inner, names = spec.groups * spec.group_width * scale, spec.names
    conv = partial(conv_norm, name=name, by=he_conv)
    y = layers.ReLU()(conv(x, inner, 1, parts=names.convs[0]))
    y = layers.ReLU()(conv(y, inner, 3, stride, groups=spec.groups, parts=names.convs[1]))
    y = conv(y, 256 * scale, 1, parts=names.convs[2])
    if stride > 1 or x.shape[-1] != 256 * scale:
        x = conv(x, 256 * scale, 1, stride, parts=names.shortcut)
    return layers.ReLU()(layers.Add()([y, x]))
