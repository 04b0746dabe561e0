"""What `load` returns: images, labels and names, with lazy subsets and a stratified holdout."""

import dataclasses
import hashlib
import os
import pathlib
from concurrent import futures

import numpy as np

from experiments.datasets import _pixels

# Images are read in portions of this size for their digest.
_DIGEST_BYTES = 2**23
# So many images to enlarge are worth starting a thread.
_IMAGES_OF_A_THREAD = 16


class Rows:
    """Chosen rows of an array, fetched when they are asked for.

    Stands in for `base[rows]` where that copy would not fit in memory: it has a shape and a
    length, takes the same first index, and `np.asarray` of it is the copy.
    """

    def __init__(self, base: np.ndarray, rows: np.ndarray):
        self.base, self.rows = base, rows
        self.shape = (len(rows), *base.shape[1:])
        self.dtype, self.ndim = base.dtype, base.ndim

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key) -> np.ndarray:
        return self.base[self.rows[key]]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self.base[self.rows], dtype=dtype)


class Enlarged:
    """Images that are kept as small as they were stored, and enlarged when they are asked for.

    Stands in for an array (n, size, size, c) of the pixels that Pillow makes of `stored`, (n, h, w,
    c) uint8, with its filter `resample`. Where a device is to do it: `augment.enlarge`.
    """

    def __init__(self, stored: "np.ndarray | Rows", size: int, resample: str):
        self.stored, self.size, self.resample = stored, size, resample
        self.shape = (len(stored), size, size, stored.shape[-1])
        self.dtype, self.ndim = stored.dtype, stored.ndim

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, key) -> np.ndarray:
        pixels = self.stored[key]
        if pixels.ndim < self.ndim:
            return self._enlarged(pixels)
        found = np.empty((len(pixels), *self.shape[1:]), self.dtype)

        def fill(rows: range) -> None:
            for row in rows:
                found[row] = self._enlarged(pixels[row])

        # Pillow lets go of Python's lock while it computes.
        count = max(1, min(os.cpu_count() or 1, len(pixels) // _IMAGES_OF_A_THREAD))
        shares = [range(start, len(pixels), count) for start in range(count)]
        if count == 1:
            fill(shares[0])
        else:
            with futures.ThreadPoolExecutor(count) as threads:
                list(threads.map(fill, shares))
        return found

    def _enlarged(self, pixels: np.ndarray) -> np.ndarray:
        return _pixels.fit_pixels(pixels, (self.size, self.size), self.resample)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)

    @property
    def told(self) -> str:
        """How they come about, for people and digests."""
        height, width = self.stored.shape[1:3]
        return f"enlarged from {width}x{height} to {self.size}x{self.size} by {self.resample}"


def _rows(images: "Images", rows: np.ndarray) -> "Rows | Enlarged":
    """Return chosen rows; what is stored small stays so, and nothing is wrapped twice."""
    if isinstance(images, Enlarged):
        return Enlarged(_rows(images.stored, rows), images.size, images.resample)
    if isinstance(images, Rows):
        return Rows(images.base, images.rows[rows])
    return Rows(images, rows)


class Joined:
    """Images of two arrays behind each other; nothing is copied before it is asked for."""

    def __init__(self, first: "Images", second: "Images"):
        self.first, self.second = first, second
        self.shape = (len(first) + len(second), *first.shape[1:])
        self.dtype, self.ndim = first.dtype, first.ndim

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key) -> np.ndarray:
        rows = key if isinstance(key, np.ndarray) else np.arange(len(self))[key]
        indices = np.atleast_1d(rows)
        found = np.empty((len(indices), *self.shape[1:]), self.dtype)
        later = indices >= len(self.first)
        found[~later] = self.first[indices[~later]]
        found[later] = self.second[indices[later] - len(self.first)]
        return found if np.ndim(rows) else found[0]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)


