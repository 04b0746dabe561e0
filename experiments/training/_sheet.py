"""The sheet of a set of adversarial images: clean, perturbed, difference."""

import pathlib
import warnings
from collections.abc import Sequence

import numpy as np

SHOWN, COLUMNS = 12, 6  # images on the sheet, three cells each; cells in a row
NAME = 18  # letters of a class name that a cell has room for
CELL, LINE = 110, 13  # units of 1/72 inch: width of a cell, height of a line of its caption


def draw(
    path: pathlib.Path,
    images: Sequence[np.ndarray],
    probs: Sequence[np.ndarray],
    rows: dict[str, np.ndarray],
    names: Sequence[str],
) -> None:
    """Write the sheet: images at even distances by class, each clean, perturbed, difference.

    `images` and `probs` are those before and after the attack, `rows` its indices, labels and
    targets.
    """
    by_class = np.argsort(rows["labels"], kind="stable")
    shown = by_class[np.linspace(0, len(by_class) - 1, min(SHOWN, len(by_class))).astype(int)]
    cells, captions = [], []
    for i in shown:
        clean, perturbed = images[0][i], images[1][i]
        change = perturbed.astype(int) - clean
        factor = 127 // max(1, np.abs(change).max())
        cells += [clean, perturbed, (128 + factor * change).astype(np.uint8)]
        said = [f"says {names[p[i].argmax()]}\n{100 * p[i].max():.0f} % sure" for p in probs]
        aim = f"aimed at {names[rows['targets'][i]]}" if "targets" in rows else "aimed away"
        captions += [
            f"{names[rows['labels'][i]]}\n{said[0]}",
            f"{aim}\n{said[1]}",
            f"difference, {factor} times",
        ]
    _write(path, cells, captions)


def _write(path: pathlib.Path, cells: Sequence[np.ndarray], captions: Sequence[str]) -> None:
    """Draw the cells row by row with a caption under each, two pixels per unit."""
    from matplotlib.figure import Figure

    count = -(-len(cells) // COLUMNS)
    lines = max(caption.count("\n") + 1 for caption in captions)
    height = CELL - 6 + LINE * lines
    # The sizes are known, and solving the layout of 36 axes would take seconds.
    figure = Figure(figsize=(CELL * COLUMNS / 72, height * count / 72), layout="none")
    grid = figure.subplots(count, COLUMNS, squeeze=False)
    space = {"wspace": 0.08, "hspace": (height - 100) / 100}
    figure.subplots_adjust(0.01, LINE * lines / height / count, 0.99, 0.995, **space)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, cell, caption in zip(grid.flat, cells, captions, strict=False):
        axes.imshow(cell.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        below = {"transform": axes.transAxes, "ha": "center", "va": "top", "size": 8}
        # A class may be called "$5".
        axes.text(0.5, -0.05, caption, color="#1c2128", parse_math=False, **below)
    with warnings.catch_warnings():
        # Class names in any script: matplotlib's own font has not all glyphs.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(path, dpi=144, facecolor="white")
