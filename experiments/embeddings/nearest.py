"""Is a generator memory? The nearest training images, and how near they are to held-out ones.

A distance alone says nothing: real images that were never learned also have a nearest training
image. So the distances of generated images are compared with those of held-out real ones. A pixel
distance favors smooth images, which are near to everything: features stand beside it.
"""

from typing import NamedTuple

import numpy as np

# Bytes of float32 rows of the base that are looked at, at once.
_PORTION = 2**27
# Of held-out images so many percent are nearer: below, an image is called a copy.
COPY = 1.0


class Nearest(NamedTuple):
    """Euclidean distances (n, k), nearest first, and the rows (n, k) of the base."""

    distances: np.ndarray
    rows: np.ndarray


def nearest(queries: np.ndarray, base: np.ndarray, count: int = 1) -> Nearest:
    """Return the `count` nearest rows of `base` to each query, exact; leading axes are rows.

    `base` may be lazy: it is read in portions. Raises ValueError for shapes that do not fit, no
    queries and fewer rows than are asked for.
    """
    from sklearn.neighbors import NearestNeighbors

    if queries.shape[1:] != base.shape[1:] or not len(queries):
        raise ValueError(
            f"images or features {queries.shape} have no neighbors among {base.shape}: give some, "
            "of one shape"
        )
    if not 1 <= count <= len(base):
        raise ValueError(f"{count} neighbors among {len(base)} images: ask for 1 to {len(base)}")
    asked = _flat(queries)
    step = max(1, _PORTION // (4 * asked.shape[1]))
    distances, rows = np.empty((len(asked), 0)), np.empty((len(asked), 0), np.intp)
    for start in range(0, len(base), step):
        part = _flat(base[start : start + step])
        search = NearestNeighbors(n_neighbors=min(count, len(part)), algorithm="brute").fit(part)
        found = search.kneighbors(asked, return_distance=False)
        # Through products, as searched, a copy is not exactly at 0.
        exact = np.stack(
            [np.linalg.norm(part[one].astype(np.float64) - asked, axis=1) for one in found.T],
            axis=1,
        )
        distances = np.concatenate([distances, exact], axis=1)
        rows = np.concatenate([rows, start + found], axis=1)
        order = np.argsort(distances, axis=1, kind="stable")[:, :count]
        distances = np.take_along_axis(distances, order, axis=1)
        rows = np.take_along_axis(rows, order, axis=1)
    return Nearest(distances, rows)


def _flat(images: np.ndarray) -> np.ndarray:
    return np.asarray(images, np.float32).reshape(len(images), -1)


class Memory(NamedTuple):
    """Distances to the nearest training image, of generated and of held-out real images.

    `nearer` is how often, in percent, a generated image is nearer than a held-out one: 50 where
    both are alike, 100 where all are copied. `copies`: percent of generated images that are nearer
    than the nearest percent of the held-out ones. Medians are in the units of the distances.
    """

    nearer: float
    copies: float
    median: float
    held_out: float


def memory(generated: np.ndarray, held_out: np.ndarray) -> Memory:
    """Compare distances (n,) of generated images with those (m,) of held-out real ones.

    `nearer` is the statistic of Mann and Whitney over its maximum; equal distances count half.
    """
    from scipy import stats

    pairs = len(generated) * len(held_out)
    nearer = stats.mannwhitneyu(held_out, generated, method="asymptotic").statistic / pairs
    near = np.mean(generated < np.percentile(held_out, COPY))
    medians = (float(np.median(one)) for one in (generated, held_out))
    return Memory(float(100 * nearer), float(100 * near), *medians)
