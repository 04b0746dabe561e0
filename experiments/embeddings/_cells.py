"""A sheet of cells: one image or a pair side by side, lines of text below."""

from __future__ import annotations

import pathlib
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments import _files

SIDE, GAP, LINE, SIZE = 100, 12, 11, 8  # units of 1/72 inch; size of the font
WIDE = 960  # of the whole sheet, about
INK = "#1c2128"
LETTERS = 22  # of a name that the width of one image has room for


class Cell(NamedTuple):
    """Images (h, w, c) uint8 beside each other, and for each the lines below it."""

    images: Sequence[np.ndarray]
    lines: Sequence[Sequence[str]]


def draw(path: pathlib.Path, cells: Sequence[Cell]) -> None:
    """Write cells of equally many images and lines as PNG, row by row; at least one cell."""
    from matplotlib.figure import Figure

    count, lines = len(cells[0].images), len(cells[0].lines[0])
    step = np.array([count * (SIDE + 4) + 2 * GAP, SIDE + LINE * (lines + 1) + GAP])
    columns = min(len(cells), max(1, int(WIDE // step[0])))
    size = step * (columns, -(-len(cells) // columns)) + (0, GAP)
    figure = Figure(figsize=size / 72, layout="none")
    for number, cell in enumerate(cells):
        row, column = divmod(number, columns)
        for place, (image, text) in enumerate(zip(cell.images, cell.lines, strict=True)):
            left = column * step[0] + GAP + place * (SIDE + 4)
            bottom = size[1] - row * step[1] - GAP - SIDE
            axes = figure.add_axes(np.array([left, bottom, SIDE, SIDE]) / np.tile(size, 2))
            axes.set_axis_off()
            axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            _write(axes, text)
    with _files.atomic(path) as part, warnings.catch_warnings():
        # Class names in any script: matplotlib's own font has not all glyphs.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(part, dpi=144, facecolor="white")


def cut(name: str) -> str:
    """Return a name as far as there is room."""
    return name if len(name) <= LETTERS else f"{name[: LETTERS - 1].rstrip()}…"


def _write(axes, lines: Sequence[str]) -> None:
    place = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top"}
    # A class may be called "$5".
    style = {"color": INK, "size": SIZE, "parse_math": False, "annotation_clip": False}
    axes.annotate("\n".join(lines), (0, 0), (0, -3), **place, **style)
