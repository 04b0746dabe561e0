"""DPN: dual path networks, whose blocks add to some maps and append others; and their Ghost form.

Chen et al., Dual Path Networks (arXiv 1707.01629), table 1, in the small form of the authors' files
(DPN-68) as timm has it. BN and ReLU precede every convolution but the first.

The Ghost forms put a Ghost module (Han et al., arXiv 1911.11907, section 3.1; ratio 2, cheap kernel
3) in the place of convolutions. The paper that trained them tells only that it replaced 4 in the
first block and 49 in all: among the rules, "ungrouped" alone gives both, counting the stem to the
first block. BN and ReLU in front of the convolution stay; the module has BN and no ReLU inside.
"""

from dataclasses import dataclass
from functools import partial

from zoo._blocks import (
    STEMS,
    Factor,
    Rate,
    Settings,
    classify,
    conv,
    ghost,
    layers,
    max_pool,
    normalize,
)
from zoo._blocks import norm as torch_norm

norm = partial(torch_norm, epsilon=1e-3)

# Which convolutions become Ghost modules, by kernel, stride (of the ImageNet stem) and groups.
RULES = {
    "ungrouped": lambda kernel, stride, groups: groups == 1,
    "stride 1": lambda kernel, stride, groups: stride == 1,
    "stride 1, ungrouped": lambda kernel, stride, groups: stride == 1 and groups == 1,
    "1x1": lambda kernel, stride, groups: kernel == 1,
    "any": lambda kernel, stride, groups: True,
}


@dataclass(frozen=True, kw_only=True)
class Spec(Settings):
    """Blocks and appended maps per stage, and which convolutions are Ghost modules."""

    blocks: tuple[int, int, int, int] = (3, 4, 12, 3)
    widths: tuple[int, int, int, int] = (64, 128, 256, 512)
    """Maps that the blocks of a stage add to."""
    growths: tuple[int, int, int, int] = (16, 32, 32, 64)
    """Maps that a block appends; the first of a stage appends three times as many."""
    inner: int = 2
    """Width of the grouped convolution, in widths."""
    stem_width: int = 10
    groups: int = 32
    ghosted: tuple[str, ...] = ()
    """Starts of the names, such as `conv2_1.`, of what the rule looks at; `conv` is all."""
    rule: str = "ungrouped"
    """Key of RULES."""
    ghost_norm: bool = True
    """Normalize inside the Ghost modules."""
    dropout: Rate = 0.0
    mean: tuple[float, ...] = (124 / 255, 117 / 255, 104 / 255)
    std: tuple[Factor, ...] = (1 / (255 * 0.0167),) * 3

    def __post_init__(self):
        if self.rule not in RULES:
            raise ValueError(f"rule={self.rule!r} must be one of {', '.join(map(repr, RULES))}.")
        if any(self.inner * width % self.groups for width in self.widths):
            raise ValueError(
                f"groups={self.groups} must divide inner={self.inner} times each of "
                f"widths={self.widths}."
            )


GHOST = "definition in the file's docstring, on dpn68 of timm 1.0.31"

VARIANTS = {
    "dpn68": Spec(
        parameters=12_611_602,
        macs=2_326_163_456,
        macs_64=760_123_904,
        weights=("timm:dpn68.mx_in1k",),
    ),
    "ghost_1_dpn68": Spec(
        ghosted=("conv1_1", "conv2_1."),
        parameters=12_607_268,
        macs=2_309_755_904,
        macs_64=754_766_336,
        source=GHOST,
    ),
    "ghost_all_dpn68": Spec(
        ghosted=("conv",),
        parameters=7_800_020,
        macs=1_354_418_976,
        macs_64=442_819_584,
        source=GHOST,
    ),
}

TINY = {"name": "ghost_all_dpn68", "blocks": (1, 2, 1, 1)}


def build(spec, inputs, classes):
    """(h, w, c) in 0..255 -> logits, or features where classes is None."""
    first, second = STEMS[spec.stem]
    x = normalize(inputs, spec)
    x = _conv(x, spec, spec.stem_width, 3, first, drawn_stride=2, name="conv1_1.conv")
    x = layers.ReLU()(norm(x, "features.conv1_1.bn"))
    x = max_pool(x) if second == 2 else x
    stages = zip(spec.blocks, spec.widths, spec.growths, strict=True)
    for stage, (blocks, width, growth) in enumerate(stages, start=2):
        for i in range(1, blocks + 1):
            stride = 2 if stage > 2 and i == 1 else 1
            x = _block(x, spec, (width, growth, i == 1), stride, f"conv{stage}_{i}")
    x = layers.ReLU()(norm(x, "features.conv5_bn_ac.bn"))
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    return classify(x, spec, classes)


def _block(x, spec, row, stride, name):
    """(h, w, width + c) -> (h/stride, w/stride, width + c + growth)."""
    width, growth, project = row
    inner, kept = spec.inner * width, x
    if project:
        kept = _act_conv(x, spec, width + 2 * growth, 1, stride, name=f"{name}.c1x1_w_s{stride}")
    y = _act_conv(x, spec, inner, 1, name=f"{name}.c1x1_a")
    y = _act_conv(y, spec, inner, 3, stride, groups=spec.groups, name=f"{name}.c3x3_b")
    y = _act_conv(y, spec, width + growth, 1, name=f"{name}.c1x1_c")
    added = layers.Add()([kept[..., :width], y[..., :width]])
    return layers.Concatenate()([added, kept[..., width:], y[..., width:]])


def _act_conv(x, spec, width, kernel, stride=1, *, name, groups=1):
    """(h, w, c) -> (h/stride, w/stride, width), normalized and rectified first."""
    x = layers.ReLU()(norm(x, f"features.{name}.bn"))
    return _conv(x, spec, width, kernel, stride, groups=groups, name=f"{name}.conv")


def _conv(x, spec, width, kernel, stride=1, *, name, groups=1, drawn_stride=None):
    """(h, w, c) -> (h/stride, w/stride, width), as a Ghost module where the rule says so."""
    path = f"features.{name}"
    chosen = RULES[spec.rule](kernel, drawn_stride or stride, groups)
    if not (chosen and name.startswith(tuple(spec.ghosted))):
        return conv(x, width, kernel, stride, groups=groups, name=path)
    by = partial(conv, groups=groups)
    end = norm if spec.ghost_norm else lambda x, name: x
    return ghost(x, width, kernel, stride, name=path, by=by, end=end)
