"""ShuffleNet V1: residual units of grouped 1x1 convolutions that shuffle maps between the groups.

Zhang et al., ShuffleNet (arXiv 1707.01083), table 1 at scale 1, in the form of pytorchcv:
`shufflenet_v1_g3` has 3 groups. The first 1x1 convolution is not grouped, because its input is
narrow. Kernels are drawn as pytorchcv does, uniformly by He's rule from the fan-in.
"""

from dataclasses import dataclass

from zoo._blocks import (
    STEMS,
    Rate,
    Settings,
    classify,
    conv,
    depthwise,
    layers,
    max_pool,
    norm,
    normalize,
)
from zoo._blocks import variance_scaling as scaled


@dataclass(frozen=True, kw_only=True)
class Spec(Settings):
    """Groups, and the width of the first stage, which later stages double each."""

    groups: int
    width: int
    stem_width: int = 24
    units: tuple[int, int, int] = (4, 8, 4)
    dropout: Rate = 0.0

    def __post_init__(self):
        if self.width % (4 * self.groups) or self.stem_width % self.groups:
            raise ValueError(
                f"groups={self.groups} must divide stem_width={self.stem_width} and a quarter of "
                f"width={self.width}: choose widths that it divides."
            )


VARIANTS = {
    "shufflenet_v1_g1": Spec(
        groups=1, width=144, parameters=1_531_936, macs=143_078_976, macs_64=47_107_584
    ),
    "shufflenet_v1_g2": Spec(
        groups=2, width=200, parameters=1_733_848, macs=140_836_512, macs_64=46_526_208
    ),
    "shufflenet_v1_g3": Spec(
        groups=3, width=240, parameters=1_865_728, macs=137_460_672, macs_64=45_531_648
    ),
    "shufflenet_v1_g4": Spec(
        groups=4, width=272, parameters=1_968_344, macs=134_339_776, macs_64=44_598_784
    ),
    "shufflenet_v1_g8": Spec(
        groups=8, width=384, parameters=2_434_768, macs=138_365_952, macs_64=46_215_168
    ),
}

TINY = {"name": "shufflenet_v1_g3", "groups": 3, "width": 48, "units": (2, 1, 1)}


def build(spec, inputs, classes):
    """(h, w, c) in 0..255 -> logits, or features where classes is None."""
    first, second = STEMS[spec.stem]
    x = normalize(inputs, spec)
    x = _conv(x, spec.stem_width, 3, first, name="features.init_block.conv")
    x = layers.ReLU()(norm(x, "features.init_block.bn"))
    x = max_pool(x) if second == 2 else x
    for stage, units in enumerate(spec.units, start=1):
        width = spec.width * 2 ** (stage - 1)
        for i in range(1, units + 1):
            groups = (1 if stage == i == 1 else spec.groups, spec.groups)
            stride = 2 if i == 1 else 1
            x = _unit(x, width, stride, groups, f"features.stage{stage}.unit{i}")
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    return classify(x, spec, classes)


def _unit(x, width, stride, groups, name):
    """(h, w, c) -> (h/stride, w/stride, width); a strided unit appends its pooled input."""
    grown = width - x.shape[-1] if stride == 2 else width
    y = _conv(x, width // 4, 1, groups=groups[0], name=f"{name}.compress_conv1")
    y = layers.ReLU()(norm(y, f"{name}.compress_bn1"))
    y = _shuffle(y, groups[1])
    y = depthwise(y, 3, stride, name=f"{name}.dw_conv2", depthwise_initializer=_he("fan_out"))
    y = norm(y, f"{name}.dw_bn2")
    y = _conv(y, grown, 1, groups=groups[1], name=f"{name}.expand_conv3")
    y = norm(y, f"{name}.expand_bn3")
    if stride == 1:
        return layers.ReLU()(layers.Add()([y, x]))
    x = layers.AveragePooling2D(3, 2)(layers.ZeroPadding2D(1)(x))  # the zeros count
    return layers.ReLU()(layers.Concatenate()([y, x]))


def _shuffle(x, groups):
    """(h, w, groups n) -> (h, w, n groups): each group gets maps of all groups."""
    if groups == 1:
        return x
    *size, width = x.shape[1:]
    x = layers.Reshape((*size, groups, width // groups))(x)
    x = layers.Permute((1, 2, 4, 3))(x)
    return layers.Reshape((*size, width))(x)


def _conv(x, width, kernel, stride=1, *, name, groups=1):
    return conv(x, width, kernel, stride, groups=groups, name=name, kernel_initializer=_he())


def _he(mode="fan_in"):
    """He's rule; of a depthwise kernel (k, k, c, 1) k * k, its fan-in, is the `fan_out`."""
    return scaled(2.0, mode, "uniform")
