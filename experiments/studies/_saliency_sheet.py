"""The sheet of a method: images with their boxes, and of each model the map and an overlay."""

from __future__ import annotations

import pathlib
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments import _files
from experiments.studies._subjects import Pictures

CELL, GAP = 100, 10  # units of 1/72 inch: side of a cell, space between cells
LINE, SIZE = 12, 8.5  # height of a line of text, size of its font
WIDEST = 9  # cells in a row, where a model has fewer
INK, BOX = "#1c2128", "#ffd400"
# Before a prediction, and its color: right, wrong, nobody knows.
MARKS = {
    True: ("\N{CHECK MARK} ", "#0f6b43"),
    False: ("\N{BALLOT X} ", "#b3261e"),
    None: ("", INK),
}
COLORS = "inferno"
HIGHEST = 99.5  # percentile of a map that gets the last color: single pixels would darken the rest
LETTERS = 21  # of a class name that a cell has room for


class Column(NamedTuple):
    """What a model says of each image: map (n, h, w), class explained, probabilities."""

    name: str
    maps: np.ndarray
    classes: np.ndarray
    probs: np.ndarray


def draw(
    path: pathlib.Path, pictures: Pictures, columns: Sequence[Column], names: Sequence[str]
) -> None:
    """Write the sheet as PNG: a group of cells for each image, beside each other where narrow.

    Every map is drawn from 0 to its own 99.5th percentile. The overlay has the image in gray where
    the map is low. Under a map: the class that it is of; under an overlay: what the model says.
    """
    from matplotlib.figure import Figure

    wide = 1 + 2 * len(columns)
    groups = max(1, min(WIDEST // wide, len(pictures.images)))
    rows = -(-len(pictures.images) // groups)
    step = np.array([CELL + GAP, CELL + GAP / 2 + 2 * LINE])
    size = step * (groups * wide, rows) + (GAP * groups, LINE + GAP)
    figure = Figure(figsize=size / 72, layout="none")

    def cell(group: int, row: int, place: int, pixels: np.ndarray):
        left = GAP + group * (wide * step[0] + GAP) + place * step[0]
        top = size[1] - LINE - GAP - row * step[1]
        bounds = np.array([left, top - CELL, CELL, CELL]) / np.tile(size, 2)
        axes = figure.add_axes(bounds)
        axes.set_axis_off()
        axes.imshow(pixels.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        return axes

    for number in range(len(pictures.images)):
        row, group = divmod(number, groups)
        image = pictures.images[number]
        box = None if pictures.boxes is None else pictures.boxes[number]
        axes = cell(group, row, 0, image)
        _outline(axes, box)
        _write(axes, [_cut(pictures.names[number])], weight="bold")
        for place, column in enumerate(columns):
            lit = _lit(column.maps[number])
            first = cell(group, row, 1 + 2 * place, _colored(lit))
            second = cell(group, row, 2 + 2 * place, _overlaid(image, lit))
            _outline(second, box)
            _caption(first, second, column, number, pictures.labels, names)
            if row == 0:
                _head(first, column.name)
    with _files.atomic(path) as part, warnings.catch_warnings():
        # Class names in any script: matplotlib's own font has not all glyphs.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(part, dpi=144, facecolor="white")


def _lit(found: np.ndarray) -> np.ndarray:
    """Return a map from 0 to 1; of zeros, zeros."""
    highest = np.percentile(found, HIGHEST) or found.max()
    return np.clip(found / highest, 0, 1) if highest > 0 else np.zeros_like(found)


def _colored(lit: np.ndarray) -> np.ndarray:
    import matplotlib

    return (255 * matplotlib.colormaps[COLORS](lit)[..., :3]).astype(np.uint8)


def _overlaid(image: np.ndarray, lit: np.ndarray) -> np.ndarray:
    """Return the image in gray, the more covered with color the higher the map is."""
    gray = image.mean(axis=2, keepdims=True)
    share = 0.15 + 0.6 * lit[..., None]
    return ((1 - share) * gray + share * _colored(lit)).astype(np.uint8)


def _outline(axes, box: np.ndarray | None) -> None:
    if box is None:
        return
    from matplotlib import patches

    # imshow puts the middle of pixel 0 at 0, its edge at -0.5; a box holds its last pixel.
    corner, size = box[:2] - 0.5, box[2:] + 1 - box[:2]
    options = {"fill": False, "edgecolor": BOX, "linewidth": 1.2, "clip_on": False}
    axes.add_patch(patches.Rectangle(corner, *size, **options))


def _caption(
    first, second, column: Column, number: int, labels: np.ndarray | None, names: Sequence[str]
) -> None:
    """Write what a map is of, how likely the model takes that, and what it says."""
    probs, explained = column.probs[number], column.classes[number]
    said = int(probs.argmax())
    sure = "" if said == explained else f" ({100 * probs[explained]:.0f} %)"
    _write(first, ["map of", _cut(names[explained]) + sure])
    mark, color = MARKS[None if labels is None else bool(said == labels[number])]
    _write(second, [mark + _cut(names[said]), f"{100 * probs[said]:.0f} %"], color=color)


def _write(axes, lines: Sequence[str], **style) -> None:
    # A class may be called "$5".
    options = {"color": INK, "size": SIZE, "parse_math": False} | style
    place = {"xycoords": "axes fraction", "textcoords": "offset points"}
    place |= {"ha": "center", "va": "top", "annotation_clip": False}
    axes.annotate("\n".join(lines), (0.5, 0), (0, -2), **place, **options)


def _head(axes, text: str) -> None:
    """Write a model's name over its two cells."""
    options = {"color": INK, "size": SIZE + 1, "weight": "bold", "parse_math": False}
    place = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "center"}
    axes.annotate(text, (1 + GAP / CELL / 2, 1), (0, 4), **place, **options)


def _cut(name: str) -> str:
    return name if len(name) <= LETTERS else f"{name[: LETTERS - 1].rstrip()}…"
