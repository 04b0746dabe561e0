"""Distances of sets of features: known answers, and independent formulas."""

import numpy as np
import pytest
from scipy import linalg

from experiments.generate import distances


def gaussian(n, d=8, shift=0.0, scale=1.0, seed=0):
    return shift + scale * np.random.default_rng(seed).normal(size=(n, d))


def test_two_sets_of_one_distribution_have_a_kernel_distance_of_zero_on_average():
    found = [
        distances.kid(gaussian(400, seed=i), gaussian(400, seed=i + 100), subset=50, subsets=20)
        for i in range(10)
    ]
    means = np.array([one.mean for one in found])
    # Without bias the mean of independent pairs is 0 within its own error, here three of them.
    assert abs(means.mean()) < 3 * means.std(ddof=1) / np.sqrt(len(means))
    assert min(means) < 0 < max(means)
    shifted = distances.kid(gaussian(400), gaussian(400, shift=1.0, seed=1), subset=50)
    assert shifted.mean > 10 * np.abs(means).max() and shifted.std > 0


def test_the_kernel_distance_is_its_definition():
    """On whole sets, by sums over pairs as they are written."""
    one, other = gaussian(7, d=3), gaussian(7, d=3, shift=0.5, seed=1)

    def kernel(x, y):
        return (np.dot(x, y) / 3 + 1) ** 3

    pairs = [(i, j) for i in range(7) for j in range(7)]
    apart = [(i, j) for i, j in pairs if i != j]
    expected = np.mean([kernel(one[i], one[j]) for i, j in apart])
    expected += np.mean([kernel(other[i], other[j]) for i, j in apart])
    expected -= 2 * np.mean([kernel(one[i], other[j]) for i, j in pairs])
    found = distances.kid(one, other, subset=7, subsets=3)
    # A subset of all rows is those rows in another order: sums differ by rounding.
    assert found.mean == pytest.approx(expected, rel=1e-12)
    assert found.std == pytest.approx(0, abs=1e-12)


def test_subsets_are_drawn_by_the_seed():
    sets = gaussian(60), gaussian(80, seed=1)
    first = distances.kid(*sets, subset=20, seed=3)
    assert first == distances.kid(*sets, subset=20, seed=3)
    assert first != distances.kid(*sets, subset=20, seed=4)


def test_a_shift_alone_is_its_square():
    rows, shift = gaussian(300), np.arange(8) / 4
    # Equal covariances cancel to the rounding of the root of what should be 0.
    assert distances.frechet(rows, rows) == pytest.approx(0, abs=1e-9)
    assert distances.frechet(rows, rows + shift) == pytest.approx(shift @ shift, rel=1e-9)
    # Columns at right angles, of variance 1: scaled, each adds the square of what its root changed.
    white = np.linalg.qr(rows - rows.mean(axis=0))[0] * np.sqrt(len(rows) - 1)
    expected = np.sum((1 + shift - 1) ** 2)
    assert distances.frechet(white, white * (1 + shift)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_the_frechet_distance_is_that_of_the_matrix_root(seed):
    """The formula as published, by SciPy's root of a matrix that is not symmetric."""
    random = np.random.default_rng(seed)
    one, other = (gaussian(200, 12, seed=seed + i) @ random.normal(size=(12, 12)) for i in (0, 9))
    first, second = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    mean = one.mean(axis=0) - other.mean(axis=0)
    expected = mean @ mean + np.trace(first + second - 2 * linalg.sqrtm(first @ second).real)
    assert distances.frechet(one, other) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("measure", "sets", "options", "told"),
    [
        ("kid", (gaussian(20), gaussian(15)), {"subset": 16}, "subsets of 16 .*one set has 15"),
        ("kid", (gaussian(20), gaussian(15)), {"subset": 1}, "at least 2"),
        ("kid", (gaussian(20), gaussian(15)), {"subset": 5, "subsets": 0}, "subsets=0"),
        ("kid", (gaussian(20), gaussian(15, d=3)), {"subset": 5}, r"\(20, 8\) and \(15, 3\)"),
        ("kid", (gaussian(20), gaussian(15) * np.nan), {"subset": 5}, "not finite"),
        ("frechet", (gaussian(20), gaussian(8)), {}, "8 images for 8 features"),
        ("frechet", (gaussian(20), gaussian(20)[0]), {}, "expected"),
    ],
)
def test_what_cannot_be_measured_is_told(measure, sets, options, told):
    with pytest.raises(ValueError, match=told):
        getattr(distances, measure)(*sets, **options)
