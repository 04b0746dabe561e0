"""What a data set holds, in words and numbers, for people."""

from typing import NamedTuple

import numpy as np

from experiments.datasets import _cache
from experiments.datasets._dataset import Dataset, Enlarged, Origin

_TABLE_ROWS = 10


class Summary(NamedTuple):
    """Facts as (key, value), of which keys may repeat, and the first rows of a table of classes.

    Every row has as many texts as `headers`; the last one may say how many classes follow.
    """

    facts: list[tuple[str, str]]
    headers: list[str]
    rows: list[list[str]]


def summary(dataset: Dataset) -> Summary:
    """Return counts, sizes, classes, and where it all lies."""
    return Summary(_facts(dataset), *_classes(dataset))


def _facts(dataset: Dataset) -> list[tuple[str, str]]:
    height, width, channels = dataset.image_shape
    origin = dataset.origin or Origin("memory", None)
    images = dataset.train.images
    how = f", {images.told} when read" if isinstance(images, Enlarged) else ""
    color = "RGB" if channels == 3 else "grayscale"
    facts = [
        ("data set", dataset.name),
        ("read from", origin.read),
        ("images", f"{width}x{height}, {color}, uint8{how}"),
        ("classes", f"{len(dataset.class_names):,}"),
    ]
    for key, counts in _counts(dataset).items():
        low, high = counts.min(), counts.max()
        each = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        boxes = ", each with a box" if getattr(dataset, key).boxes is not None else ""
        facts.append((key, f"{counts.sum():,} images, {each} per class{boxes}"))
    for kind, count in sorted(origin.converted.items()):
        facts.append((f"converted to {color}", f"{count:,} {kind} images"))
    facts += [("note", note) for note in origin.notes]
    if origin.cache is None:
        facts.append(("cache", "none: made again in a moment each time"))
    else:
        size = _cache.size(origin.cache) / 1e6
        facts.append(("cache", f"{origin.cache} ({size:,.0f} MB)"))
    return facts


def _classes(dataset: Dataset) -> tuple[list[str], list[list[str]]]:
    counts = _counts(dataset)
    count, named = len(dataset.class_names), dataset.class_ids != dataset.class_names
    headers = ["label", "class", *(["id"] if named else []), *counts]
    rows = []
    for label in range(min(count, _TABLE_ROWS)):
        ids = [dataset.class_ids[label]] if named else []
        numbers = [f"{counts[key][label]:,}" for key in counts]
        rows.append([str(label), dataset.class_names[label], *ids, *numbers])
    if count > _TABLE_ROWS:
        more = ["", f"... and {count - _TABLE_ROWS:,} more"]
        rows.append(more + [""] * (len(headers) - len(more)))
    return headers, rows


def _counts(dataset: Dataset) -> dict[str, np.ndarray]:
    """Images per class, by split."""
    splits = {"train": dataset.train, "validation": dataset.validation}
    number = len(dataset.class_names)
    return {key: np.bincount(s.labels, minlength=number) for key, s in splits.items()}
