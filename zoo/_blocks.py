"""What the architecture files share: Keras on demand, stems, padding, blocks, the two ends."""

import functools
import importlib
import math

from zoo import _kernels
from zoo._spec import Factor as Factor
from zoo._spec import Rate as Rate
from zoo._spec import Settings as Settings


class _Lazy:
    """A module that is imported at its first use, so that listing models needs no Keras."""

    def __init__(self, module: str):
        self._module = module

    def __getattr__(self, name: str):
        return getattr(importlib.import_module(self._module), name)


layers = _Lazy("keras.layers")

# Strides of a network's first two downsamplings, by stem.
STEMS = {"imagenet": (2, 2), "tiny": (1, 2), "cifar": (1, 1)}

# Table 1 of GhostNet (arXiv 1911.11907) by stage; each row: kernel, expansion width, output width,
# squeeze-excite, stride. The second stage begins with the second downsampling.
GHOST_STAGES = (
    ((3, 16, 16, False, 1),),
    ((3, 48, 24, False, 2),),
    ((3, 72, 24, False, 1),),
    ((5, 72, 40, True, 2),),
    ((5, 120, 40, True, 1),),
    ((3, 240, 80, False, 2),),
    (
        (3, 200, 80, False, 1),
        (3, 184, 80, False, 1),
        (3, 184, 80, False, 1),
        (3, 480, 112, True, 1),
        (3, 672, 112, True, 1),
    ),
    ((5, 672, 160, True, 2),),
    (
        (5, 960, 160, False, 1),
        (5, 960, 160, True, 1),
        (5, 960, 160, False, 1),
        (5, 960, 160, True, 1),
    ),
)

# Mean and deviation of CIFAR-10 by channel, as its networks' authors subtract and divide by.
CIFAR = {
    "mean": tuple(x / 255 for x in (125.3, 123.0, 113.9)),
    "std": tuple(x / 255 for x in (63.0, 62.1, 66.7)),
}


def auto_stem(shape: tuple[int, int, int]) -> str:
    """Stem for images of (height, width, channels): the smaller they are, the less it shrinks."""
    side = min(shape[:2])
    return "cifar" if side <= 40 else "tiny" if side <= 96 else "imagenet"


def normalize(images, spec):
    """Bring raw pixels 0..255 to (x / 255 - mean) / std in float32; one channel gets averages."""
    mean, std = spec.mean, spec.std
    if images.shape[-1] == 1:
        mean, std = [sum(mean) / len(mean)], [sum(std) / len(std)]
    return layers.Rescaling(
        scale=[1 / (255 * s) for s in std],
        offset=[-m / s for m, s in zip(mean, std, strict=True)],
        dtype="float32",
        name="normalize",
    )(images)


def layer_name(path: str) -> str:
    """Return the Keras name of the layer at a path in the reference: PyTorch takes no dots."""
    return path.replace(".", "-")


def conv(x, filters: int, kernel: int, stride: int = 1, *, name: str, **options):
    """(h, w, c) -> (h/stride, w/stride, filters), without bias, padded and drawn as in PyTorch."""
    uniform = variance_scaling(1 / 3, "fan_in", "uniform")
    options = {"use_bias": False, "kernel_initializer": uniform, **options}
    x, padding = _padded(x, kernel, stride)
    make = layers.Conv2D if options.get("groups", 1) == 1 else _kernels.conv2d()
    layer = make(filters, kernel, stride, padding, name=layer_name(name), **options)
    return layer(x)


def he_conv(x, filters: int, kernel: int, stride: int = 1, *, name: str, **options):
    """Like `conv`, drawn by He's rule from the fan-out, as the residual networks are."""
    he_normal = variance_scaling(2.0, "fan_out", "untruncated_normal")
    return conv(x, filters, kernel, stride, name=name, kernel_initializer=he_normal, **options)


def max_pool(x):
    """(h, w, c) -> (h/2, w/2, c) over 3x3; padded with zeros, so for x >= 0 alone."""
    return layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))


def depthwise(x, kernel: int | tuple[int, int], stride: int = 1, *, name: str, **options):
    """(h, w, c) -> (h/stride, w/stride, c), one filter per channel, without bias.

    A kernel of two sizes, height and width, needs stride 1.
    """
    uniform = variance_scaling(1 / 3, "fan_out", "uniform")  # of a kernel (k, k, c, 1): k * k
    options = {"use_bias": False, "depthwise_initializer": uniform, **options}
    x, padding = _padded(x, kernel, stride)
    return layers.DepthwiseConv2D(kernel, stride, padding, name=layer_name(name), **options)(x)


