"""How far one set of images is from another, by features of a network: KID and Frechet distance.

Neither is the published FID or KID, which are those of one network, Inception-V3 as TensorFlow had
it in 2015: numbers of two networks, or of two numbers of images, cannot be compared. What is real
is therefore measured beside what is generated, by the same features.
"""

from typing import NamedTuple

import numpy as np

SUBSET, SUBSETS = 1000, 100


class Kid(NamedTuple):
    """Mean and standard deviation over subsets."""

    mean: float
    std: float


def kid(
    one: np.ndarray,
    other: np.ndarray,
    *,
    subset: int = SUBSET,
    subsets: int = SUBSETS,
    seed: int = 0,
) -> Kid:
    """Return the kernel distance of two sets of features, (n, d) and (m, d).

    It is the squared maximum mean discrepancy of the kernel (x . y / d + 1)^3, estimated without
    bias: two sets of one distribution have 0 on average, and may fall below. Estimated on `subsets`
    pairs of `subset` rows each, drawn by the seed without repeats within one. Source: Binkowski et
    al., "Demystifying MMD GANs", ICLR 2018, section 4.
    Raises ValueError for features that do not fit or are not finite, and subsets that are larger
    than a set or hold less than two.
    """
    one, other = _checked(one, other)
    least = min(len(one), len(other))
    if not 2 <= subset <= least:
        raise ValueError(
            f"subsets of {subset} images (--subset), and one set has {least}: give at least 2 and "
            f"at most {least}, or more images (--images)"
        )
    if subsets < 1:
        raise ValueError(f"subsets={subsets}: give 1 or more")
    random = np.random.RandomState(seed)
    found = [
        _mmd(*(rows[random.choice(len(rows), subset, replace=False)] for rows in (one, other)))
        for _ in range(subsets)
    ]
    return Kid(float(np.mean(found)), float(np.std(found)))


def _mmd(one: np.ndarray, other: np.ndarray) -> float:
    """Return the unbiased estimate on as many rows of each; float64."""
    count, size = one.shape

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y.T / size + 1) ** 3

    def within(rows: np.ndarray) -> float:
        found = kernel(rows, rows)
        return (found.sum() - np.trace(found)) / (count * (count - 1))

    return within(one) + within(other) - 2 * kernel(one, other).mean()


def frechet(one: np.ndarray, other: np.ndarray) -> float:
    """Return the Frechet distance of the Gaussians fitted to two sets of features.

    |m1 - m2|^2 + trace(S1 + S2 - 2 (S1 S2)^(1/2)), of means and covariances. It is biased: fewer
    images are further away, so that only sets of as many images can be compared. Source: Heusel et
    al., "GANs trained by a two time-scale update rule", NeurIPS 2017, equation 6.
    Raises ValueError for features that do not fit or are not finite, and for no more images than
    there are features, whose covariance says nothing of some directions.
    """
    from scipy import linalg

    one, other = _checked(one, other)
    if (least := min(len(one), len(other))) <= one.shape[1]:
        raise ValueError(
            f"{least} images for {one.shape[1]} features: a Frechet distance needs more images "
            "than features (--images)"
        )
    difference = one.mean(axis=0) - other.mean(axis=0)
    first, second = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    first, second = np.atleast_2d(first), np.atleast_2d(second)
    # The eigenvalues of S1 S2 are those of the symmetric R S2 R, R the root of S1: all real.
    values, vectors = linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    shared = np.sqrt(linalg.eigvalsh(root @ second @ root).clip(0)).sum()
    return float(difference @ difference + np.trace(first) + np.trace(second) - 2 * shared)


def _checked(*sets: np.ndarray) -> list[np.ndarray]:
    found = [np.asarray(rows, np.float64) for rows in sets]
    if any(rows.ndim != 2 for rows in found) or len({rows.shape[-1] for rows in found}) > 1:
        shapes = " and ".join(str(rows.shape) for rows in found)
        raise ValueError(f"features of shapes {shapes}: (n, d) and (m, d) are expected")
    if not all(np.isfinite(rows).all() for rows in found):
        raise ValueError("some features are not finite: did the training diverge?")
    return found
