"""ResNeXt that gets narrower with depth, for CIFAR-100.

ResNeXt1, 2 and 3 of a comparison of SimpleNet, Res2Net, ResNeXt and WideResNet on CIFAR-100. It
tells that a 3x3 convolution comes first, then stages of three residual blocks, each stage followed
by a convolution that halves the channels, then one dense layer; that weights are drawn by He's
normal rule; and the widths: "init 32: 32,16: 16,8", "init 64: 64,32: 32,16: 16,8" and
"init 16: 16,8: 8,4: 4,4".

The rest is the definition chosen here. A pair is read as the width of a stage and that of the
convolution behind it, so the last of `resnext_narrow3` does not halve. A block is the bottleneck of
Xie et al. (arXiv 1611.05431), figure 3c, whose inside is half as wide, as in their table 1; two
groups are the most that the narrowest inside, of two maps, can have. The convolutions behind the
stages are 3x3, have BN and ReLU like all others, and halve height and width. No pooling is told, so
the dense layer sees all pixels of the last map; its mean would be 4 or 8 numbers for 100 classes.
Pixels are normalized as for CIFAR-10, and the dense layer is drawn as everywhere in this package.

The text also has no padding, and a ReLU even behind the dense layer; both are left out unless asked
for. `padding="none"` holds for the convolutions whose maps nothing is added to, the first one and
those behind the stages: the maps of a residual block keep their size. With `last_relu=True` a class
whose score is below zero gets no gradient; the layer `logits` is then what the ReLU lets pass.
"""

from dataclasses import dataclass
from typing import Literal

from zoo._blocks import (
    CIFAR,
    Factor,
    Rate,
    Settings,
    classify,
    conv,
    conv_norm,
    layer_name,
    layers,
    normalize,
    variance_scaling,
)


@dataclass(frozen=True, kw_only=True)
class Spec(Settings):
    """Widths, and what the paper leaves open."""

    stem: str | None = None
    widths: tuple[int, ...]
    """Of the first convolution and of that behind each stage; a stage keeps what it gets."""
    blocks: int = 3
    """Per stage."""
    groups: int = 2
    bottleneck: int = 2
    """A block is this many times as wide as the grouped convolution in it."""
    transition_kernel: int = 3
    """Of the convolution behind a stage."""
    transition_stride: int = 2
    padding: Literal["same", "none"] = "same"
    """Of the first convolution and those behind the stages."""
    last_relu: bool = False
    """A ReLU behind the dense layer of the classes."""
    flatten: bool = True
    """The dense layer sees all pixels of the last map, not their mean."""
    dropout: Rate = 0.0
    mean: tuple[float, ...] = CIFAR["mean"]
    std: tuple[Factor, ...] = CIFAR["std"]

    def __post_init__(self):
        for width in self.widths[:-1]:
            if width % (self.bottleneck * self.groups):
                raise ValueError(
                    f"width {width} of widths={self.widths!r} must be a multiple of "
                    f"bottleneck * groups = {self.bottleneck * self.groups}."
                )

    @property
    def any_size(self) -> bool:
        """Whether the dense layer sees the mean alone."""
        return not self.flatten


VARIANTS = {
    "resnext_narrow1": Spec(
        widths=(32, 16, 8), parameters=66_772, macs=9_291_776, macs_64=37_167_104
    ),
    "resnext_narrow2": Spec(
        widths=(64, 32, 16, 8), parameters=74_676, macs=35_328_512, macs_64=141_314_048
    ),
    "resnext_narrow3": Spec(
        widths=(16, 8, 4, 4), parameters=11_058, macs=2_546_560, macs_64=10_186_240
    ),
}

TINY = {"name": "resnext_narrow3", "blocks": 1}


def build(spec, inputs, classes):
    """(h, w, c) in 0..255 -> logits, or features where classes is None."""
    transition = spec.transition_kernel, spec.transition_stride
    by = conv if spec.padding == "same" else _conv_without_padding
    x = _unit(normalize(inputs, spec), spec.widths[0], 3, name="stem", by=by)
    for stage, width in enumerate(spec.widths[1:], start=1):
        for i in range(1, spec.blocks + 1):
            x = _block(x, spec, f"stage{stage}.block{i}")
        x = _unit(x, width, *transition, name=f"transition{stage}", by=by)
    pool = layers.Flatten if spec.flatten else layers.GlobalAveragePooling2D
    x = pool(name="pooled")(x)
    if classes is None or not spec.last_relu:
        return classify(x, spec, classes)
    scores = classify(x, spec, classes, name="logits_map")
    return layers.ReLU(dtype="float32", name="logits")(scores)


def _block(x, spec, name):
    """(h, w, c) -> (h, w, c)."""
    inner = x.shape[-1] // spec.bottleneck
    y = _unit(x, inner, 1, name=f"{name}.unit1")
    y = _unit(y, inner, 3, name=f"{name}.unit2", groups=spec.groups)
    y = _conv_norm(y, x.shape[-1], 1, name=f"{name}.unit3")
    return layers.ReLU()(layers.Add()([y, x]))


def _unit(x, width, kernel, stride=1, **options):
    """(h, w, c) -> (h/stride, w/stride, width), normalized and rectified."""
    return layers.ReLU()(_conv_norm(x, width, kernel, stride, **options))


def _conv_norm(x, width, kernel, stride=1, **options):
    """(h, w, c) -> (h/stride, w/stride, width), normalized."""
    he_normal = variance_scaling(2.0, "fan_in", "truncated_normal")
    return conv_norm(x, width, kernel, stride, kernel_initializer=he_normal, **options)


def _conv_without_padding(x, width, kernel, stride, *, name, **options):
    """(h, w, c) -> ((h - kernel) // stride + 1, likewise, width)."""
    return layers.Conv2D(width, kernel, stride, use_bias=False, name=layer_name(name), **options)(x)