Images = np.ndarray | Rows | Enlarged | Joined


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels, in a fixed order.

    `images`: (n, h, w, c) uint8, read-only; usually a memory-mapped file, after `take` lazy rows
    of it, enlarged when read where they are stored smaller. `labels`: (n,) int64. `boxes`: (n, 4)
    float32, or None where the data set has none: x and y of the first corner, then of the second,
    in pixels of `images`, both inside the box.
    """

    images: Images
    labels: np.ndarray
    boxes: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices) -> "Split":
        """Those images only, in that order; `indices` as NumPy takes them. Copies no image."""
        rows = np.arange(len(self))[indices]
        boxes = None if self.boxes is None else self.boxes[rows]
        return Split(_rows(self.images, rows), self.labels[rows], boxes)

    def join(self, other: "Split") -> "Split":
        """Return these images and then those of `other`, which must be of one shape; no boxes."""
        if self.images.shape[1:] != other.images.shape[1:]:
            raise ValueError(
                f"images of {other.images.shape[1:]} cannot follow images of "
                f"{self.images.shape[1:]}: give both one size and number of channels"
            )
        return Split(Joined(self.images, other.images), np.concatenate([self.labels, other.labels]))

    def batch(self, indices) -> np.ndarray:
        """Copy the images at `indices` into one (len(indices), h, w, c) uint8 array."""
        return self.images[np.asarray(indices, dtype=np.intp)]


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where a data set came from.

    `read` says what was read, `cache` is the folder of its arrays (None: kept in memory),
    `converted` counts by their kind (`grayscale`) the images that were not stored as they now are,
    RGB or gray, and `notes` say what else was made of them and name what was left out.
    """

    read: str
    cache: pathlib.Path | None
    converted: dict[str, int] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A data set as `load` returns it.

    Label i is the class `class_names[i]`; `class_ids` are the names that the files use
    (WordNet ids in Tiny ImageNet), equal to `class_names` where there are no others.
    `digest` is that of the images and labels of `train` and of `validation` as they were loaded
    (of enlarged images: as they are stored, and how they are enlarged):
    what is made of a data set by `holdout` and `without` keeps the digest of the whole.
    `generated` are no part of it and are to be learned all the same, `with_generated`.
    """

    name: str
    train: Split
    validation: Split
    class_names: tuple[str, ...]
    class_ids: tuple[str, ...]
    origin: Origin | None = None
    digest: dict[str, str] | None = None
    generated: Split | None = None

    def __post_init__(self):
        if self.digest is None:
            found = {key: digest(getattr(self, key)) for key in ("train", "validation")}
            object.__setattr__(self, "digest", found)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of every image."""
        return tuple(self.train.images.shape[1:])

    def holdout(self, fraction: float, seed: int = 0) -> tuple["Dataset", Split]:
        """Take a share of every class out of the training images, by (fraction, seed) alone.

        Returns this data set without them, and them. What is fitted on the second part, such as
        the head of a stack, sees images that the members trained on the first never saw.
        Raises `ValueError` where a class would be left empty on either side.
        """
        try:
            rest, held = stratified(self.train.labels, fraction, seed)
        except TooFew as error:
            name = self.class_names[error.label]
            raise ValueError(
                f"holdout {fraction} of {self.name}: class {name!r} has {error.count} training "
                f"images and would be left without images on one side; choose another fraction"
            ) from None
        return dataclasses.replace(self, train=self.train.take(rest)), self.train.take(held)

    def folds(self, count: int, seed: int = 0) -> list[np.ndarray]:
        """Divide the training images into `count` parts, every class evenly: indices of each.

        A function of (count, seed) alone; each image is in exactly one part. Raises `ValueError`
        where a class has fewer images than there are parts.
        """
        if not isinstance(count, int) or count < 2:
            raise ValueError(f"folds {count!r}: give a whole number of 2 or more")
        labels = np.asarray(self.train.labels)
        random, place = np.random.RandomState(seed), np.empty(len(labels), int)
        for label in np.unique(labels):
            members = random.permutation(np.flatnonzero(labels == label))
            if len(members) < count:
                raise ValueError(
                    f"{count} folds of {self.name}: class {self.class_names[label]!r} has "
                    f"{len(members)} training images; choose fewer folds"
                )
            place[members] = (np.arange(len(members)) + label) % count
        return [np.flatnonzero(place == part) for part in range(count)]

    def with_generated(self, images: Split) -> "Dataset":
        """Return this data set with images of a generator beside it, which its digest names."""
        return dataclasses.replace(
            self, generated=images, digest=self.digest | {"generated": digest(images)}
        )

    def without(self, indices: np.ndarray) -> "Dataset":
        """Return this data set without some of its training images."""
        rest = np.setdiff1d(np.arange(len(self.train)), indices)
        return dataclasses.replace(self, train=self.train.take(rest))


def digest(split: Split, stored: str | None = None) -> str:
    """Return 16 bytes in hexadecimal over the shape, type, images and labels of a split.

    Of enlarged images it is the digest of those that are stored (`stored`, where that is known),
    and how they are enlarged: no pixel is made for it.
    """
    images = split.images
    if isinstance(images, Enlarged):
        return f"{stored or digest(Split(images.stored, split.labels))} {images.told}"
    found = hashlib.blake2b(f"{tuple(images.shape)} {images.dtype}".encode(), digest_size=16)
    step = max(1, _DIGEST_BYTES // max(1, int(np.prod(images.shape[1:]))))
    for start in range(0, len(split), step):
        found.update(split.batch(range(start, min(start + step, len(split)))).reshape(-1))
    found.update(np.ascontiguousarray(split.labels, "<i8"))
    return found.hexdigest()


class TooFew(ValueError):
    """A class that a stratified division would empty on one side."""

    def __init__(self, label: int, count: int):
        super().__init__(f"label {label} has {count} images, too few to divide")
        self.label, self.count = label, count


def stratified(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide indices so that the second part holds `fraction` of every class, rounded.

    Both parts keep the order of `labels`. `RandomState`, because NumPy keeps its stream the same
    in all versions: another division tomorrow would leak held-out images into training.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction {fraction}: must lie between 0 and 1, both excluded")
    random = np.random.RandomState(seed)
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = int(fraction * len(members) + 0.5)
        if not 0 < count < len(members):
            raise TooFew(int(label), len(members))
        chosen[random.permutation(members)[:count]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)
