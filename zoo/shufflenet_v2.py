"""ShuffleNet V2: units that transform half of the maps and then shuffle both halves together.

Ma et al., ShuffleNet V2 (arXiv 1807.11164), table 5, in the form of torchvision, whose stages count
from 2 as the paper's do. The shuffle ends a unit, so that the next one splits mixed halves.
"""

from dataclasses import dataclass

from zoo._blocks import (
    STEMS,
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
    """Width of the first stage, which later stages double each, and of the last convolution."""

    width: int
    stem_width: int = 24
    head_width: int = 1024
    units: tuple[int, int, int] = (4, 8, 4)
    dropout: Rate = 0.0

    def __post_init__(self):
        if self.width % 2:
            raise ValueError(f"width={self.width} must be even: a unit splits it into halves.")


VARIANTS = {
    "shufflenet_v2_x0_5": Spec(width=48, parameters=1_366_792, macs=40_476_448, macs_64=13_906_432),
    "shufflenet_v2_x1_0": Spec(
        width=116, parameters=2_278_604, macs=144_907_992, macs_64=48_006_528
    ),
    "shufflenet_v2_x1_5": Spec(
        width=176, parameters=3_503_624, macs=295_759_392, macs_64=97_264_128
    ),
    "shufflenet_v2_x2_0": Spec(
        width=244, head_width=2048, parameters=7_393_996, macs=583_253_464, macs_64=191_829_376
    ),
}

TINY = {"name": "shufflenet_v2_x0_5", "units": (2, 1, 1)}


def build(spec, inputs, classes):
    """(h, w, c) in 0..255 -> logits, or features where classes is None."""
    first, second = STEMS[spec.stem]
    x = normalize(inputs, spec)
    x = _conv(x, spec.stem_width, 3, first, path="conv1")
    x = max_pool(x) if second == 2 else x
    for stage, units in enumerate(spec.units, start=2):
        x = _strided_unit(x, spec.width * 2 ** (stage - 2), f"stage{stage}.0")
        for i in range(1, units):
            x = _unit(x, f"stage{stage}.{i}")
    x = _conv(x, spec.head_width, 1, path="conv5")
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    return classify(x, spec, classes)


def _unit(x, name):
    """(h, w, c) -> (h, w, c); the first half of the maps passes unchanged."""
    half = x.shape[-1] // 2
    return _shuffle(x[..., :half], _branch(x[..., half:], half, 1, f"{name}.branch2"))


def _strided_unit(x, width, name):
    """(h, w, c) -> (h/2, w/2, width); each half of the maps sees the whole input."""
    y = _depthwise(x, 2, path=f"{name}.branch1")
    y = _conv(y, width // 2, 1, path=f"{name}.branch1", index=2)
    return _shuffle(y, _branch(x, width // 2, 2, f"{name}.branch2"))


def _branch(x, width, stride, path):
    """(h, w, c) -> (h/stride, w/stride, width)."""
    x = _conv(x, width, 1, path=path)
    x = _depthwise(x, stride, path=path, index=3)
    return _conv(x, width, 1, path=path, index=5)


def _shuffle(x, y):
    """Two of (h, w, c) -> (h, w, 2 c), their maps in turns."""
    *size, width = x.shape[1:]
    x = layers.Concatenate()([x, y])
    x = layers.Reshape((*size, 2, width))(x)
    x = layers.Permute((1, 2, 4, 3))(x)
    return layers.Reshape((*size, 2 * width))(x)


def _conv(x, width, kernel, stride=1, *, path, index=0):
    """(h, w, c) -> (h/stride, w/stride, width), normalized under the next index and rectified."""
    parts = (index, index + 1)
    return layers.ReLU()(conv_norm(x, width, kernel, stride, name=path, parts=parts))


def _depthwise(x, stride, *, path, index=0):
    """(h, w, c) -> (h/stride, w/stride, c), normalized under the next index."""
    return norm(depthwise(x, 3, stride, name=f"{path}.{index}"), f"{path}.{index + 1}")
