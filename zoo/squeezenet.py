"""SqueezeNet: fire modules squeeze maps by 1x1 convolutions and expand them by 1x1 and 3x3.

Iandola et al., SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size
(arXiv 1602.07360), table 1, and its authors' version 1.1, as torchvision has both, whose names and
initial weights are kept. The stem is not padded, the pools round sizes up, and four downsamplings
instead of five leave larger maps than in other networks.

The classifier stands in front of the global pooling: it scores every position, and the rectified
scores are averaged. So its weights are in a layer `logits_map`, and `pooled`, which is what the
pooling yields, is `logits` itself; where the classifier is left out, the average of the last maps.
"""

from dataclasses import dataclass

from zoo._blocks import STEMS, Rate, Settings, conv, layer_name, layers, normalize, variance_scaling


@dataclass(frozen=True, kw_only=True)
class Spec(Settings):
    """Stem, widths of the squeezes, and where the pools are."""

    stem_width: int = 64
    stem_kernel: int = 3
    squeezes: tuple[int, ...] = (16, 16, 32, 32, 48, 48, 64, 64)
    """Maps of each fire module's first convolution; the other two have four times as many."""
    pools: tuple[int, ...] = ()
    """Fire modules that a pool follows, numbered from 2 as in table 1."""
    dropout: Rate = 0.5

    def __post_init__(self):
        last = 1 + len(self.squeezes)
        if not set(self.pools) <= set(range(2, last + 1)):
            raise ValueError(f"pools={self.pools} must be fire modules, from 2 to {last}.")


VARIANTS = {
    "squeezenet1_0": Spec(
        stem_width=96,
        stem_kernel=7,
        pools=(4, 8),
        parameters=1_248_424,
        macs=818_924_576,
        macs_64=229_035_648,
    ),
    "squeezenet1_1": Spec(
        pools=(3, 5), parameters=1_235_496, macs=349_151_936, macs_64=104_963_840
    ),
}

TINY = {"name": "squeezenet1_1"}


def build(spec, inputs, classes):
    """(h, w, c) in 0..255 -> logits, or features where classes is None."""
    first, second = STEMS[spec.stem]
    x = normalize(inputs, spec)
    options = {"kernel_initializer": _he_uniform(), "name": layer_name("features.0")}
    x = layers.Conv2D(spec.stem_width, spec.stem_kernel, first, **options)(x)
    x = layers.ReLU()(x)
    x = _pool(x) if second == 2 else x
    slot = 3  # the reference numbers convolution, ReLU and pools too
    for fire, width in enumerate(spec.squeezes, start=2):
        x = _fire(x, width, f"features.{slot}")
        slot += 1
        if fire in spec.pools:
            x = _pool(x)
            slot += 1
    if classes is None:
        return layers.GlobalAveragePooling2D(name="pooled")(x)
    return _classify(x, spec, classes)


def _fire(x, width, name):
    """(h, w, c) -> (h, w, 8 width)."""
    x = _conv(x, width, 1, f"{name}.squeeze")
    ones = _conv(x, 4 * width, 1, f"{name}.expand1x1")
    threes = _conv(x, 4 * width, 3, f"{name}.expand3x3")
    return layers.Concatenate()([ones, threes])


def _conv(x, width, kernel, name):
    """(h, w, c) -> (h, w, width), rectified."""
    options = {"use_bias": True, "kernel_initializer": _he_uniform()}
    return layers.ReLU()(conv(x, width, kernel, name=name, **options))


def _pool(x):
    """(h, w, c) -> (h // 2, w // 2, c) over 3x3; even sizes get a last row or column of zeros."""
    height, width = x.shape[1:3]
    x = layers.ZeroPadding2D(((0, 1 - height % 2), (0, 1 - width % 2)))(x)
    return layers.MaxPooling2D(3, 2)(x)


def _classify(x, spec, classes):
    """(h, w, c) -> (classes) in float32."""
    x = layers.Dropout(spec.dropout)(x) if spec.dropout else x
    normal = variance_scaling(0.01**2 * x.shape[-1], "fan_in", "untruncated_normal")
    options = {"kernel_initializer": normal, "dtype": "float32", "name": "logits_map"}
    x = layers.Dense(classes, **options)(x)  # a 1x1 convolution
    x = layers.ReLU(dtype="float32")(x)
    x = layers.GlobalAveragePooling2D(dtype="float32", name="pooled")(x)
    return layers.Activation("linear", dtype="float32", name="logits")(x)


def _he_uniform():
    return variance_scaling(2.0, "fan_in", "uniform")