def _padded(x, kernel: int, stride: int) -> tuple:
    """Pad as PyTorch does with padding=kernel // 2; returns x and the padding that is left to do.

    Keras' `same` pads more at the bottom and right where the stride is 2 and the size even.
    """
    if stride == 1:
        return x, "same"
    return (layers.ZeroPadding2D(kernel // 2)(x) if kernel > 1 else x), "valid"


def norm(x, name: str, **options):
    """Normalize the batch, with PyTorch's constants unless others are given."""
    options = {"momentum": 0.9, "epsilon": 1e-5, **options}
    return _kernels.batch_normalization()(name=layer_name(name), **options)(x)


def conv_norm(
    x, width: int, kernel, stride: int = 1, *, name: str, parts=("conv", "bn"), by=conv, **options
):
    """(h, w, c) -> (h/stride, w/stride, width), normalized; `parts` end the names of the layers."""
    x = by(x, width, kernel, stride, name=f"{name}.{parts[0]}", **options)
    return norm(x, f"{name}.{parts[1]}")


def norm_relu(x, name: str):
    """Normalize and rectify."""
    return layers.ReLU()(norm(x, name))


def ghost(
    x, width: int, kernel: int = 1, stride: int = 1, *, name: str, ratio: int = 2, by=conv, end=norm
):
    """(h, w, c) -> (h/stride, w/stride, width): GhostNet's module, section 3.1 of its paper.

    One of `ratio` maps comes from a convolution, the others from cheap filters on those maps;
    `end(x, name)` follows both.
    """
    primary = by(x, -(-width // ratio), kernel, stride, name=f"{name}.primary_conv.0")
    primary = end(primary, f"{name}.primary_conv.1")
    cheap = depthwise(primary, 3, name=f"{name}.cheap_operation.0", depth_multiplier=ratio - 1)
    cheap = end(cheap, f"{name}.cheap_operation.1")
    maps = layers.Concatenate()([primary, cheap])
    return maps if maps.shape[-1] == width else maps[..., :width]


def gelu(x):
    """Activate by the exact GELU, which trains as one kernel each way on TensorFlow."""
    return _kernels.activation()("gelu")(x)


def squeeze_excite(x, width: int, activation, gate, *, names: tuple[str, str], by=conv):
    """(h, w, c) -> (h, w, c), each channel scaled by a gate that sees all of them.

    `width` is the squeezed one, `activation` and `gate` are layers, `names` of the convolutions.
    """
    y = layers.GlobalAveragePooling2D(keepdims=True)(x)
    y = activation(by(y, width, 1, name=names[0], use_bias=True))
    y = gate(by(y, x.shape[-1], 1, name=names[1], use_bias=True))
    return layers.Multiply()([x, y])


def dense(x, width: int, *, name: str, **options):
    """(features) -> (width)."""
    glorot = variance_scaling(1.0, "fan_avg", "uniform")
    return layers.Dense(width, kernel_initializer=glorot, name=layer_name(name), **options)(x)


def classify(pooled, spec, classes: int | None, name: str = "logits"):
    """(features) -> (classes) in float32; for classes=None the features themselves.

    `name` is another than `logits` where more follows on the scores: see `classifier`.
    """
    if classes is None:
        return pooled
    if rate := getattr(spec, spec.head_dropout):
        pooled = layers.Dropout(rate)(pooled)
    return dense(pooled, classes, name=name, dtype="float32")


def classifier(names) -> str:
    """Say which layer has the classifier's weights: `logits`, or what `logits` is made of."""
    return "logits_map" if "logits_map" in names else "logits"


def nearest_multiple(width: float, multiple: int) -> int:
    """Return the nearest multiple that is not more than a tenth below the width."""
    nearest = max(multiple, int(width + multiple / 2) // multiple * multiple)
    return nearest if nearest >= 0.9 * width else nearest + multiple


def variance_scaling(scale: float, mode: str, distribution: str):
    """Return Keras' initializer VarianceScaling, drawing with NumPy.

    So one seed (`keras.utils.set_random_seed`) gives the same weights on every backend, and JAX
    need not compile a generator for each shape (20 s for a GhostNet on two cores).
    """
    return host_objects()["VarianceScaling"](scale, mode, distribution)


@functools.cache
def identity():
    """Return an initializer for convolutions: as many filters as there are maps pass these on.

    The others are drawn as by `conv`. It is saved as, and loads as, Keras' VarianceScaling.
    """
    import keras
    import numpy as np

    class VarianceScaling(host_objects()["VarianceScaling"]):
        def __call__(self, shape, dtype=None):
            kernel = np.array(keras.ops.convert_to_numpy(super().__call__(shape, dtype)))
            passed = range(min(shape[-2:]))
            kernel[..., : len(passed)] = 0
            kernel[shape[0] // 2, shape[1] // 2, passed, passed] = 1
            return keras.ops.convert_to_tensor(kernel, dtype)

    return VarianceScaling(1 / 3, "fan_in", "uniform")


@functools.cache
def host_objects() -> dict:
    """Return what `custom_objects` needs to build saved layers as fast; they load without it."""
    import keras
    import numpy as np

    class VarianceScaling(keras.initializers.VarianceScaling):
        __module__ = "keras.initializers"  # so that it is saved as, and loads as, the class above

        def __call__(self, shape, dtype=None):
            rng = np.random.default_rng(self.seed)
            fan_in, fan_out = math.prod(shape[:-1]), math.prod(shape[:-2]) * shape[-1]
            fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
            deviation = math.sqrt(self.scale / fans[self.mode])
            if self.distribution == "uniform":
                draw = math.sqrt(3) * (2 * rng.random(shape, dtype="float32") - 1)
            else:
                draw = rng.standard_normal(shape, dtype="float32")
            if self.distribution == "truncated_normal":  # at two deviations, which shrinks them
                while (out := abs(draw) > 2).any():
                    draw[out] = rng.standard_normal(out.sum(), dtype="float32")
                draw /= 0.87962566103423978
            return keras.ops.convert_to_tensor(deviation * draw, dtype)

    return {
        "VarianceScaling": VarianceScaling,
        "Conv2D": _kernels.conv2d(),
        "Activation": _kernels.activation(),
        "BatchNormalization": _kernels.batch_normalization(),
    }
