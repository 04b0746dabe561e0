"""history.csv: one line an epoch, from 1; accuracies in percent, times in seconds.

Columns are loss, top1, top3, top5, the same of validation (val_), lr, images (training images seen
since the start, repeated ones included), seconds, images_per_second; where weights are averaged,
val_loss_ema and val_top1_ema are those of the averaged ones; size is the side of all images in
pixels, where that changes. Runs of earlier versions have no images.

A generator's has discriminator_loss, generator_loss, images, seconds and images_per_second.

progress.csv: a line every so many steps; columns are epoch (in which it lies), step (since the
start), images, seconds (of training so far), train_top1 (of the batches since the last line, as
they were trained on), val_loss, val_top1 (empty where validation was not measured). Runs of earlier
versions have no train_top1.
"""

import csv
import io
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments._files import write_text

COLUMNS = ("epoch", "loss", "top1", "val_loss", "val_top1")
OF_GENERATOR = ("epoch", "discriminator_loss", "generator_loss", "seconds")
PROGRESS = ("epoch", "step", "images", "seconds", "val_loss", "val_top1")
WITHIN = ("epoch", "step", "images", "seconds", "train_top1", "val_loss", "val_top1")
# Paper P1 judges how fast networks learn by when their accuracy in training passes this, percent.
LEARNED = 30


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


def read(path: pathlib.Path, columns: Sequence[str] = COLUMNS) -> dict[str, np.ndarray]:
    """Read lines by column; an empty cell is NaN. ValueError says what is wrong."""
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    missing = [name for name in columns if name not in header]
    if missing or not rows:
        raise ValueError(f"no column {', '.join(missing)}" if missing else "no lines")
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


def by_images(run: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return images seen and validation top-1 in percent of all lines of a run that know both."""
    known = [table for table in (run.progress, run.history) if "images" in table]
    images, top1 = (
        np.concatenate([table[name] for table in known] or [np.empty(0)])
        for name in ("images", "val_top1")
    )
    measured = ~np.isnan(top1)
    images, first = np.unique(images[measured], return_index=True)
    return images, top1[measured][first]


def reached_in_training(lines: Sequence[Mapping[str, float]]) -> dict[str, int | None]:
    """Return after how many images training itself first reached 30 %, by lines of progress.csv.

    `images_to_30` is None where it never did; `images_to_30_window` is over how many batches each
    accuracy is taken: those from one line to the next. Empty where there are no such lines.
    """
    known = [line for line in lines if line["train_top1"] is not None]
    if not known:
        return {}
    images = (line["images"] for line in known if line["train_top1"] >= LEARNED)
    window = int(known[-1]["step"] - (known[-2]["step"] if len(known) > 1 else 0))
    return {f"images_to_{LEARNED}": next(images, None), f"images_to_{LEARNED}_window": window}


def images_until(run: Any, top1: float) -> int | None:
    """Return after how many training images validation first reached `top1` percent, if ever."""
    images, reached = by_images(run)
    found = images[reached >= top1]
    return int(found[0]) if len(found) else None
