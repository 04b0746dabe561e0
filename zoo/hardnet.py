"""HarDNet: layers see few, harmonically spaced layers before them, to save memory traffic.

Chao et al., HarDNet: A Low Memory Traffic Network (arXiv 1909.00948), section 3, in the form of
pytorchcv. There, as here, the 3x3 layers of a block end in ReLU and all others in ReLU6; the
authors' code has ReLU6 everywhere. The forms for mobile devices (DS) put a 1x1 convolution and a
depthwise 3x3 without activation in the place of each 3x3 in a block, and a depthwise one in that of
each pooling. Kernels are drawn as PyTorch does by default, which is what both codes end up with.
"""

from dataclasses import dataclass

from zoo._blocks import (
    STEMS,
    Factor,
    Rate,
    Settings,
    classify,
    conv_norm,
    depthwise,
    layers,
    max_pool,
    norm,
    normalize,
)


@dataclass(frozen=True, kw_only=True)
class Spec(Settings):
    """Blocks by stage, and what their layers are made of."""

    stem_width: int
    stages: tuple[tuple[tuple[int, int, int], ...], ...]
    """Of each stage, the blocks: layers, growth, and width of the 1x1 convolution behind them."""
    multiplier: Factor = 1.7
    """Widens a layer for each link but its first."""
    separable: bool = False
    """Depthwise separable convolutions, also instead of pooling; 1x1 in the stem (DS)."""
    dropout: Rate = 0.1
    block_dropout: Rate = 0.0
    """Rate between each block of the last stage and its 1x1 convolution."""


STAGES_68 = (
    ((8, 14, 128),),
    ((16, 16, 256), (16, 20, 320)),
    ((16, 40, 640),),
    ((4, 160, 1024),),
)

VARIANTS = {
    "hardnet39ds": Spec(
        stem_width=48,
        stages=(((4, 16, 96),), ((16, 20, 320),), ((8, 64, 640),), ((4, 160, 1024),)),
        multiplier=1.6,
        separable=True,
        dropout=0.05,
        parameters=3_488_228,
        macs=429_471_474,
        macs_64=140_925_216,
    ),
    "hardnet68ds": Spec(
        stem_width=64,
        stages=STAGES_68,
        separable=True,
        dropout=0.05,
        parameters=4_180_602,
        macs=775_281_526,
        macs_64=253_842_784,
    ),
    "hardnet68": Spec(
        stem_width=64,
        stages=STAGES_68,
        parameters=17_565_348,
        macs=4_246_114_304,
        macs_64=1_387_175_936,
    ),
    "hardnet85": Spec(
        stem_width=96,
        stages=(
            ((8, 24, 192),),
            ((16, 24, 256), (16, 28, 320)),
            ((16, 36, 480), (16, 48, 720)),
            ((4, 256, 1280),),
        ),
        dropout=0.2,
        block_dropout=0.1,
        parameters=36_670_212,
        macs=9_074_081_584,
        macs_64=2_963_827_456,
    ),
}

TINY = {
    "name": "hardnet39ds",
    "stages": (((4, 8, 32),), ((1, 8, 32),), ((1, 8, 32),), ((1, 8, 32),)),
}


def build(spec, inputs, classes):
    """(h, w, c) in 0..255 -> logits, or features where classes is None."""
    first, second = STEMS[spec.stem]
    kernel, stem = 1 if spec.separable else 3, "features.init_block"
    x = normalize(inputs, spec)
    x = _relu6(conv_norm(x, spec.stem_width // 2, 3, first, name=f"{stem}.conv1"))
    x = _relu6(conv_norm(x, spec.stem_width, kernel, name=f"{stem}.conv2"))
    if spec.separable:
        x = _depthwise(x, second, name=f"{stem}.downsample")
    elif second == 2:
        x = max_pool(x)
    for stage, blocks in enumerate(spec.stages, start=1):
        last = stage == len(spec.stages)
        for i, (depth, growth, width) in enumerate(blocks, start=1):
            name = f"features.stage{stage}.unit{i}"
            x = _block(x, depth, growth, spec, name)
            x = layers.Dropout(spec.block_dropout)(x) if last and spec.block_dropout else x
            x = _relu6(conv_norm(x, width, 1, name=f"{name}.conv"))
        if spec.separable and not last:
            x = _depthwise(x, 2, name=f"{name}.downsample")
        elif not last:
            x = layers.MaxPooling2D(2)(x)
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    return classify(x, spec, classes)


def _block(x, depth, growth, spec, name):
    """(h, w, c) -> (h, w, sum of the widths of the odd layers and of the last)."""
    maps = [x]
    for i in range(1, depth + 1):
        links = [i - 2**k for k in range(i.bit_length()) if i % 2**k == 0]
        width = growth * spec.multiplier ** (len(links) - 1)
        width = int(width + 1) // 2 * 2  # the nearest even number
        y = _joined([maps[link] for link in links])
        maps.append(_layer(y, width, spec, f"{name}.blocks.block{i}"))
    return _joined([y for i, y in enumerate(maps) if i % 2 == 1 or i == depth])


def _layer(x, width, spec, name):
    """(h, w, c) -> (h, w, width)."""
    if not spec.separable:
        return layers.ReLU()(conv_norm(x, width, 3, name=name))
    x = _relu6(conv_norm(x, width, 1, name=f"{name}.pw_conv"))
    return _depthwise(x, name=f"{name}.dw_conv")


def _joined(maps):
    return layers.Concatenate()(maps) if len(maps) > 1 else maps[0]


def _relu6(x):
    return layers.ReLU(max_value=6)(x)


def _depthwise(x, stride=1, *, name):
    """(h, w, c) -> (h/stride, w/stride, c), normalized."""
    return norm(depthwise(x, 3, stride, name=f"{name}.conv"), f"{name}.bn")
