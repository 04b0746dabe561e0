"""What is asked of embeddings, and what each part of the answer is given."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from experiments.datasets import Dataset, Split
from experiments.listener import SILENT, Listener
from experiments.runs import Run, class_number, short_names

PIXELS = "pixels"
# Shares of what PCA keeps before t-SNE: of the sum of singular values, as P2, or of the variance.
SHARES_OF = ("values", "variance")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What is to be looked at, and how much of it.

    `parts` are names of `experiments.embeddings.embed.PARTS`, all by default. `classes` are drawn
    by the seed for pictures of classes, or named by `only` (names, ids or numbers). `per_class`
    images of each at most are embedded by t-SNE, after a PCA that keeps the share `keep` of what
    `keep_of` says, once for each of the `perplexities`. An image is rebuilt from each number of
    components in `rebuilt`. `shown` images or pairs stand on a sheet at most.
    """

    parts: Sequence[str] = ()
    classes: int = 5
    only: Sequence[str] = ()
    per_class: int = 200
    perplexities: Sequence[float] = (1, 2, 5, 10, 20, 30, 40, 50)
    keep: float = 0.9
    keep_of: str = "values"
    rebuilt: Sequence[int] = (1, 6, 25, 100, 500)
    shown: int = 24
    seed: int = 0

    def __post_init__(self):
        for name in ("classes", "per_class", "shown"):
            if (value := getattr(self, name)) < 1:
                raise ValueError(f"{name}={value}: give a whole number of 1 or more")
        for name in ("perplexities", "rebuilt"):
            values = getattr(self, name)
            if not values or min(values) < 1:
                raise ValueError(f"{name}={values}: give numbers of 1 or more")
        if not 0 < self.keep <= 1:
            raise ValueError(f"keep={self.keep}: give a share above 0, at most 1")
        if self.keep_of not in SHARES_OF:
            raise ValueError(f"keep_of={self.keep_of!r}: give {' or '.join(SHARES_OF)}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed={self.seed}: give a number from 0 to 2^32 - 1")


class Flat:
    """Images (n, h, w, c) as rows (n, h * w * c) of the same numbers, made when they are read."""

    def __init__(self, images):
        self.images = images
        self.shape = (len(images), int(np.prod(images.shape[1:])))
        self.dtype, self.ndim = images.dtype, 2

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key) -> np.ndarray:
        found = np.asarray(self.images[key])
        return found.reshape(*found.shape[:-3], -1)


class Space:
    """Images as points: rows of `train` (n, d) and of `validation` (m, d), in the data's order.

    Pixels are uint8, read when they are asked for; features are float32, computed once, when they
    are first asked for. Both take slices and arrays of numbers of rows.
    """

    def __init__(self, name: str, data: Dataset, rows: Callable[[Split], np.ndarray | Flat]):
        self.name = name
        self._data, self._rows = data, rows

    @functools.cached_property
    def train(self) -> np.ndarray | Flat:
        """Of all training images of the data set."""
        return self._rows(self._data.train)

    @functools.cached_property
    def validation(self) -> np.ndarray | Flat:
        """Of its validation images."""
        return self._rows(self._data.validation)


@dataclasses.dataclass(frozen=True, eq=False)
class Work:
    """What each part works on: data, spaces by their name (pixels first), runs, and the wish."""

    data: Dataset
    spaces: Mapping[str, Space]
    asked: Asked
    runs: Sequence[Run] = ()
    listener: Listener = SILENT

    @functools.cached_property
    def names(self) -> list[str]:
        """Names of classes, short, each once."""
        return short_names(self.data.class_names, self.data.class_ids)

    @functools.cached_property
    def classes(self) -> np.ndarray:
        """Numbers of the classes that pictures show: those that are named, or drawn by the seed."""
        if self.asked.only:
            return np.array([self._number(name) for name in self.asked.only])
        count = min(self.asked.classes, len(self.names))
        return np.sort(np.random.RandomState(self.asked.seed).permutation(len(self.names))[:count])

    def _number(self, name: str) -> int:
        number = class_number(name, self.data.class_names, self.data.class_ids)
        if number is None:
            some = ", ".join(self.names[:10]) + (", ..." if len(self.names) > 10 else "")
            raise ValueError(
                f"class {name!r}: {self.data.name} has {len(self.names)} classes, numbered from 0 "
                f"to {len(self.names) - 1}: {some}"
            )
        return number


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A picture in the folder: its file, and what it shows in a sentence without a full stop."""

    file: str
    title: str
    about: str


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table: the key in its rows, the heading with its unit, digits of numbers.

    `digits=None`: a text.
    """

    key: str
    title: str
    digits: int | None = None


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows that are kept as CSV in the folder and shown under `columns`; `about` as of a sheet."""

    file: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, float | str]]
    about: str = ""


@dataclasses.dataclass(frozen=True)
class Part:
    """What one part found: sentences, pictures and tables."""

    title: str
    notes: Sequence[str] = ()
    sheets: Sequence[Sheet] = ()
    tables: Sequence[Table] = ()


def cells(columns: Sequence[Column], row: Mapping[str, float | str]) -> list[str]:
    """Return the texts of a table's row."""
    values = [(row[column.key], column.digits) for column in columns]
    return [
        str(value) if digits is None or value == "" else f"{value:,.{digits}f}"
        for value, digits in values
    ]
