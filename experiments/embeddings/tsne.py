"""t-SNE of a few classes after a PCA, as P2: a grid of perplexities, each with what it is worth.

A picture of t-SNE looks ordered where there is no order, and depends on its perplexity: so beside
each stands how well classes are told apart in it. The computation is scikit-learn's.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from experiments import spectrum
from experiments.embeddings import _scatter_sheet
from experiments.embeddings._scatter_sheet import Plane
from experiments.embeddings.asked import PIXELS, Asked, Column, Part, Sheet, Space, Table, Work
from experiments.embeddings.separation import silhouette, vote

NEIGHBORS = 10  # that vote on a point's class in the plane
# scikit-learn approximates the forces within a perplexity's three neighbors, of which there must be
# as many: so many images are the least.
LEAST = 5


class Points(NamedTuple):
    """Images of some classes in one space: rows (n, d), labels (n,), and what they are."""

    rows: np.ndarray
    labels: np.ndarray
    told: str


def check(work: Work) -> None:
    """Raise ValueError where perplexities need more images than there are, by labels alone."""
    for name in work.spaces:
        _chosen(work, name)


def make(work: Work, out: pathlib.Path) -> Part:
    """Embed every space in planes; draw a sheet for each space into the folder `out`.

    Raises ValueError as `check`, and for images of a space that are all alike.
    """
    check(work)
    chosen = {name: _points(work, space) for name, space in work.spaces.items()}
    sheets, rows = [], []
    steps = len(chosen) * len(work.asked.perplexities)
    work.listener.progress("t-SNE", 0, steps)
    for number, (name, points) in enumerate(chosen.items()):
        kept, share = _reduced(points.rows, work.asked, name)
        found = []
        for plane in planes(kept, points.labels, work.asked.perplexities, work.asked.seed):
            found.append(plane)
            done = number * len(work.asked.perplexities) + len(found)
            work.listener.progress("t-SNE", done, steps)
        path = out / f"tsne_{number}.png"
        names = [work.names[label] for label in np.unique(points.labels)]
        told = f"{len(points.rows):,} {points.told}; {kept.shape[1]:,} components hold {share}"
        _scatter_sheet.draw(path, found, points.labels, names, f"{name}: {told}")
        sheets.append(Sheet(path.name, f"t-SNE of {name}", told))
        rows += [_row(name, plane, len(points.rows), kept.shape[1]) for plane in found]
    return Part("t-SNE", sheets=sheets, tables=[_table(rows)])


def planes(rows: np.ndarray, labels: np.ndarray, perplexities, seed: int) -> Iterator[Plane]:
    """Yield an embedding of rows (n, d) for each perplexity; the same seed gives the same."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    for perplexity in perplexities:
        method = TSNE(perplexity=perplexity, init="pca", learning_rate="auto", random_state=seed)
        # Threads wait for the slowest, which other work may hold up; on one the bits are the same.
        with threadpool_limits(limits=1, user_api="openmp"):
            points = method.fit_transform(rows)
        yield Plane(
            float(perplexity),
            points,
            float(method.kl_divergence_),
            silhouette(points, labels),
            _told_apart(points, labels),
        )


def _points(work: Work, space: Space) -> Points:
    """Return images of the classes that pictures show, drawn by the seed."""
    chosen, labels = _chosen(work, space.name)
    if space.name == PIXELS:
        rows, told = space.train, "training images"
    else:
        rows, told = space.validation, "validation images, which the network did not learn from"
    return Points(np.asarray(rows[chosen], np.float32), labels, told)


def _chosen(work: Work, space: str) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers and labels (n,) of the images that are embedded, by labels alone.

    Of pixels training images, as P2; of features, which know these by heart, validation images.
    """
    of = "training" if space == PIXELS else "validation"
    split = work.data.train if space == PIXELS else work.data.validation
    labels = np.asarray(split.labels)
    drawn = np.random.RandomState(work.asked.seed).permutation(len(labels))
    some = [drawn[labels[drawn] == label][: work.asked.per_class] for label in work.classes]
    chosen = np.sort(np.concatenate(some))
    if len(chosen) <= max(LEAST, *work.asked.perplexities):
        raise ValueError(
            f"t-SNE: {len(chosen)} {of} images of {len(work.classes)} classes, and a perplexity "
            f"(--perplexity) of {max(work.asked.perplexities):g}: it must be less than the number "
            f"of images, of which {LEAST + 1} are the least; take more classes or images of each"
        )
    return chosen, labels[chosen]


def _reduced(rows: np.ndarray, asked: Asked, space: str) -> tuple[np.ndarray, str]:
    """Return rows as the components that hold the share that is asked for, and what they hold.

    Two are the least: t-SNE begins with the first two.
    """
    found = spectrum.of(rows, min(rows.shape))
    if len(found.singular) < 2:
        raise ValueError(
            f"t-SNE of {space}: {len(rows)} images lie on a line or in one point, so there is no "
            "plane to embed them in; choose other classes (--class) or parts (--part)"
        )
    count = max(2, found.needed(asked.keep, asked.keep_of))
    shares = (found.shares(of)[count - 1] for of in ("values", "variance"))
    told = "{:.1%} of the sum of singular values, {:.1%} of the variance".format(*shares)
    return (rows - found.mean) @ found.vectors[:count].T, told.replace("%", " %")


def _told_apart(points: np.ndarray, labels: np.ndarray) -> float:
    """Return how often, in percent, the nearest other points name the class of a point."""
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=min(NEIGHBORS, len(points) - 1)).fit(points)
    # Without an argument, a point is none of its own neighbors.
    near = search.kneighbors(return_distance=False)
    return float(100 * np.mean(vote(labels[near]) == labels))


def _row(space: str, plane: Plane, count: int, components: int) -> dict[str, float | str]:
    return {
        "space": space,
        "perplexity": plane.perplexity,
        "divergence": plane.divergence,
        "silhouette": plane.silhouette,
        "accuracy": plane.accuracy,
        "n": count,
        "components": components,
    }


def _table(rows: list[dict[str, float | str]]) -> Table:
    columns = [
        Column("space", "Of"),
        Column("perplexity", "Perplexity", 0),
        Column("divergence", "Divergence", 3),
        Column("silhouette", "Silhouette", 3),
        Column("accuracy", f"{NEIGHBORS} neighbors, %", 1),
        Column("n", "Images", 0),
        Column("components", "Components", 0),
    ]
    about = (
        "Divergence is what t-SNE makes small, of one perplexity; silhouette (-1 to 1) and the "
        f"class that the {NEIGHBORS} nearest others name are of points in the plane"
    )
    return Table("tsne.csv", "What the planes are worth", columns, rows, about)
