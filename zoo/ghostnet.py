"""GhostNet: half of each convolution's maps come from cheap depthwise filters on the other half.

Han et al., GhostNet: More Features from Cheap Operations (arXiv 1911.11907), table 1, in the form
of its authors and of timm. `ghostnet_cars` is the form trained on Stanford Cars
(pchaberski/cars): it differs in squeeze-excite width, gate, head and the names of its tensors.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

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
    norm_relu,
    normalize,
    squeeze_excite,
)

_scaled = partial(nearest_multiple, multiple=4)


class Names(NamedTuple):
    """Paths of the layers in a reference; those of a block follow the path of the block."""

    stem: tuple[str, str]
    block: str
    ghosts: tuple[str, str]
    stride: tuple[str, str]
    squeeze: tuple[str, str]
    shortcut: tuple[str, str, str, str]
    tail: tuple[str, str]
    head: tuple[str, str]


TIMM = Names(
    stem=("conv_stem", "bn1"),
    block="blocks.{stage}.{i}.",
    ghosts=("ghost1", "ghost2"),
    stride=("conv_dw", "bn_dw"),
    squeeze=("se.conv_reduce", "se.conv_expand"),
    shortcut=("shortcut.0", "shortcut.1", "shortcut.2", "shortcut.3"),
    tail=("blocks.9.0.conv", "blocks.9.0.bn1"),
    head=("conv_head", ""),
)
CARS = Names(
    stem=("features.0.0", "features.0.1"),
    block="features.{count}.",
    ghosts=("conv.0", "conv.3"),
    stride=("conv.1.0", "conv.1.1"),
    squeeze=("conv.2.fc.0", "conv.2.fc.2"),
    shortcut=("shortcut.0.0", "shortcut.0.1", "shortcut.1", "shortcut.2"),
    tail=("squeeze.0", "squeeze.1"),
    head=("classifier.0", "classifier.1"),
)


@dataclass(frozen=True, kw_only=True)
class Spec(Settings):
    """Widths, and what differs between the two forms."""

    width: Factor = 1.0
    """Multiplies all widths but the head's."""
    head_width: int = 1280
    head_norm: bool = False
    """Normalize the head's dense layer, which has no bias then."""
    squeeze_multiple: int = 4
    """The squeezed width is a quarter of the expanded one, rounded to a multiple of this."""
    gate: str = "hard_sigmoid"
    """Of squeeze-excite: `hard_sigmoid` is relu6(x + 3) / 6, `clip` cuts to 0..1."""
    dropout: Rate = 0.2
    names: Names = TIMM


VARIANTS = {
    "ghostnet_050": Spec(width=0.5, parameters=2_587_292, macs=42_328_152, macs_64=15_349_728),
    "ghostnet_100": Spec(
        parameters=5_182_508,
        macs=141_150_512,
        macs_64=48_789_056,
        weights=("timm:ghostnet_100.in1k",),
    ),
    "ghostnet_130": Spec(width=1.3, parameters=7_358_820, macs=227_003_256, macs_64=77_769_600),
    "ghostnet_cars": Spec(
        parameters=3_041_412,
        macs=161_394_496,
        macs_64=46_649_408,
        input_shape=(227, 227, 3),
        classes=196,
        head="classifier.4",
        source="pchaberski/cars models/architectures/ghostnet.py",
        head_width=320,
        head_norm=True,
        squeeze_multiple=1,
        gate="clip",
        names=CARS,
        mean=(0.4707, 0.4602, 0.455),
        std=(0.2594, 0.2585, 0.2635),
        notes="Mean and deviation are those of the training images of Stanford Cars.",
    ),
}

TINY = {"name": "ghostnet_050"}


def build(spec, inputs, classes):
    """(h, w, c) in 0..255 -> logits, or features where classes is None."""
    names, count = spec.names, 0
    first, second = STEMS[spec.stem]
    x = normalize(inputs, spec)
    x = conv(x, _scaled(16 * spec.width), 3, first, name=names.stem[0])
    x = layers.ReLU()(norm(x, names.stem[1]))
    for stage, rows in enumerate(GHOST_STAGES):
        for i, row in enumerate(rows):
            count += 1
            stride = second if stage == 1 else row[-1]  # stage 1 is the second downsampling
            x = _bottleneck(x, row, stride, spec, names.block.format(stage=stage, i=i, count=count))
    x = conv(x, _scaled(960 * spec.width), 1, name=names.tail[0])
    x = layers.ReLU()(norm(x, names.tail[1]))
    x = layers.GlobalAveragePooling2D()(x)
    x = dense(x, spec.head_width, use_bias=not spec.head_norm, name=names.head[0])
    if spec.head_norm:
        x = norm(x, names.head[1])
    x = layers.ReLU(name="pooled")(x)
    return classify(x, spec, classes)


def _bottleneck(x, row, stride, spec, name):
    """(h, w, c) -> (h/stride, w/stride, width); a stem that keeps the size keeps the layers."""
    kernel, expansion, width, squeeze, drawn_stride = row
    expansion, width = _scaled(expansion * spec.width), _scaled(width * spec.width)
    names = spec.names
    y = ghost(x, expansion, name=name + names.ghosts[0], end=norm_relu)
    if drawn_stride == 2:
        y = depthwise(y, kernel, stride, name=name + names.stride[0])
        y = norm(y, name + names.stride[1])
    if squeeze:
        y = _squeeze_excite(y, spec, name)
    y = ghost(y, width, name=name + names.ghosts[1])
    if drawn_stride == 2 or x.shape[-1] != width:
        x = depthwise(x, kernel, stride, name=name + names.shortcut[0])
        x = norm(x, name + names.shortcut[1])
        x = conv(x, width, 1, name=name + names.shortcut[2])
        x = norm(x, name + names.shortcut[3])
    return layers.Add()([y, x])


def _squeeze_excite(x, spec, name):
    """(h, w, c) -> (h, w, c)."""
    width = nearest_multiple(x.shape[-1] / 4, spec.squeeze_multiple)
    clip = spec.gate == "clip"
    activation = layers.ReLU()
    gate = layers.ReLU(max_value=1) if clip else layers.Activation(spec.gate)
    names = tuple(name + part for part in spec.names.squeeze)
    return squeeze_excite(x, width, activation, gate, names=names)
