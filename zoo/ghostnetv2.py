"""GhostNetV2: GhostNet whose expanded maps are weighed by attention along rows and columns.

Tang et al., GhostNetV2: Enhance Cheap Operation with Long-Range Attention (arXiv 2211.12905), in
the form of its authors and of timm. The table is GhostNet's; the attention (the paper's DFC, taken
at half the size) is in the first Ghost module of all bottlenecks but the first two.
"""

from dataclasses import dataclass
from functools import partial

from zoo._blocks import (
    GHOST_STAGES,
    STEMS,
    Factor,
    Rate,
    Settings,
    classify,
    conv,
    dense,
    depthwise,
    ghost,
    layers,
    nearest_multiple,
    norm,
    normalize,
    squeeze_excite,
)

_scaled = partial(nearest_multiple, multiple=4)


@dataclass(frozen=True, kw_only=True)
class Spec(Settings):
    """Table and widths."""

    stages: tuple[tuple[tuple[int, int, int, bool, int], ...], ...] = GHOST_STAGES
    """Rows as in GHOST_STAGES; the second stage begins with the second downsampling."""
    width: Factor = 1.0
    """Multiplies all widths but the head's."""
    dropout: Rate = 0.2


VARIANTS = {
    "ghostnetv2_100": Spec(
        parameters=6_156_908,
        macs=167_048_288,
        macs_64=57_938_240,
        weights=("timm:ghostnetv2_100.in1k",),
    ),
    "ghostnetv2_130": Spec(
        width=1.3,
        parameters=8_960_404,
        macs=269_322_976,
        macs_64=92_743_168,
        weights=("timm:ghostnetv2_130.in1k",),
    ),
    "ghostnetv2_160": Spec(
        width=1.6,
        parameters=12_392_698,
        macs=398_607_224,
        macs_64=136_659_104,
        weights=("timm:ghostnetv2_160.in1k",),
    ),
}

TINY = {
    "name": "ghostnetv2_100",
    "stages": tuple(rows[:1] for rows in (*GHOST_STAGES[:2], *GHOST_STAGES[3:8:2])),
}


def build(spec, inputs, classes):
    """(h, w, c) in 0..255 -> logits, or features where classes is None."""
    first, second = STEMS[spec.stem]
    x = normalize(inputs, spec)
    x = conv(x, _scaled(16 * spec.width), 3, first, name="conv_stem")
    x = layers.ReLU()(norm(x, "bn1"))
    for stage, rows in enumerate(spec.stages):
        for i, row in enumerate(rows):
            stride = second if stage == 1 else row[-1]  # stage 1 is the second downsampling
            module = _attentive_ghost if stage > 1 else _ghost
            x = _bottleneck(x, row, stride, module, spec.width, f"blocks.{stage}.{i}")
    tail = f"blocks.{len(spec.stages)}.0"
    x = conv(x, _scaled(960 * spec.width), 1, name=f"{tail}.conv")
    x = layers.ReLU()(norm(x, f"{tail}.bn1"))
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.ReLU(name="pooled")(dense(x, 1280, name="conv_head"))
    return classify(x, spec, classes)


def _bottleneck(x, row, stride, module, factor, name):
    """(h, w, c) -> (h/stride, w/stride, width); a stem that keeps the size keeps the layers."""
    kernel, expansion, width, squeeze, drawn_stride = row
    width = _scaled(width * factor)
    y = module(x, _scaled(expansion * factor), f"{name}.ghost1")
    if drawn_stride == 2:
        y = norm(depthwise(y, kernel, stride, name=f"{name}.conv_dw"), f"{name}.bn_dw")
    y = _squeeze_excite(y, f"{name}.se") if squeeze else y
    y = _ghost(y, width, f"{name}.ghost2", activation="linear")
    if drawn_stride == 2 or x.shape[-1] != width:
        x = depthwise(x, kernel, stride, name=f"{name}.shortcut.0")
        x = norm(x, f"{name}.shortcut.1")
        x = norm(conv(x, width, 1, name=f"{name}.shortcut.2"), f"{name}.shortcut.3")
    return layers.Add()([y, x])


def _ghost(x, width, name, activation="relu"):
    """(h, w, c) -> (h, w, width)."""

    def end(x, name):
        return layers.Activation(activation)(norm(x, name))

    return ghost(x, width, name=name, end=end)


def _attentive_ghost(x, width, name):
    """(h, w, c) -> (h, w, width), each value weighed by what its row and column hold.

    A single row or column is not pooled for that, where the reference would fail.
    """
    coarse = min(x.shape[1:3]) > 1
    y = layers.AveragePooling2D(2)(x) if coarse else x
    y = norm(conv(y, width, 1, name=f"{name}.short_conv.0"), f"{name}.short_conv.1")
    y = norm(depthwise(y, (1, 5), name=f"{name}.short_conv.2"), f"{name}.short_conv.3")
    y = norm(depthwise(y, (5, 1), name=f"{name}.short_conv.4"), f"{name}.short_conv.5")
    y = layers.Activation("sigmoid")(y)
    if coarse:
        y = layers.UpSampling2D(2)(y)
        # Nearest pixels as PyTorch finds them: where a size is odd, the first counts three times.
        y = layers.Concatenate(axis=1)([y[:, :1], y]) if x.shape[1] % 2 else y
        y = layers.Concatenate(axis=2)([y[:, :, :1], y]) if x.shape[2] % 2 else y
    return layers.Multiply()([_ghost(x, width, name), y])


def _squeeze_excite(x, name):
    """(h, w, c) -> (h, w, c)."""
    activation, gate = layers.ReLU(), layers.Activation("hard_sigmoid")
    names = (f"{name}.conv_reduce", f"{name}.conv_expand")
    return squeeze_excite(x, _scaled(x.shape[-1] / 4), activation, gate, names=names)
