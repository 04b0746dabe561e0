"""Res2Net: the 3x3 convolution of a bottleneck split into a ladder of small ones.

Gao et al., Res2Net: A New Multi-scale Backbone Architecture (arXiv 1904.01169), section 3, as the
authors' code and timm have it: the last part of a block's maps goes without convolution (in the
paper's figure 2 the first), and the first block of a stage has no additions between its parts but
averages the last one over 3x3, even where its stride is 1. `res2net50_26w_4s` has 4 parts of 26
maps in its first stage; in Res2NeXt the small convolutions work in groups.

`res2next29_6c24w4s` (6 groups of 24 maps, 4 parts) and the other networks for CIFAR have no public
code. Here they are ResNeXt-29 (3x3 stem of 64 maps, no pool, three stages of three blocks) with
the block above, which has 0.5 to 0.8 million parameters less than the paper prints. All networks
are drawn by He's rule from the fan-out, as the authors' and timm's are.
"""

from dataclasses import dataclass
from functools import partial

from zoo._blocks import (
    CIFAR,
    STEMS,
    Rate,
    Settings,
    classify,
    he_conv,
    layers,
    max_pool,
    norm,
    normalize,
)


@dataclass(frozen=True, kw_only=True)
class Spec(Settings):
    """Blocks per stage, and how the maps of a block are divided."""

    blocks: tuple[int, ...] = (3, 4, 6, 3)
    part_width: int = 26
    """Maps per part and group in the first stage; later stages double it each."""
    parts: int = 4
    groups: int = 1
    stem_kernel: int = 7
    dropout: Rate = 0.0

    def __post_init__(self):
        if self.parts < 2:
            raise ValueError(f"parts={self.parts} must be at least 2: the last has no convolution.")


_cifar = partial(
    Spec,
    stem=None,
    blocks=(3, 3, 3),
    stem_kernel=3,
    input_shape=(32, 32, 3),
    classes=100,
    source="definition in the file's docstring",
    **CIFAR,
)

VARIANTS = {
    "res2net50_26w_4s": Spec(
        parameters=25_699_120,
        macs=4_255_166_464,
        macs_64=1_390_821_376,
        weights=("timm:res2net50_26w_4s.in1k",),
    ),
    "res2net50_48w_2s": Spec(
        part_width=48,
        parts=2,
        parameters=25_287_304,
        macs=4_159_832_064,
        macs_64=1_359_691_776,
        weights=("timm:res2net50_48w_2s.in1k",),
    ),
    "res2net50_14w_8s": Spec(
        part_width=14,
        parts=8,
        parameters=25_059_816,
        macs=4_178_898_944,
        macs_64=1_365_917_696,
        weights=("timm:res2net50_14w_8s.in1k",),
    ),
    "res2net101_26w_4s": Spec(
        blocks=(3, 4, 23, 3),
        parameters=45_206_688,
        macs=8_066_974_464,
        macs_64=2_635_493_376,
        weights=("timm:res2net101_26w_4s.in1k",),
    ),
    "res2next50": Spec(
        part_width=4,
        groups=8,
        parameters=24_671_464,
        macs=4_172_677_120,
        macs_64=1_363_886_080,
        weights=("timm:res2next50.in1k",),
    ),
    "res2next29_6c24w4s": _cifar(
        groups=6, part_width=24, parameters=23_705_732, macs=3_852_374_016, macs_64=15_409_188_864
    ),
    "res2next29_8c25w4s": _cifar(
        groups=8, part_width=25, parameters=32_957_436, macs=5_366_935_552, macs_64=21_467_435_008
    ),
    "res2next29_6c24w6s": _cifar(
        groups=6,
        part_width=24,
        parts=6,
        parameters=36_146_180,
        macs=5_879_009_280,
        macs_64=23_515_729_920,
    ),
}

TINY = {"name": "res2net50_26w_4s", "blocks": (2, 1, 1, 1), "part_width": 8, "parts": 3}


def build(spec, inputs, classes):
    """(h, w, c) in 0..255 -> logits, or features where classes is None."""
    first, second = STEMS[spec.stem or "cifar"]
    x = normalize(inputs, spec)
    x = he_conv(x, 64, spec.stem_kernel, first, name="conv1")
    x = layers.ReLU()(norm(x, "bn1"))
    x = max_pool(x) if second == 2 else x
    for stage, blocks in enumerate(spec.blocks):
        for i in range(blocks):
            stride = 2 if stage > 0 and i == 0 else 1
            x = _block(x, 2**stage, stride, spec, f"layer{stage + 1}.{i}")
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    return classify(x, spec, classes)


def _block(x, scale, stride, spec, name):
    """(h, w, c) -> (h/stride, w/stride, 256 scale); a change of width tells a stage's first block.

    The ladder: part i + 1 is added to the convolved part i before its own convolution.
    """
    width, project = spec.part_width * spec.groups * scale, x.shape[-1] != 256 * scale
    y = he_conv(x, spec.parts * width, 1, name=f"{name}.conv1")
    y = layers.ReLU()(norm(y, f"{name}.bn1"))
    *convolved, last = (y[..., i * width : (i + 1) * width] for i in range(spec.parts))
    outputs = []
    for i, part in enumerate(convolved):
        if i > 0 and not project:
            part = layers.Add()([outputs[-1], part])
        part = he_conv(part, width, 3, stride, groups=spec.groups, name=f"{name}.convs.{i}")
        outputs.append(layers.ReLU()(norm(part, f"{name}.bns.{i}")))
    if project:  # zeros of the padding count
        last = layers.AveragePooling2D(3, stride)(layers.ZeroPadding2D(1)(last))
    y = layers.Concatenate()([*outputs, last])
    y = norm(he_conv(y, 256 * scale, 1, name=f"{name}.conv3"), f"{name}.bn3")
    if project:
        x = he_conv(x, 256 * scale, 1, stride, name=f"{name}.downsample.0")
        x = norm(x, f"{name}.downsample.1")
    return layers.ReLU()(layers.Add()([y, x]))
