"""Principal components, exact: all singular values, and the first vectors.

Of two matrices the smaller one is summed over portions, so that no float copy of all images is
needed: the covariance of d values, or the products of n rows with each other. Its tridiagonal form
gives all values and the first vectors; time goes by n d min(n, d) and the cube of the smaller side.
Where both sides are larger than `MOST`, so many rows are drawn by a seed.
Randomized methods (scikit-learn's) are faster where few components are wanted; a share of the sum
of all singular values needs the small ones as well.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

MOST = 12_288  # rows and columns of the matrix: 1.2 GB
MOST_BYTES = 2**30  # of rows that are drawn
# Terms of a sum, at once. So many products of bytes less 128 are 2^24 at most: float32 is exact.
PORTION = 1_024
_ZERO = 128  # of bytes
_COLUMNS = 2_048  # that are added up at once

Progress = Callable[[int, int], None]


class Spectrum(NamedTuple):
    """Singular values (r,), the largest first, of `count` centered rows; what is 0 is left out.

    `mean` (d,) and the first `vectors` (k, d), orthonormal, are float32. Signs of vectors are such
    that the number that is furthest from 0 is positive.
    """

    mean: np.ndarray
    singular: np.ndarray
    vectors: np.ndarray
    count: int

    def shares(self, of: str) -> np.ndarray:
        """Return what the first 1, 2, ... components hold (r,), of all exactly 1.

        `of`: `values`, the sum of singular values; `variance`, that of their squares.
        """
        terms = {"values": self.singular, "variance": self.singular**2}[of]
        sums = np.cumsum(terms)
        return sums / sums[-1:]

    def needed(self, share: float, of: str) -> int:
        """Return how many components hold a share, from 1 on; 0 where all rows are equal."""
        shares = self.shares(of)
        return min(int(np.searchsorted(shares, share)) + 1, len(shares))

    def rebuilt(self, rows: np.ndarray, components: int) -> np.ndarray:
        """Return rows (m, d) as the first components tell them, float32."""
        basis = self.vectors[:components]
        return (np.asarray(rows, np.float32) - self.mean) @ basis.T @ basis + self.mean


def of(rows: Sequence, vectors: int, seed: int = 0, progress: Progress | None = None) -> Spectrum:
    """Return the spectrum of rows (n, d), uint8 or float, with at most so many vectors.

    `rows` may be lazy: it has a shape and takes slices and arrays of numbers of rows.
    Raises ValueError for fewer than two rows, and for values that are not finite.
    """
    count, size = rows.shape
    if count < 2:
        raise ValueError(f"{count} images have no principal components: give two or more")
    if size > min(count, MOST):
        return _by_rows(rows, vectors, seed, progress)
    total, mean = covariance(rows, progress)
    return of_covariance(total, mean, count, vectors)


def covariance(rows: Sequence, progress: Progress | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of outer products of centered rows (d, d), lower triangle, and their mean.

    Both are float64; of bytes the sums are exact before the mean is taken off.
    """
    count, size = rows.shape
    zero = _zero(rows)
    sums = np.zeros(size)

    def parts() -> Iterator[np.ndarray]:
        for start in range(0, count, PORTION):
            part = _less(rows[start : start + PORTION], zero)
            sums[:] += part.sum(axis=0, dtype=np.float64)
            yield part
            if progress:
                progress(min(start + PORTION, count), count)

    total = _products(parts(), size)
    for columns in _blocks(size):
        total[:, columns] -= np.outer(sums / count, sums[columns])
    return total, zero + sums / count


def of_covariance(total: np.ndarray, mean: np.ndarray, count: int, vectors: int) -> Spectrum:
    """Return the spectrum of `count` rows by their `covariance`, which is overwritten."""
    squares, found = _eigen(total, vectors)
    return _spectrum(mean, squares, found.T, count)


