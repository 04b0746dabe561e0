"""Images that most runs get wrong: hard ones, and among them labels that may be wrong.

The count of label issues is that of confident learning (Northcutt et al., JAIR 2021, section 3).
"""

from __future__ import annotations

import pathlib
from typing import NamedTuple

import numpy as np

from experiments.embeddings import _cells
from experiments.embeddings.asked import Column, Part, Sheet, Table, Work

LISTED = 1000  # images in the table
# An image is suspected where so much of the runs says one other class, and their mean probability.
AGREE, SURE = 0.75, 0.8

COLUMNS = (
    Column("image", "Image", 0),
    Column("class", "Given"),
    Column("wrong", "Wrong", 0),
    Column("runs", "of", 0),
    Column("said", "Most say"),
    Column("votes", "Runs", 0),
    Column("given", "Given, %", 1),
    Column("other", "Said, %", 1),
    Column("suspected", "Suspected"),
)


class Mistakes(NamedTuple):
    """Images that a run at least gets wrong, most often first: (n,) each.

    `said` is the other class that most of the runs say, `votes` how many do; `given` and `other`
    are mean probabilities of the given class and of that one.
    """

    images: np.ndarray
    wrong: np.ndarray
    said: np.ndarray
    votes: np.ndarray
    given: np.ndarray
    other: np.ndarray
    suspected: np.ndarray


def make(work: Work, out: pathlib.Path) -> Part | None:
    """Rank the validation images by how many runs get them wrong; None without predictions.

    Writes mistakes.png where there is a mistake. Raises ValueError for runs of other data.
    """
    runs = [run for run in work.runs if run.has_outputs and not run.kind.images]
    if not runs:
        return None
    for run in runs:
        run.check_data(work.data)
    labels = np.asarray(work.data.validation.labels)
    probs = [run.probs for run in runs]
    found = often(probs, labels)
    rows = [_row(work, found, place, labels, len(runs)) for place in range(len(found.images))]
    sheets = []
    if rows:
        _draw(out / "mistakes.png", work, rows[: work.asked.shown])
        order = "by how many runs get them wrong, then by the given class's probability"
        sheets = [Sheet("mistakes.png", "Most often wrong", f"validation images {order}")]
    about = (
        "Images in the order of the validation images; how many runs are wrong, which other class "
        f"most say and how many; mean probabilities of both. {min(len(rows), LISTED):,} of "
        f"{len(rows):,} images that a run at least gets wrong"
    )
    table = Table("mistakes.csv", "Most often wrong", COLUMNS, rows[:LISTED], about)
    notes = _notes(found, len(runs), len(labels), issues(np.mean(probs, axis=0), labels))
    return Part("Mistakes of all runs", notes, sheets, [table])


def often(probs: list[np.ndarray], labels: np.ndarray) -> Mistakes:
    """Rank images by runs that are wrong, then by the given class's probability, then by votes.

    `probs`: (n, classes) of each run; `labels` (n,).
    """
    every, mean = np.arange(len(labels)), np.mean(probs, axis=0)
    said = np.stack([one.argmax(axis=1) for one in probs])
    wrong = (said != labels).sum(axis=0)
    votes = np.zeros(mean.shape, int)
    for one in said:
        votes[every, one] += 1
    votes[every, labels] = -1
    # Of classes with equally many votes, the one of the higher mean probability.
    other = (votes + np.clip(mean, 0, 1) / 2).argmax(axis=1)
    given, high, agreed = mean[every, labels], mean[every, other], votes[every, other]
    suspected = (agreed >= AGREE * len(probs)) & (high >= SURE)
    order = np.lexsort((every, -agreed, given, -wrong))
    order = order[wrong[order] > 0]
    columns = (every, wrong, other, agreed, given, high, suspected)
    return Mistakes(*(one[order] for one in columns))


def issues(probs: np.ndarray, labels: np.ndarray) -> float:
    """Return the estimated number of label issues by the confident joint, of (n, classes).

    An image counts for class j where j's probability reaches the mean self-confidence of images
    labelled j, the most probable one of several. The joint's rows are calibrated to the classes'
    counts; what stands off its diagonal is the estimate.
    """
    classes, every = probs.shape[1], np.arange(len(labels))
    counts = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, probs[every, labels], minlength=classes)
    # No image can be confidently of a class that has none.
    limits = np.where(counts, sums / np.maximum(counts, 1), np.inf)
    reached = np.where(probs >= limits, probs, -1)
    confident = reached.max(axis=1) >= 0
    joint = np.zeros((classes, classes))
    np.add.at(joint, (labels[confident], reached.argmax(axis=1)[confident]), 1)
    scale = counts / np.maximum(joint.sum(axis=1), 1)
    return float(((joint.sum(axis=1) - joint.diagonal()) * scale).sum())


def _notes(found: Mistakes, runs: int, n: int, estimated: float) -> list[str]:
    always = int((found.wrong == runs).sum())
    return [
        f"{always:,} of {n:,} validation images are wrong in all of {runs} runs, "
        f"{len(found.images):,} in one at least",
        f"{int(found.suspected.sum()):,} are suspected: {100 * AGREE:.0f} % of the runs agree on "
        f"another class, with a mean probability of {100 * SURE:.0f} % or more. Most are hard "
        "images, not wrong labels: look at them",
        f"confident learning on the mean probabilities estimates {estimated:.0f} label issues "
        f"(n = {n:,}); networks that are often wrong, or too sure, raise that number",
    ]


def _row(work: Work, found: Mistakes, place: int, labels: np.ndarray, runs: int) -> dict:
    image = int(found.images[place])
    row = {"image": image, "class": work.names[labels[image]]}
    row |= {"wrong": int(found.wrong[place]), "runs": runs, "said": work.names[found.said[place]]}
    row |= {"votes": int(found.votes[place])}
    row |= {key: round(100 * float(getattr(found, key)[place]), 1) for key in ("given", "other")}
    return row | {"suspected": "yes" if found.suspected[place] else ""}


def _draw(path: pathlib.Path, work: Work, rows: list[dict]) -> None:
    cells = []
    for row in rows:
        lines = [
            f"{_cells.cut(row['class'])} {row['given']:.0f} %",
            f"said: {_cells.cut(row['said'])}",
            f"{row['votes']} of {row['runs']}, {row['other']:.0f} %",
            f"image {row['image']}{', suspected' if row['suspected'] else ''}",
        ]
        cells.append(_cells.Cell([work.data.validation.images[row["image"]]], [lines]))
    _cells.draw(path, cells)
