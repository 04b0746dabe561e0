"""How good probabilities are: accuracies in percent, likelihood, calibration. No Keras."""

import math
from typing import NamedTuple

import numpy as np

TOP = (1, 3, 5)
NORMAL_95 = 1.959964  # standard deviations on either side of the mean that hold 95 %


def accuracy(probs: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return top1, top3, top5 in percent and loss, the mean negative log likelihood.

    Of classes with equal probability the one with the lower number ranks first, as in argmax: a
    model that says the same for all classes is not right five times out of five. k is at most the
    number of classes. Probabilities are clipped to the float32 epsilon before the logarithm.
    Raises ValueError for shapes, labels or probabilities that do not fit.
    """
    probs, labels = _checked(probs, labels)
    true = np.take_along_axis(probs, labels[:, None], axis=1)
    ahead = (probs > true) | ((probs == true) & (np.arange(probs.shape[1]) < labels[:, None]))
    rank = ahead.sum(axis=1)
    scores = {f"top{k}": float(100 * np.mean(rank < min(k, probs.shape[1]))) for k in TOP}
    smallest = np.finfo(np.float32).eps
    return scores | {"loss": float(-np.log(true.clip(smallest, 1), dtype=np.float64).mean())}


def balanced(probs: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean over classes of the share that is recognized, in percent.

    Rare classes count as much as frequent ones; those without images do not.
    Raises ValueError for shapes, labels or probabilities that do not fit.
    """
    probs, labels = _checked(probs, labels)
    right, counts = probs.argmax(axis=1) == labels, np.bincount(labels)
    shares = np.bincount(labels, right)[counts > 0] / counts[counts > 0]
    return float(100 * shares.mean())


def calibration_error(probs: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Return the expected calibration error in percent points: how far accuracy is from confidence.

    Images are put into `bins` bins of equal width by confidence, the probability of the decision;
    a bin holds its upper edge, not its lower one. The error is the mean over images of the absolute
    difference of accuracy and mean confidence in their bin. Source: Guo et al., "On calibration of
    modern neural networks", ICML 2017, equation 3, with its 15 bins.
    Raises ValueError for shapes, labels or probabilities that do not fit and fewer than 1 bin.
    """
    if not isinstance(bins, int | np.integer) or bins < 1:
        raise ValueError(f"bins={bins!r}: give a whole number of 1 or more")
    probs, labels = _checked(probs, labels)
    confidence = probs.max(axis=1).astype(np.float64)
    gaps = (probs.argmax(axis=1) == labels) - confidence
    inner_edges = np.arange(1, bins) / bins
    by_bin = np.bincount(np.digitize(confidence, inner_edges, right=True), gaps)
    return float(100 * np.abs(by_bin).sum() / len(labels))


class Interval(NamedTuple):
    """From where to where an accuracy may lie, in percent."""

    low: float
    high: float


def interval(percent: float, n: int) -> Interval:
    """Return the 95 % confidence interval of an accuracy in percent that n images gave.

    It tells what other images of the same kind would give, not what training again would. Source:
    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    Raises ValueError for an accuracy outside of 0 to 100 and fewer than one image.
    """
    if not 0 <= percent <= 100 or n < 1:
        raise ValueError(f"{percent} % of n={n} images: 0 to 100 % of at least one are expected")
    share, squared = percent / 100, NORMAL_95**2
    middle = share + squared / (2 * n)
    half = NORMAL_95 * math.sqrt(share * (1 - share) / n + squared / (4 * n * n))
    low, high = (100 * (middle + side * half) / (1 + squared / n) for side in (-1, 1))
    # Where no image is right, or all are, rounding must not leave 0 to 100.
    return Interval(max(low, 0.0), min(high, 100.0))


def mcnemar(right: np.ndarray, other: np.ndarray) -> float:
    """Return the p value of the exact McNemar test of two models on the same n images.

    `right` and `other` (n,) tell of each image whether a model is right. Only images on which one
    is right and the other wrong count: p is the probability that they divide at least as unevenly
    if both models are equally good. Source: Q. McNemar, Psychometrika 12, 1947.
    Raises ValueError for models asked about other numbers of images.
    """
    right, other = np.asarray(right, bool), np.asarray(other, bool)
    if right.shape != other.shape or right.ndim != 1:
        raise ValueError(f"right {right.shape} and {other.shape}: both must be of the same (n,)")
    from scipy.stats import binomtest

    ours, theirs = int((right & ~other).sum()), int((other & ~right).sum())
    return float(binomtest(ours, ours + theirs).pvalue) if ours + theirs else 1.0


def _checked(probs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    probs, labels = np.asarray(probs), np.asarray(labels)
    if probs.ndim != 2 or labels.shape != (len(probs),) or not len(labels):
        raise ValueError(
            f"probs {probs.shape} and labels {labels.shape}: (n, classes) and (n,) are expected"
        )
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= probs.shape[1]:
        raise ValueError(
            f"labels of type {labels.dtype} from {labels.min()} to {labels.max()}: whole numbers "
            f"from 0 to {probs.shape[1] - 1} are expected"
        )
    if not np.isfinite(probs).all():
        raise ValueError("some probabilities are not finite: did the training diverge?")
    return probs, labels
