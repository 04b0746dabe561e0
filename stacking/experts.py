"""Experts: the classes divided among members that each know a few of them best.

The source paper of the GhostNet ensembles gives its 20 experts 10 of 200 classes each, by number.
"""

import numpy as np


def partition(classes: int, experts: int) -> list[list[int]]:
    """Divide the classes 0 .. classes - 1 by number: each once, in blocks that follow each other.

    Sizes differ by at most one, the larger blocks first. Raises ValueError for fewer than 1 expert
    and for fewer classes than experts.
    """
    for name, value in {"classes": classes, "experts": experts}.items():
        if not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name}={value!r}: give a whole number of 1 or more")
    if classes < experts:
        raise ValueError(
            f"{classes} classes for {experts} experts: each expert needs a class of its own, so"
            f" ask for {classes} experts or fewer"
        )
    return [block.tolist() for block in np.array_split(np.arange(classes), experts)]


def partition_by_confusion(confusion: np.ndarray, experts: int) -> list[list[int]]:
    """Divide the classes so that those confused with each other share an expert; each class once.

    `confusion` (classes, classes) counts images by true class (row) and decision (column). Rows
    are turned into rates, and the similarity of two classes is the sum of the rates at which each
    is taken for the other. The classes are put in the order of the leaves of a hierarchical
    clustering (average linkage, leaves of neighboring clusters turned toward each other), which is
    cut into blocks whose sizes differ by at most one: a group of confused classes that straddles a
    cut is split. A block lists its classes by number; blocks are sorted by their first class.

    Raises ValueError for a matrix that is not square, finite and free of negative numbers, and as
    `partition` does.
    """
    from scipy.cluster import hierarchy
    from scipy.spatial.distance import squareform

    rates = _rates(confusion)
    blocks = partition(len(rates), experts)
    if experts == 1:
        return blocks
    similarity = rates + rates.T
    distances = 2 - similarity  # at most 2: every image of either class is taken for the other
    np.fill_diagonal(distances, 0)
    tree = hierarchy.linkage(squareform(distances), "average", optimal_ordering=True)
    leaves = hierarchy.leaves_list(tree)
    return sorted(sorted(leaves[block].tolist()) for block in blocks)


def _rates(confusion: np.ndarray) -> np.ndarray:
    """Return the shares of each row; those of a class without images are 0."""
    confusion = np.asarray(confusion)
    if confusion.ndim != 2 or len(set(confusion.shape)) > 1 or confusion.dtype.kind not in "fiu":
        raise ValueError(
            f"confusion of shape {confusion.shape} and type {confusion.dtype}: a (classes, classes)"
            " matrix of counts is needed"
        )
    wrong = ~(np.isfinite(confusion) & (confusion >= 0))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(
            f"confusion[{row}, {column}] is {confusion[row, column]}: counts are finite and not"
            " negative"
        )
    totals = confusion.sum(axis=1, keepdims=True, dtype=np.float64)
    return np.divide(confusion, totals, out=np.zeros(confusion.shape), where=totals > 0)
