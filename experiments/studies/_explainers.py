"""Methods that say where a network looks: a class's logit, and what of the image it comes from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from experiments.studies._networks import BATCH, GRADIENT, Network

if TYPE_CHECKING:
    import keras


# What is put where a pixel is taken away: (n, h, w, c) float -> (n, 1, 1, c).
FILLS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "black": lambda images: np.zeros_like(images[:, :1, :1]),
    "white": lambda images: np.full_like(images[:, :1, :1], 255),
    "mean": lambda images: images.mean(axis=(1, 2), keepdims=True),
}
# Rules of numerical integration over [0, 1]: steps -> (places, weights).
RULES: dict[str, Callable[[int], tuple[np.ndarray, np.ndarray]]] = {
    "midpoint": lambda steps: ((np.arange(steps) + 0.5) / steps, np.full(steps, 1 / steps)),
    "trapezoid": lambda steps: (
        np.arange(steps + 1) / steps,
        np.r_[0.5, np.ones(steps - 1), 0.5] / steps,
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What the methods can be told.

    `layer`: whose maps Grad-CAM takes (none: the last ones, `augment.maps_of`). `samples`, `noise`:
    of SmoothGrad, whose noise has this share of the image's range as its deviation. `steps`,
    `rule`, `baseline`: of integrated gradients. `patch`, `stride`: pixels that occlusion covers and
    goes on by (none: a quarter of the shorter side, and half a patch); `fill`: with what. Raises
    ValueError for what is no number or rule of these.
    """

    layer: str | None = None
    samples: int = 10
    noise: float = 0.15
    steps: int = 16
    rule: str = "midpoint"
    baseline: str = "black"
    patch: int | None = None
    stride: int | None = None
    fill: str = "mean"
    seed: int = 0

    def __post_init__(self):
        for name in ("samples", "steps", "patch", "stride"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name}={value}: give a whole number of 1 or more")
        if not 0 < self.noise <= 1:
            raise ValueError(f"noise={self.noise}: give a share of the image's range, 0 to 1")
        for name, table in (("rule", RULES), ("baseline", FILLS), ("fill", FILLS)):
            if (value := getattr(self, name)) not in table:
                raise ValueError(f"{name}={value!r}: give one of {', '.join(table)}")

    def patches(self, height: int, width: int) -> tuple[int, list[tuple[int, int]]]:
        """Return the side of occlusion's patch and its upper left corners, which cover all."""
        patch = self.patch or max(1, min(height, width) // 4)
        if patch > min(height, width):
            raise ValueError(f"patch={patch}: images are {width}x{height}, give less")
        stride = self.stride or max(1, patch // 2)
        if stride > patch:
            raise ValueError(
                f"stride={stride}: pixels between patches of {patch} are never covered"
            )

        def starts(side: int) -> list[int]:
            return sorted({*range(0, side - patch, stride), side - patch})

        return patch, [(y, x) for y in starts(height) for x in starts(width)]


# Attributions: (network, images, classes, options) -> (n, h, w, c), or (n, h, w), signed ----------


def _gradient(network, images, classes, options):
    return network.gradient(images, classes)


def _smoothgrad(network, images, classes, options):
    images = np.asarray(images, np.float32)
    spread = options.noise * np.ptp(images, axis=(1, 2, 3), keepdims=True)
    draws = [np.random.default_rng((options.seed, number)) for number in range(len(images))]
    total = np.zeros_like(images)
    for _ in range(options.samples):
        noise = np.stack([rng.standard_normal(images.shape[1:], np.float32) for rng in draws])
        total += network.gradient(images + spread * noise, classes)
    return total / options.samples


def _integrated(network, images, classes, options):
    images = np.asarray(images, np.float32)
    begin = FILLS[options.baseline](images)
    total = np.zeros_like(images)
    for place, weight in zip(*RULES[options.rule](options.steps), strict=True):
        total += np.float32(weight) * network.gradient(
            begin + np.float32(place) * (images - begin), classes
        )
    return total * (images - begin)


def _gradcam(network, images, classes, options):
    """Weight maps by the mean of their gradient; where several layers have some, sum them up.

    So a stack's map is that of its logit: each member's maps count by what the head makes of them.
    """
    height, width = images.shape[1:3]
    total = np.zeros((len(images), height, width), np.float32)
    for maps, gradient in network.map_gradient(images, classes):
        weights = gradient.mean(axis=(1, 2), keepdims=True)
        total += enlarged((weights * maps).sum(axis=3), (height, width))
    return total


def _occlusion(network, images, classes, options):
    """Fall of the class's logit, at each pixel the mean over the patches that cover it."""
    images = np.asarray(images, np.float32)
    patch, corners = options.patches(*images.shape[1:3])
    fill, rows = FILLS[options.fill](images), np.arange(len(images))
    before = network.logits(images)[rows, classes]
    falls, counts = np.zeros(images.shape[:3], np.float32), np.zeros(images.shape[1:3], np.float32)
    for y, x in corners:
        covered = images.copy()
        covered[:, y : y + patch, x : x + patch] = fill
        fall = before - network.logits(covered)[rows, classes]
        falls[:, y : y + patch, x : x + patch] += fall[:, None, None]
        counts[y : y + patch, x : x + patch] += 1
    return falls / counts


def strength(found: np.ndarray) -> np.ndarray:
    """Return how strongly each pixel counts, either way: the largest of its channels."""
    return np.abs(found).max(axis=3)


def support(found: np.ndarray) -> np.ndarray:
    """Return what speaks for the class: the sum over a pixel's channels where it is positive."""
    return np.maximum(found.sum(axis=3) if found.ndim == 4 else found, 0)


class Method(NamedTuple):
    """A method: its name, what it does, how attributions become a map, what an image costs."""

    title: str
    about: str
    attribute: Callable[..., np.ndarray]
    reduce: Callable[[np.ndarray], np.ndarray]
    passes: Callable[[Options, tuple[int, int]], int]
    """(options, (height, width)) -> passes forward of one image."""
    complete: bool = False
    """Whether attributions sum to the difference of the logits of image and baseline."""


METHODS = {
    "gradient": Method(
        "Gradient",
        "gradient of the class's logit by the pixels, the largest of the channels "
        "(Simonyan et al., arXiv 1312.6034)",
        _gradient,
        strength,
        lambda options, sides: GRADIENT,
    ),
    "smoothgrad": Method(
        "SmoothGrad",
        "mean gradient over {samples} noisy images, deviation {noise:g} of the image's range "
        "(Smilkov et al., arXiv 1706.03825)",
        _smoothgrad,
        strength,
        lambda options, sides: GRADIENT * options.samples,
    ),
    "integrated": Method(
        "Integrated gradients",
        "gradient along the way from a {baseline} image, {steps} steps ({rule}), what speaks for "
        "the class (Sundararajan et al., arXiv 1703.01365)",
        _integrated,
        support,
        lambda options, sides: GRADIENT * len(RULES[options.rule](options.steps)[0]),
        complete=True,
    ),
    "gradcam": Method(
        "Grad-CAM",
        "maps weighted by the mean of the logit's gradient, what speaks for the class (Selvaraju "
        "et al., arXiv 1610.02391); of a stack the sum over its members' maps by the stack's logit",
        _gradcam,
        support,
        lambda options, sides: GRADIENT,
    ),
    "occlusion": Method(
        "Occlusion",
        "fall of the class's logit where a patch is covered ({fill}), what speaks for the class "
        "(Zeiler and Fergus, arXiv 1311.2901)",
        _occlusion,
        support,
        lambda options, sides: 1 + len(options.patches(*sides)[1]),
    ),
}


def attributions(
    network: Network | keras.Model,
    images: np.ndarray,
    classes: np.ndarray,
    method: str,
    options: Options | None = None,
) -> np.ndarray:
    """Return what a method attributes to each pixel of images (n, h, w, c), raw pixels 0..255.

    Signed, of the logit of `classes` (n,): (n, h, w, c) of methods on gradients, (n, h, w) of
    Grad-CAM and occlusion. A model compiles anew in each call: give a `Network` for many. Raises
    ValueError for an unknown method, and for images, classes or a model that do not fit.
    """
    check(method)
    options = options or Options()
    if not isinstance(network, Network):
        network = Network(network, layer=options.layer, batch_size=min(BATCH, len(images)))
    network.check(images, classes, "classes")
    return METHODS[method].attribute(network, images, classes, options)


def maps(
    network: Network | keras.Model,
    images: np.ndarray,
    classes: np.ndarray,
    method: str,
    options: Options | None = None,
) -> np.ndarray:
    """Return where the network looks: (n, h, w) float32 of 0 or more; see `attributions`."""
    found = attributions(network, images, classes, method, options)
    return METHODS[method].reduce(found).astype(np.float32)


def incompleteness(
    network: Network, images: np.ndarray, classes: np.ndarray, found: np.ndarray, options: Options
) -> np.ndarray:
    """Return by which share (n,) of the difference of logits the sums of attributions are off."""
    images, rows = np.asarray(images, np.float32), np.arange(len(images))
    begin = np.broadcast_to(FILLS[options.baseline](images), images.shape)
    difference = (network.logits(images) - network.logits(begin))[rows, classes]
    sums = found.sum(axis=(1, 2, 3), dtype=np.float64)
    return np.abs(sums - difference) / np.maximum(np.abs(difference), 1e-9)


def check(*methods: str) -> None:
    """Raise ValueError for a method that there is not."""
    for method in methods:
        if method not in METHODS:
            raise ValueError(f"method {method!r}: give some of {', '.join(METHODS)}")


def enlarged(found: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return maps (n, h, w) at (height, width), bilinear between the middles of positions."""
    if found.shape[1:] == size:
        return found
    how = {"size": size[::-1], "resample": Image.Resampling.BILINEAR}
    return np.stack(
        [np.asarray(Image.fromarray(one.astype(np.float32)).resize(**how)) for one in found]
    )
