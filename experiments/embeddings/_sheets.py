"""Sheets of images in rows and columns, with words beside and in them."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np

from experiments import _files, datasets

INK = "#1c2128"
NAMED = 120  # pixels on the left for names of rows


def rows(
    path: pathlib.Path,
    cells: Sequence[Sequence[np.ndarray | None]],
    heads: Sequence[str],
    names: Sequence[str],
    title: str,
    *,
    below: Sequence[Sequence[str]] = (),
    left: int = NAMED,
) -> None:
    """Write rows of cells with heads over the columns, names at the left and words in the cells."""
    shape = next(cell.shape for row in cells for cell in row if cell is not None)
    columns = len(cells[0])
    sheet = datasets.grid([list(row) for row in cells], columns, shape)
    page, axes = datasets.open_page(sheet, left, title)
    size = (np.array(sheet.shape[:2]) + datasets.GAP) / (len(cells), columns)
    inside = size - datasets.GAP
    small = {"fontsize": 8, "parse_math": False}
    for column, head in enumerate(heads):
        middle = column * size[1] + inside[1] / 2
        axes.text(middle, -3, head, ha="center", va="bottom", color="0.3", **small)
    for row, name in enumerate(names):
        middle = row * size[0] + inside[0] / 2
        axes.text(-10, middle, name, ha="right", va="center", fontsize=9, parse_math=False)
    for row, texts in enumerate(below):
        for column, text in enumerate(texts):
            place = column * size[1] + 3, row * size[0] + inside[0] - 4
            box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.2}
            axes.text(*place, text, va="bottom", color=INK, bbox=box if text else None, **small)
    with _files.atomic(path) as part:
        page.savefig(part, format="png")
