"""history.csv: one line an epoch, from 1; accuracies in percent, times in seconds.

Columns are loss, top1, top3, top5, the same of validation (val_), lr, images (training images seen
since the start, repeated ones included), seconds, images_per_second; where weights are averaged,
val_loss_ema and val_top1_ema are those of the averaged ones; size is the side of all images in
pixels, where that changes. Runs of earlier versions have no images.
"""

import csv
import io
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments._files import write_text

COLUMNS = ("epoch", "loss", "top1", "val_loss", "val_top1")


class Score(NamedTuple):
    """An accuracy of validation images in percent, and whose it is: `raw` or `ema`."""

    top1: float
    weights: str


def better(line: Mapping[str, float]) -> Score:
    """Return the better of what an epoch's weights and their average score, if there is one."""
    raw = Score(line["val_top1"], "raw")
    averaged = Score(line.get("val_top1_ema", -1.0), "ema")
    return averaged if averaged.top1 > raw.top1 else raw


def write(path: pathlib.Path, history: list[dict[str, float]]) -> None:
    """Write the whole history anew."""
    text = io.StringIO()
    if history:
        writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator=os.linesep)
        writer.writeheader()
        writer.writerows(
            {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()}
            for row in history
        )
    write_text(path, text.getvalue())


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Read the history by column; an empty cell is NaN. ValueError says what is wrong."""
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    missing = [name for name in COLUMNS if name not in header]
    if missing or not rows:
        raise ValueError(f"no column {', '.join(missing)}" if missing else "no epochs")
    values = np.empty((len(rows), len(header)))
    for number, row in enumerate(rows):
        try:
            values[number] = [float(cell) if cell else np.nan for cell in row]
        except ValueError as error:
            raise ValueError(f"line {number + 2}: {error}") from error
    return dict(zip(header, values.T, strict=True))


def best(columns: Mapping[str, Sequence[float]]) -> int:
    """Return the place of the best epoch on validation images, the first of equals.

    The better of its weights and their average counts. Where the size of images changes, only
    epochs of the last size are compared.
    """
    scores = [columns[key] for key in ("val_top1", "val_top1_ema") if key in columns]
    top1 = np.nan_to_num(np.max(np.asarray(scores, float), axis=0), nan=-1)
    if "size" in columns:
        size = np.asarray(columns["size"])
        top1 = np.where(size == size[-1], top1, -1)
    return int(np.argmax(top1))
