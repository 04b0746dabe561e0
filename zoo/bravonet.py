"""BravoNet: the pre-activation ResNet of qubvel's classification_models on small images.

Source: AlphaNet, BravoNet and the AlphaStack, table of models; units after He et al., Identity
Mappings in Deep Residual Networks (arXiv 1603.05027). What differs from other ResNets: the data
pass a batch normalization without gamma, the first unit of all four stages projects its activated
input, nothing follows an addition. The paper kept the library's 7x7 stem at 64 pixels, so that is
the default here.
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
    layers,
    norm,
    normalize,
    variance_scaling,
)

WIDTHS = (64, 128, 256, 512)


@dataclass(frozen=True, kw_only=True)
class Spec(Settings):
    """Units per stage and their kind."""

    stem: str | None = "imagenet"
    units: tuple[int, int, int, int] = (2, 2, 2, 2)
    bottleneck: bool = False
    dropout: Rate = 0.0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[Factor, ...] = (1.0, 1.0, 1.0)


_bravonet = partial(Spec, parameters=11_281_547, macs=149_196_800)

VARIANTS = {
    "bravonet": _bravonet(),
    "bravonet_v1": _bravonet(
        input_shape=(72, 72, 3),
        macs=231_791_616,
        macs_64=149_196_800,
        notes="bravonet at 72 pixels.",
    ),
    "bravonet_v2": _bravonet(notes="The network of bravonet; the row names another training."),
    "bravonet_v3": _bravonet(notes="The network of bravonet; the row names another training."),
    "qubvel_resnet34": Spec(units=(3, 4, 6, 3), parameters=21_389_707, macs=300_191_744),
    "qubvel_resnet50": Spec(
        units=(3, 4, 6, 3), bottleneck=True, parameters=23_910_283, macs=334_053_376
    ),
}

TINY = {"name": "bravonet", "units": (2, 1, 1, 1)}


def build(spec, inputs, classes):
    """(h, w, c) in 0..255 -> logits, or features where classes is None."""
    first, second = STEMS[spec.stem]
    unit = _bottleneck if spec.bottleneck else _basic
    x = normalize(inputs, spec)
    x = _norm(x, "bn_data", scale=False)
    x = _conv(x, 64, 7, first, name="conv0")
    x = layers.ReLU()(_norm(x, "bn0"))
    if second == 2:
        x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))
    for stage, (units, width) in enumerate(zip(spec.units, WIDTHS, strict=True), start=1):
        for i in range(units):
            stride = 2 if stage > 1 and i == 0 else 1
            x = unit(x, width, stride, project=i == 0, name=f"stage{stage}_unit{i + 1}")
    x = layers.ReLU()(_norm(x, "bn1"))
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    return classify(x, spec, classes)


def _basic(x, width, stride, project, name):
    """(h, w, c) -> (h/stride, w/stride, width)."""
    y = layers.ReLU()(_norm(x, f"{name}_bn1"))
    shortcut = _conv(y, width, 1, stride, name=f"{name}_sc") if project else x
    y = _conv(y, width, 3, stride, name=f"{name}_conv1")
    y = layers.ReLU()(_norm(y, f"{name}_bn2"))
    y = _conv(y, width, 3, name=f"{name}_conv2")
    return layers.Add()([y, shortcut])


def _bottleneck(x, width, stride, project, name):
    """(h, w, c) -> (h/stride, w/stride, 4 width)."""
    y = layers.ReLU()(_norm(x, f"{name}_bn1"))
    shortcut = _conv(y, 4 * width, 1, stride, name=f"{name}_sc") if project else x
    y = _conv(y, width, 1, name=f"{name}_conv1")
    y = layers.ReLU()(_norm(y, f"{name}_bn2"))
    y = _conv(y, width, 3, stride, name=f"{name}_conv2")
    y = layers.ReLU()(_norm(y, f"{name}_bn3"))
    y = _conv(y, 4 * width, 1, name=f"{name}_conv3")
    return layers.Add()([y, shortcut])


def _conv(x, width, kernel, stride=1, *, name):
    he_uniform = variance_scaling(2.0, "fan_in", "uniform")
    return conv(x, width, kernel, stride, name=name, kernel_initializer=he_uniform)


def _norm(x, name, **options):
    return norm(x, name, momentum=0.99, epsilon=2e-5, **options)