def _by_rows(rows: Sequence, vectors: int, seed: int, progress: Progress | None = None) -> Spectrum:
    """Return the spectrum by the products of rows with each other, at most `MOST` of them."""
    size = rows.shape[1]
    room = max(2, MOST_BYTES // (size * rows.dtype.itemsize))
    count = min(len(rows), MOST, room)
    chosen = np.sort(np.random.RandomState(seed).permutation(len(rows))[:count])
    points = np.asarray(rows[chosen])
    zero = _zero(points)
    starts = range(0, size, PORTION)

    def columns() -> Iterator[np.ndarray]:
        for start in starts:
            one = np.s_[start : start + PORTION]
            yield _less(points[:, one], zero[one] if np.ndim(zero) else zero).T
            if progress:
                progress(min(start + PORTION, size), size)

    total = _products(columns(), count)
    # Rows of the matrix that is summed are all, of the whole of which its lower triangle is known.
    means = (total.sum(axis=0) + total.sum(axis=1) - np.diagonal(total)) / count
    for block in _blocks(count):
        total[:, block] += means.mean() - means[:, None] - means[block]
    squares, inner = _eigen(total, vectors)
    mean = points.mean(axis=0, dtype=np.float64)
    kept = min(inner.shape[1], _rank(squares, count))
    basis = (inner[:, :kept] / np.sqrt(squares[:kept])).T
    found = [
        basis @ (points[:, start : start + PORTION] - mean[start : start + PORTION])
        for start in starts
    ]
    return _spectrum(mean, squares, np.concatenate(found, axis=1), count)


def _zero(rows: Sequence) -> np.ndarray | int:
    """Return what is near to the mean of rows, so that little cancels when that is taken off."""
    return _ZERO if rows.dtype == np.uint8 else np.asarray(rows[:PORTION], float).mean(axis=0)


def _less(values: np.ndarray, zero: np.ndarray | int) -> np.ndarray:
    """Return values less `zero`: of bytes float32, which is exact, of others float64."""
    found = values.astype(np.float32 if values.dtype == np.uint8 else np.float64)
    if not np.isfinite(found).all():
        raise ValueError("some features are not finite: did the training diverge?")
    found -= zero
    return found


def _products(parts: Iterable[np.ndarray], size: int) -> np.ndarray:
    """Return the sum of part.T @ part over parts (k, size): the lower triangle, float64."""
    from scipy.linalg import blas

    total, product = np.zeros((size, size), order="F"), None
    for part in parts:
        syrk = blas.ssyrk if part.dtype == np.float32 else blas.dsyrk
        if product is None:
            product = np.zeros((size, size), part.dtype, order="F")
        # Of an array in C's order the transposed one, which is in Fortran's, is not copied.
        given = {"a": part.T} if part.flags.c_contiguous else {"a": part, "trans": 1}
        product = syrk(1.0, c=product, beta=0.0, lower=1, overwrite_c=1, **given)
        for columns in _blocks(size):
            lower = np.s_[columns.start :, columns]
            total[lower] += product[lower]
    return total


def _blocks(size: int) -> list[slice]:
    return [slice(start, min(start + _COLUMNS, size)) for start in range(0, size, _COLUMNS)]


def _eigen(total: np.ndarray, vectors: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all eigenvalues, the largest first, and so many vectors (size, k).

    Of `total`, float64 in Fortran's order, the lower triangle is read, and overwritten.
    """
    from scipy import linalg
    from scipy.linalg import lapack

    size = len(total)
    kept = min(size, max(1, vectors))
    if size < 3:
        squares, found = linalg.eigh(total)
        return squares[::-1], found[:, ::-1][:, :kept]
    work = int(lapack.dsytrd_lwork(size, lower=1)[0])
    total, *tridiagonal, factors, _ = lapack.dsytrd(total, lower=1, lwork=work, overwrite_a=1)
    squares = linalg.eigvalsh_tridiagonal(*tridiagonal)
    last = (size - kept, size - 1)
    _, inner = linalg.eigh_tridiagonal(
        *tridiagonal, select="i", select_range=last, lapack_driver="stemr"
    )
    # The reflections of dsytrd lie below the diagonal, as those of a QR decomposition one row down:
    # from the second number on the same memory is such a matrix, with one row more. That is made
    # of numbers above the diagonal, which mean nothing, and is 0 so that it changes nothing.
    total[0, 1:] = 0
    below = total.T.reshape(-1)[1 : 1 + size * (size - 1)].reshape(size, -1, order="F")
    moved = np.zeros((size, kept), order="F")
    moved[:-1] = inner[1:, ::-1]
    moved = lapack.dormqr("L", "N", below, factors, moved, lwork=64 * size, overwrite_c=1)[0]
    found = np.concatenate([inner[:1, ::-1], moved[:-1]])
    return squares[::-1], found


def _spectrum(mean: np.ndarray, squares: np.ndarray, vectors: np.ndarray, count: int) -> Spectrum:
    rank = min(_rank(squares, len(mean)), count - 1)
    vectors = vectors[:rank].astype(np.float32)
    furthest = np.abs(vectors).argmax(axis=1, keepdims=True)
    vectors = vectors * np.sign(np.take_along_axis(vectors, furthest, axis=1))
    return Spectrum(mean.astype(np.float32), np.sqrt(squares[:rank]), vectors, count)


def _rank(squares: np.ndarray, size: int) -> int:
    """Return how many squares of singular values, the largest first, are more than rounding."""
    return int(np.sum(squares > squares[0] * size * np.finfo(float).eps))
