"""The sheet of generated images beside their nearest training images."""

import pathlib
from typing import Any

import numpy as np

from experiments import _files, datasets
from experiments.embeddings.nearest import Nearest

SHOWN, NEIGHBORS = 10, 4  # generated images, training images of each and of each distance


def draw(
    path: pathlib.Path,
    images: np.ndarray,
    training: Any,
    found: dict[str, Nearest],
    title: str,
) -> None:
    """Write a row for each image: itself, and its nearest training images by each distance.

    `images` (n, h, w, c) are those of the rows of `found`, by what distances are of; `training` are
    the images that these number.
    """
    rows = []
    for number, image in enumerate(images):
        row = [image]
        for neighbors in found.values():
            row += [None, *(np.asarray(training[i]) for i in neighbors.rows[number])]
        rows.append(row)
    columns, shape = len(rows[0]), images.shape[1:]
    sheet = datasets.grid(rows, columns, shape)
    page, axes = datasets.open_page(sheet, datasets.GAP, title)
    step = (sheet.shape[1] + datasets.GAP) / columns
    heads = ["generated", *(f"nearest by {of}" for of in found)]
    for place, head in enumerate(heads):
        column = place and 2 + (place - 1) * (NEIGHBORS + 1)
        axes.text(column * step, -4, head, va="bottom", fontsize=8, color="0.35", parse_math=False)
    with _files.atomic(path) as part:
        page.savefig(part)


def chosen(distances: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
    """Return which images are shown, by distances (n,) to training: of each class the nearest.

    Of more classes than there is room for, those at even distances. Without labels (n,), the
    nearest of all, then others at even distances.
    """
    order = np.argsort(distances, kind="stable")
    if labels is not None:
        classes = np.unique(labels)
        picked = np.linspace(0, len(classes) - 1, min(SHOWN, len(classes))).astype(int)
        return np.array([order[labels[order] == one][0] for one in classes[picked]])
    first, others = np.split(order, [min(SHOWN // 2, len(order))])
    spread = np.linspace(0, len(others) - 1, min(SHOWN - len(first), len(others))).astype(int)
    return np.concatenate([first, others[spread]])
