"""How well a space tells classes apart: silhouette, nearest neighbors, a linear probe.

Of frozen features, as self-supervised learning measures them: nearest training images by the cosine
of features vote on validation images, and a logistic regression is fitted to training images. The
strength of its regularization is chosen on a tenth of these, never on validation images.
"""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np

from experiments.embeddings.asked import PIXELS, Column, Part, Space, Table, Work
from experiments.runs.scores import interval

NEIGHBORS = (1, 20)
MOST_TRAINED = 10_000  # training images that the probe learns from and neighbors come from
MOST_COMPARED = 2_000  # validation images of a silhouette, whose time goes by their square
COMPONENTS = 256  # of pixels, for the probe
CHOICES = (0.001, 0.01, 0.1, 1.0, 10.0)  # inverse strength of regularization
HELD_OUT = 0.1
STEPS = 300


def check(work: Work) -> None:
    """Raise ValueError where labels leave nothing to learn, or to choose a probe on."""
    labels = np.asarray(work.data.train.labels)
    counts = np.bincount(labels[_some(labels, work.asked.seed)])
    if np.sum(counts > 0) < 2 or counts.max() < 2:
        raise ValueError(
            f"a linear probe of {work.data.name}: its {len(labels)} training images are of "
            f"{np.sum(counts > 0)} classes, the largest of {counts.max()}; it needs two classes, "
            "and two images of one of them: give more, or choose other parts (--part)"
        )


def make(work: Work, out: pathlib.Path) -> Part:
    """Measure every space; nothing is drawn. Raises ValueError as `check`."""
    check(work)
    train, validation = work.data.train.labels, work.data.validation.labels
    chosen = _some(np.asarray(train), work.asked.seed)
    rows, known = [], {run.name: run for run in work.runs} | {run.folder: run for run in work.runs}
    for number, (name, space) in enumerate(work.spaces.items()):
        work.listener.progress("separation", number, len(work.spaces))
        run = known.get(name)
        found = measured(space, np.asarray(train), np.asarray(validation), chosen, work.asked.seed)
        rows.append({"space": name, "own": run.metrics["top1"] if run else ""} | found)
    work.listener.progress("separation", len(rows), len(rows))
    return Part("How well classes are told apart", tables=[_table(rows, len(chosen), len(train))])


def measured(
    space: Space, train: np.ndarray, validation: np.ndarray, chosen: np.ndarray, seed: int
) -> dict[str, Any]:
    """Return what one space is worth; accuracies of validation images in percent, with intervals.

    `chosen` are the training images that neighbors and the probe come from.
    """
    learned, asked = _points(space.train, chosen), _points(space.validation, np.s_[:])
    few = np.random.RandomState(seed).permutation(len(asked))[:MOST_COMPARED]
    found = {"values": learned.shape[1], "n": len(asked), "trained": len(chosen)}
    found["silhouette"] = silhouette(_unit(asked[few]), validation[few])
    near = _nearest(_unit(learned), _unit(asked), max(NEIGHBORS))
    for count in NEIGHBORS:
        answers = vote(train[chosen][near[:, :count]])
        found |= _accuracy(f"neighbors_{count}", answers == validation)
    reduce = _components if space.name == PIXELS else _standard
    learned, asked = reduce(learned, asked, seed)
    answers, strength = probe(learned, train[chosen], asked, seed)
    return found | _accuracy("probe", answers == validation) | {"strength": strength}


