"""Ghost-ResNet: ResNet-50 v1.5 with Ghost modules in the place of convolutions.

Han et al., GhostNet: More Features from Cheap Operations (arXiv 1911.11907), section 4.2. The paper
leaves the layout open, so this is the definition: in the bottlenecks of the ghosted stages, all
three convolutions and the projection of the shortcut become Ghost modules of the same kernel and
stride; stem and classifier stay. A module's BN takes the place of the one behind the convolution,
and ReLU is inside the first two modules, not in the third and the projection. `ghost_1` has the
first stage ghosted, `ghost_all` the four. Published for the latter are 13.0 million weights and
2.2 billion multiply-adds: the second agrees, the first is 13.95 here.
"""

from dataclasses import dataclass
from functools import partial

from zoo._blocks import (
    STEMS,
    Rate,
    Settings,
    classify,
    ghost,
    he_conv,
    layers,
    max_pool,
    norm,
    norm_relu,
    normalize,
)

WIDTHS = (64, 128, 256, 512)


@dataclass(frozen=True, kw_only=True)
class Spec(Settings):
    """Blocks per stage, and what is ghosted."""

    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    stages: tuple[int, ...] = ()
    """Numbers of the ghosted stages, from 1."""
    ratio: int = 2
    """One of this many maps comes from a convolution, the paper's s; 1 ghosts nothing."""
    shortcuts: bool = True
    """Projections are ghosted too."""
    dropout: Rate = 0.0

    def __post_init__(self):
        if not {*self.stages} <= {1, 2, 3, 4}:
            raise ValueError(f"stages={self.stages!r} must be numbers of stages, 1 to 4.")


VARIANTS = {
    "ghost_1_resnet50": Spec(
        stages=(1,), parameters=25_456_872, macs=3_775_082_496, macs_64=1_234_059_264
    ),
    "ghost_all_resnet50": Spec(
        stages=(1, 2, 3, 4), parameters=13_953_512, macs=2_151_023_360, macs_64=703_754_240
    ),
}

TINY = {"name": "ghost_all_resnet50", "blocks": (2, 1, 1, 1)}


def build(spec, inputs, classes):
    """(h, w, c) in 0..255 -> logits, or features where classes is None."""
    first, second = STEMS[spec.stem]
    x = normalize(inputs, spec)
    x = he_conv(x, 64, 7, first, name="conv1")
    x = layers.ReLU()(norm(x, "bn1"))
    x = max_pool(x) if second == 2 else x
    for stage, (blocks, width) in enumerate(zip(spec.blocks, WIDTHS, strict=True), start=1):
        ratio = spec.ratio if stage in spec.stages else 1
        for i in range(blocks):
            stride = 2 if stage > 1 and i == 0 else 1
            x = _bottleneck(x, width, stride, (ratio, spec.shortcuts), f"layer{stage}.{i}")
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    return classify(x, spec, classes)


def _bottleneck(x, width, stride, ghosts, name):
    """(h, w, c) -> (h/stride, w/stride, 4 width)."""
    ratio, shortcuts = ghosts
    unit = partial(_unit, ratio=ratio)
    y = unit(x, width, 1, end=norm_relu, name=(f"{name}.conv1", f"{name}.bn1"))
    y = unit(y, width, 3, stride, end=norm_relu, name=(f"{name}.conv2", f"{name}.bn2"))
    y = unit(y, 4 * width, 1, name=(f"{name}.conv3", f"{name}.bn3"))
    if stride > 1 or x.shape[-1] != 4 * width:
        projection = (f"{name}.downsample.0", f"{name}.downsample.1")
        x = _unit(x, 4 * width, 1, stride, ratio=ratio if shortcuts else 1, name=projection)
    return layers.ReLU()(layers.Add()([y, x]))


def _unit(x, width, kernel, stride=1, *, ratio, end=norm, name):
    """(h, w, c) -> (h/stride, w/stride, width): a convolution for ratio 1, else a Ghost module."""
    if ratio == 1:
        return end(he_conv(x, width, kernel, stride, name=name[0]), name[1])
    return ghost(x, width, kernel, stride, name=name[0], ratio=ratio, by=he_conv, end=end)
