"""What a prepared data set looks like, for people: facts, a table of classes, a contact sheet."""

import numpy as np

from experiments.datasets import _cache
from experiments.datasets._dataset import Dataset

_TABLE_ROWS = 10


def show(dataset: Dataset, console) -> None:
    """Print counts, sizes, classes and where it all lies to a rich `console`."""
    from rich import markup, table

    facts = table.Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    for key, value in _facts(dataset):
        facts.add_row(key, markup.escape(value))
    console.print(facts, "", _classes(dataset), sep="\n")


def _facts(dataset: Dataset) -> list[tuple[str, str]]:
    height, width, channels = dataset.image_shape
    facts = [
        ("data set", dataset.name),
        ("read from", dataset.origin.read),
        ("images", f"{width}x{height}, {'RGB' if channels == 3 else 'grayscale'}, uint8"),
        ("classes", f"{len(dataset.class_names):,}"),
    ]
    for key, counts in _counts(dataset).items():
        low, high = counts.min(), counts.max()
        each = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        boxes = ", each with a box" if getattr(dataset, key).boxes is not None else ""
        facts.append((key, f"{counts.sum():,} images, {each} per class{boxes}"))
    for kind, count in sorted(dataset.origin.converted.items()):
        facts.append(("converted to RGB", f"{count:,} {kind} images"))
    facts += [("note", note) for note in dataset.origin.notes]
    if dataset.origin.cache is None:
        facts.append(("cache", "none: made again in a moment each time"))
    else:
        size = _cache.size(dataset.origin.cache) / 1e6
        facts.append(("cache", f"{dataset.origin.cache} ({size:,.0f} MB)"))
    return facts


def _classes(dataset: Dataset):
    from rich import markup, table

    counts = _counts(dataset)
    count, named = len(dataset.class_names), dataset.class_ids != dataset.class_names
    classes = table.Table()
    for header in ("label", "class", *(["id"] if named else [])):
        classes.add_column(header, justify="right" if header == "label" else "left")
    for key in counts:
        classes.add_column(key, justify="right")
    for label in range(min(count, _TABLE_ROWS)):
        ids = [dataset.class_ids[label]] if named else []
        numbers = [f"{counts[key][label]:,}" for key in counts]
        texts = (markup.escape(text) for text in (dataset.class_names[label], *ids))
        classes.add_row(str(label), *texts, *numbers)
    if count > _TABLE_ROWS:
        classes.add_row("", f"... and {count - _TABLE_ROWS:,} more")
    return classes


def _counts(dataset: Dataset) -> dict[str, np.ndarray]:
    """Images per class, by split."""
    splits = {"train": dataset.train, "validation": dataset.validation}
    number = len(dataset.class_names)
    return {key: np.bincount(s.labels, minlength=number) for key, s in splits.items()}