def silhouette(points: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean silhouette of points (n, d), from -1 to 1; nan where there is one class.

    Source: Rousseeuw, "Silhouettes", 1987; by Euclidean distance, scikit-learn's.
    """
    from sklearn.metrics import silhouette_score

    classes = len(np.unique(labels))
    return float(silhouette_score(points, labels)) if 1 < classes < len(labels) else float("nan")


def probe(
    learned: np.ndarray, labels: np.ndarray, asked: np.ndarray, seed: int
) -> tuple[np.ndarray, float]:
    """Return the classes that a logistic regression gives to `asked`, and its C.

    Fitted to `learned` (n, d). C is the one that is right most often on a tenth of these that it
    did not see; the least of equals. A class of one image is not held out.
    """
    held = _drawn(labels, HELD_OUT, seed)
    held = held[np.bincount(labels)[labels[held]] > 1]
    rest = np.setdiff1d(np.arange(len(labels)), held)
    scores = [
        np.mean(_fitted(learned[rest], labels[rest], one).predict(learned[held]) == labels[held])
        for one in CHOICES
    ]
    strength = CHOICES[int(np.argmax(scores))]
    return _fitted(learned, labels, strength).predict(asked), strength


def _fitted(learned: np.ndarray, labels: np.ndarray, strength: float):
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        # As far as it is after STEPS: where little is regularized, the optimum is far away.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=strength, max_iter=STEPS).fit(learned, labels)


def _some(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return rows of training images, all or so many of every class, drawn by the seed."""
    if len(labels) <= MOST_TRAINED:
        return np.arange(len(labels))
    return _drawn(labels, MOST_TRAINED / len(labels), seed)


def _drawn(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Return rows, in order: a fraction of every class, rounded, of rare ones an image each.

    Draws as `datasets.stratified`, which refuses classes that are too rare to be divided.
    """
    random, drawn = np.random.RandomState(seed), []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = max(1, int(fraction * len(members) + 0.5))
        drawn.append(random.permutation(members)[:count])
    return np.sort(np.concatenate(drawn))


def _points(rows, chosen) -> np.ndarray:
    return np.asarray(rows[chosen], np.float32)


def _unit(points: np.ndarray) -> np.ndarray:
    """Return points of length 1, whose Euclidean distance is that of their cosine."""
    return points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)


def _nearest(base: np.ndarray, asked: np.ndarray, count: int) -> np.ndarray:
    """Return the nearest rows of `base`, the nearest first, all where there are fewer."""
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=min(count, len(base)), algorithm="brute").fit(base)
    return search.kneighbors(asked, return_distance=False)


def vote(classes: np.ndarray) -> np.ndarray:
    """Return the class that most of each row (n, k) name; of equals, that of the nearest."""
    agree = (classes[:, :, None] == classes[:, None, :]).sum(axis=2)
    return classes[np.arange(len(classes)), agree.argmax(axis=1)]


def _standard(learned: np.ndarray, asked: np.ndarray, seed: int) -> tuple[np.ndarray, ...]:
    """Return both with each value less its mean, over its deviation in the first."""
    from sklearn.preprocessing import StandardScaler

    method = StandardScaler().fit(learned)
    return method.transform(learned), method.transform(asked)


def _components(learned: np.ndarray, asked: np.ndarray, seed: int) -> tuple[np.ndarray, ...]:
    """Return both as the first principal components of the first, over the deviation of all.

    Each over its own deviation, the last ones, which are noise, would count like the first.
    """
    from sklearn.decomposition import PCA

    count = min(COMPONENTS, *learned.shape)
    method = PCA(count, svd_solver="randomized", random_state=seed).fit(learned)
    found = [method.transform(part) for part in (learned, asked)]
    return tuple(part / found[0].std() for part in found)


def _accuracy(name: str, right: np.ndarray) -> dict[str, float | str]:
    percent = 100 * float(right.mean())
    low, high = interval(percent, len(right))
    told = f"{percent:.1f} ({low:.1f} to {high:.1f})"
    return {name: percent, f"{name}_low": low, f"{name}_high": high, f"{name}_told": told}


def _table(rows: list[dict[str, Any]], learned: int, train: int) -> Table:
    names = {f"neighbors_{count}": f"{count} nearest, %" for count in NEIGHBORS}
    names["probe"] = "Linear probe, %"
    columns = [
        Column("space", "Of"),
        Column("values", "Values", 0),
        Column("silhouette", "Silhouette", 3),
        *(Column(f"{name}_told", title) for name, title in names.items()),
        Column("strength", "C", 3),
        Column("own", "Its own, %", 1),
        Column("n", "n", 0),
    ]
    some = f"{learned:,} of {train:,}" if learned < train else f"{train:,}"
    about = (
        f"Top-1 of validation images with its 95 % interval, by {some} training images: the "
        "nearest by the cosine vote; a logistic regression of standardized values (of pixels: of "
        f"{COMPONENTS} principal components at most) after {STEPS} steps at most, its C chosen on "
        "a tenth of them. Its own: what the network itself says. Silhouette, from -1 to 1: of "
        "validation images, by the Euclidean distance of points of length 1"
    )
    return Table("separation.csv", "Classes in spaces", columns, rows, about)
