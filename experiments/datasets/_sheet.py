"""A contact sheet: what the images look like, class by class."""

import functools
import os
import pathlib
import textwrap

import numpy as np
from PIL import Image

from experiments import _files
from experiments.datasets._dataset import Dataset

_ROWS, _COLUMNS = 10, 10
# Pixels of the page: wanted edge of a cell, space between cells, room for the title, and for a
# letter of a name (in the widest letters of a 10 point font).
_CELL, GAP, _TOP, LETTER, _DPI = 96, 6, 44, 9, 100
_NAME_LETTERS = 22


def sheet_path(name: str, path: str | pathlib.Path | None = None) -> pathlib.Path:
    """Return the PNG that `draw_sheet` writes for a data set's name: `path`, or `path`/NAME.png.

    Cheap; raises `ValueError` where it cannot be written, before images are decoded for it.
    """
    sheet = pathlib.Path(os.path.expanduser(path or "."))
    if sheet.suffix.lower() != ".png":
        if sheet.is_file():
            raise ValueError(f"out (--out) {sheet} is a file: give a .png or a folder")
        sheet = sheet / f"{name}.png"
    return _files.check_writable(sheet)


def draw_sheet(dataset: Dataset, path: str | pathlib.Path | None = None) -> pathlib.Path:
    """Write a PNG with a row of ten training images for each class, of up to ten classes.

    Of more classes or images, it shows those at even distances; boxes are drawn where there are
    any. Small images are enlarged by whole factors, pixel by pixel. `path` is the PNG or a folder
    for NAME.png (default: the working folder); returns the PNG.
    """
    path = sheet_path(dataset.name, path)
    classes = _spread(len(dataset.class_names), _ROWS)
    rows = [_spread_of_class(dataset, label) for label in classes]
    (height, width), scale = cell(dataset.image_shape)
    step_y, step_x = height + GAP, width + GAP
    cells = [[dataset.train.images[index] for index in row] for row in rows]
    sheet = grid(cells, _COLUMNS, dataset.image_shape)
    left = GAP * 4 + LETTER * max(len(line) for c in classes for line in _lines(dataset, c))
    page, axes = open_page(sheet, left, _title(dataset))
    for number, (label, row) in enumerate(zip(classes, rows, strict=True)):
        _name(axes, dataset, label, number * step_y + height / 2)
        if dataset.train.boxes is not None:
            for column, box in enumerate(dataset.train.boxes[row]):
                _outline(axes, box, scale, column * step_x, number * step_y)
    with _files.atomic(path) as part:
        page.savefig(part)
    return path


def grid(rows: list[list[np.ndarray | None]], columns: int, shape: tuple) -> np.ndarray:
    """Lay images (h, w, c) uint8 of one shape out as the cells of a white sheet (h, w, 3)."""
    (height, width), _ = cell(shape)
    step_y, step_x = height + GAP, width + GAP
    sheet = np.full((len(rows) * step_y - GAP, columns * step_x - GAP, 3), 255, np.uint8)
    for y, row in zip(range(0, len(sheet), step_y), rows, strict=True):
        for column, pixels in enumerate(row):
            if pixels is not None:
                place = sheet[y : y + height, column * step_x :][:, :width]
                place[:] = _thumbnail(pixels, height, width)
    return sheet


def open_page(sheet: np.ndarray, left: float, title: str):
    """Return a figure with a title and the sheet, `left` pixels from its edge, and its axes."""
    from matplotlib import figure

    size = np.array([left + sheet.shape[1] + GAP, _TOP + sheet.shape[0] + GAP])
    page = figure.Figure(figsize=size / _DPI, dpi=_DPI)
    # One pixel of the sheet is one pixel of the page: nothing is resampled.
    axes = page.add_axes(
        [left / size[0], GAP / size[1], sheet.shape[1] / size[0], sheet.shape[0] / size[1]]
    )
    axes.imshow(sheet, interpolation="nearest", aspect="auto")
    axes.axis("off")
    words = page.text(left / size[0], 1 - _TOP / 2 / size[1], title, va="center", parse_math=False)
    words.set_fontsize(11)
    return page, axes


def _title(dataset: Dataset) -> str:
    height, width, channels = dataset.image_shape
    count, shown = len(dataset.class_names), min(len(dataset.class_names), _ROWS)
    classes = f"{count} classes" if shown == count else f"{shown} of {count} classes"
    return f"{dataset.name}: training images of {classes}, {width}x{height}x{channels}"


def _name(axes, dataset: Dataset, label: int, y: float) -> None:
    name, wnid = dataset.class_names[label], dataset.class_ids[label]
    # Names are names, whatever they hold: no TeX.
    write = functools.partial(axes.text, -14, ha="right", parse_math=False)
    text = "\n".join(_lines(dataset, label))
    write(y, text, va="bottom" if wnid != name else "center", fontsize=10)
    if wnid != name:
        write(y + 6, wnid, va="top", fontsize=8, color="0.45")


def _lines(dataset: Dataset, label: int) -> list[str]:
    name = dataset.class_names[label]
    return textwrap.wrap(name, _NAME_LETTERS, max_lines=3, placeholder=" ...") or [""]


def _outline(axes, box: np.ndarray, scale: np.ndarray, left: int, top: int) -> None:
    from matplotlib import patches

    first, last = box[:2] * scale, (box[2:] + 1) * scale
    # imshow puts the middle of pixel 0 at 0, its edge at -0.5.
    corner = first + (left - 0.5, top - 0.5)
    frame = patches.Rectangle(corner, *(last - first), fill=False, edgecolor="#ffd400")
    axes.add_patch(frame)


def cell(shape: tuple[int, int, int]) -> tuple[tuple[int, int], np.ndarray]:
    """Return (height, width) of a cell in pixels, and the factors (x, y) that lead there."""
    edge = max(shape[:2])
    factor = max(1, round(_CELL / edge)) if edge < 2 * _CELL else _CELL / edge
    height, width = (max(1, int(side * factor)) for side in shape[:2])
    return (height, width), np.array([width / shape[1], height / shape[0]])


def _thumbnail(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    pixels = np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels
    smaller = width < pixels.shape[1]
    how = Image.Resampling.LANCZOS if smaller else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(pixels).resize((width, height), how))


def _spread(count: int, wanted: int) -> np.ndarray:
    """At most `wanted` numbers below `count`, at even distances."""
    return np.linspace(0, count - 1, min(count, wanted)).astype(int)


def _spread_of_class(dataset: Dataset, label: int) -> np.ndarray:
    members = np.flatnonzero(dataset.train.labels == label)
    return members[_spread(len(members), _COLUMNS)]
