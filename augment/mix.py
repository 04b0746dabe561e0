"""Images mixed in pairs: mixup (Zhang et al., arXiv 1710.09412), cutmix (Yun et al., 1905.04899).

    drawn = draw_mix(Mix(mixup=0.2), seed=0, epoch=3, indices=indices, n=50_000, shape=(32, 32, 3))
    mixed = apply_mix(images, images_of(drawn["partner"]), drawn)

Both papers pair images inside a batch. Here the partner of image i in epoch e is that of a
permutation of the data set drawn from (seed, epoch), so that a mixed image, like an augmented one,
is the same for any batch size, order, worker and restart.
"""

import dataclasses
import functools
import math
import numbers

import numpy as np

from augment import _draw, _uniforms


@dataclasses.dataclass(frozen=True)
class Mix:
    """Which images are mixed with another one, and how.

    Attributes:
        mixup: alpha; both images, with shares l and 1 - l, l drawn from Beta(alpha, alpha).
        cutmix: alpha; a box of the share 1 - l of the area comes from the other image. Its middle
            is drawn from all pixels; what lies outside is cut off, and l adjusted.
        probability: share of the images that are mixed; with both, half of them in each way.

    Raises:
        ValueError: neither way is given, or a value is out of its range.

    """

    mixup: float | None = None
    cutmix: float | None = None
    probability: float = 1.0

    def __post_init__(self):
        for name, most in (("mixup", math.inf), ("cutmix", math.inf), ("probability", 1)):
            value = getattr(self, name)
            if value is None and name != "probability":
                continue
            real = isinstance(value, numbers.Real) and not isinstance(value, bool)
            if not real or not 0 < value <= most or math.isinf(value):
                expected = "a number above 0" + (" up to 1" if most == 1 else "")
                raise ValueError(f"{name} of a mix must be {expected}, got {value!r}")
        if self.mixup is None and self.cutmix is None:
            raise ValueError("a mix needs mixup or cutmix: give the alpha of either or both")


def draw_mix(spec: Mix, *, seed: int, epoch: int, indices, n: int, shape) -> dict[str, np.ndarray]:
    """Draw how the images `indices` of `epoch` are mixed, on the host.

    Args:
        spec: which are mixed, and how.
        seed: whole number; streams of different seeds are unrelated.
        epoch: counts from 0.
        indices: numbers (n,) of the images in their data set.
        n: images 0 to n - 1 are mixed with each other; others are left as they are.
        shape: (height, width, channels) of one image.

    Returns:
        Arrays (n,): partner, numbers of the other images (an image's own where it is not mixed);
        weight, the share of an image's own label; blend, its share of the pixels outside of the
        box; top, left, bottom, right of the box that comes from the partner, ends left out.

    """
    from scipy.special import betaincinv

    indices = np.asarray(indices)
    first, count = _draw.COLUMNS["mix"]
    mixed, way, share, row, column = _uniforms.uniforms(
        seed, epoch, indices, np.arange(first, first + count)
    ).T
    mixed = (mixed < spec.probability) & (indices < n)
    partner = indices.copy()
    partner[mixed] = _partners(int(seed), int(epoch), int(n))[indices[mixed]]
    mixed &= partner != indices
    if spec.mixup is None or spec.cutmix is None:
        cut = mixed & (spec.mixup is None)
    else:
        cut = mixed & (way < 0.5)
    shares = {
        alpha: betaincinv(alpha, alpha, share) for alpha in (spec.mixup, spec.cutmix) if alpha
    }
    blend = np.where(mixed & ~cut, shares.get(spec.mixup, 1.0), 1.0)
    # Half of a side, in whole pixels, on either side of the middle, as in the authors' code.
    half = np.sqrt(1 - shares.get(spec.cutmix, np.ones(len(indices))))
    edges = []
    for place, side in ((row, shape[0]), (column, shape[1])):
        middle, reach = np.floor(place * side), np.floor(half * side) // 2
        edges.append([np.clip(middle + sign * reach, 0, side) * cut for sign in (-1, 1)])
    (top, bottom), (left, right) = edges
    area = (bottom - top) * (right - left) / (shape[0] * shape[1])
    drawn = {"weight": np.where(cut, 1 - area, blend), "blend": blend}
    drawn |= {"top": top, "left": left, "bottom": bottom, "right": right}
    return {"partner": partner} | {name: v.astype("float32") for name, v in drawn.items()}


@functools.lru_cache(maxsize=2)
def _partners(seed: int, epoch: int, n: int) -> np.ndarray:
    """Draw the partner (n,) of each image in an epoch, unrelated to the order of the images."""
    return _uniforms.permutation(seed, epoch, n, stream=1)
