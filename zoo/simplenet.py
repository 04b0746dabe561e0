"""SimpleNet: thirteen plain convolutions and a global maximum.

Hasanpour et al., Let's Keep It Simple (arXiv 1608.06037), table 1, as its author's PyTorch files
build it (Coderx7/SimpleNet_Pytorch), whose tensor names are kept. Dropout is elementwise, as in the
Caffe files that trained the paper's networks, and behind a pooling layer where there is one; the
PyTorch files leave its rate at zero.
"""

from dataclasses import dataclass
from functools import partial

from zoo._blocks import (
    CIFAR,
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

ONE_BY_ONE = (3,) * 10 + (1, 1, 3)


@dataclass(frozen=True, kw_only=True)
class Spec(Settings):
    """Per layer: filters, kernels, which have stride 2, which are followed by 2x2 max pooling."""

    stem: str | None = None
    filters: tuple[int, ...]
    scale: Factor = 1.0
    kernels: tuple[int, ...] = ONE_BY_ONE
    strided: tuple[int, ...] = ()
    """Numbers of the layers, from 1, as in the paper's table."""
    pooled: tuple[int, ...]
    dropout_everywhere: bool
    """Dropout also between a layer and its pooling, and after the last layer."""
    conv_dropout: Rate = 0.0
    dropout: Rate = 0.0

    def __post_init__(self):
        if len(self.filters) != len(self.kernels):
            raise ValueError(
                f"filters={self.filters} and kernels={self.kernels} must be of one length: give "
                "both."
            )
        if round(min(self.filters) * self.scale) < 1:
            raise ValueError(f"scale={self.scale} leaves no maps of filters={self.filters}.")


_cifar = partial(
    Spec,
    input_shape=(32, 32, 3),
    classes=10,
    pooled=(4, 7, 9, 12),
    dropout_everywhere=False,
    conv_dropout=0.2,
    **CIFAR,
)
_imagenet = partial(
    Spec,
    filters=(64, 128, 128, 128, 128, 128, 256, 256, 256, 512, 2048, 256, 256),
    pooled=(6, 10),
    dropout_everywhere=True,
)
_9m = partial(
    _imagenet,
    filters=(128, 192, 192, 192, 192, 192, 320, 320, 320, 640, 2560, 320, 320),
    parameters=9_508_968,
)
M1, M2 = (1, 2, 3), (1, 2, 4)

VARIANTS = {
    "simplenet_cifar_5m": _cifar(
        filters=(64, 128, 128, 128, 128, 128, 256, 256, 256, 512, 2048, 256, 256),
        parameters=5_498_378,
        macs=652_151_296,
        macs_64=2_608_597_504,
    ),
    "simplenet_cifar_310k": _cifar(
        filters=(64, 32, 32, 32, 32, 32, 64, 64, 64, 128, 256, 64, 64),
        parameters=312_362,
        macs=55_788_160,
        macs_64=223_150_720,
    ),
    "simplenet_cifar_460k": _cifar(
        filters=(32, 32, 32, 64, 64, 64, 64, 64, 64, 96, 96, 96, 100),
        parameters=385_790,
        macs=73_189_864,
        macs_64=292_756_456,
        notes="The PyTorch file; the paper's 460 k network has kernels 3, 3, 1 in layers 11 to 13.",
    ),
    "simplenetv1_small_m1_05": _imagenet(
        scale=0.5, strided=M1, parameters=1_506_792, macs=340_923_392, macs_64=27_948_032
    ),
    "simplenetv1_small_m2_05": _imagenet(
        scale=0.5, strided=M2, parameters=1_506_792, macs=427_627_520, macs_64=35_025_920
    ),
    "simplenetv1_small_m1_075": _imagenet(
        scale=0.75, strided=M1, parameters=3_287_272, macs=758_853_120, macs_64=62_123_520
    ),
    "simplenetv1_small_m2_075": _imagenet(
        scale=0.75, strided=M2, parameters=3_287_272, macs=953_937_408, macs_64=78_048_768
    ),
    "simplenetv1_5m_m1": _imagenet(
        strided=M1, parameters=5_752_808, macs=1_341_761_536, macs_64=109_766_656
    ),
    "simplenetv1_5m_m2": _imagenet(
        strided=M2, parameters=5_752_808, macs=1_688_578_048, macs_64=138_078_208
    ),
    "simplenetv1_9m_m1": _9m(strided=M1, macs=2_774_249_984, macs_64=226_763_264),
    "simplenetv1_9m_m2": _9m(strided=M2, macs=3_554_587_136, macs_64=290_464_256),
}

TINY = {"name": "simplenet_cifar_310k"}


def build(spec, inputs, classes):
    """(h, w, c) in 0..255 -> logits, or features where classes is None."""
    x = normalize(inputs, spec)
    slot = 0  # the reference numbers every module, dropout of rate zero included
    last = len(spec.filters)
    for i, (filters, kernel) in enumerate(zip(spec.filters, spec.kernels, strict=True), start=1):
        stride, pool = 2 if i in spec.strided else 1, i in spec.pooled
        x = _layer(x, round(filters * spec.scale), kernel, stride, slot)
        slot += 3
        if spec.dropout_everywhere or not (pool or i == last):
            x = layers.Dropout(spec.conv_dropout)(x)
            slot += 1
        if pool:  # (h, w, c) -> (h // 2, w // 2, c)
            x = layers.Dropout(spec.conv_dropout)(layers.MaxPooling2D(2)(x))
            slot += 2
    x = layers.GlobalMaxPooling2D(name="pooled")(x)
    return classify(x, spec, classes)


def _layer(x, filters, kernel, stride, slot):
    """(h, w, c) -> (h/stride, w/stride, filters)."""
    xavier = variance_scaling(2.0, "fan_avg", "uniform")  # with the gain of ReLU
    options = {"use_bias": True, "kernel_initializer": xavier}
    x = conv(x, filters, kernel, stride, name=f"features.{slot}", **options)
    return layers.ReLU()(norm(x, f"features.{slot + 1}", momentum=0.95))
