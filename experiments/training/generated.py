"""Images of a finished generator, to learn from: made once, kept, and no Keras where they are.

They lie beside the decoded data sets, under a name that is a digest of all that they depend on: the
generator's file, the seed, and how many of each class.
"""

import hashlib
import pathlib

import numpy as np

from experiments import _files
from experiments.datasets import Dataset, Split
from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.recipes import KINDS, Row, Share, Train
from experiments.recipes.kinds import function
from experiments.runs import Run

# Raise it when the same generator would make other images.
_VERSION = 1


def check(row: Train, generator: Row) -> None:
    """Raise `ValueError` unless a row may learn images of the generator that another row is.

    That must know no image that the row leaves out, and make images of each class.
    """
    told = f"{row.recipe}: generated.run: {row.generated.run}"
    check_makes_images(generator, told)
    check_conditional(generator, told)
    if generator.data != row.data:
        raise ValueError(
            f"{told} makes images as those of {generator.data.told()}, and the row's are "
            f"{row.data.told()}: both need the same images (every field of data)"
        )
    theirs = getattr(generator, "share", Share())
    if theirs != row.share:
        raise ValueError(
            f"{told} learned from {theirs!r} of the training images, and the row learns from "
            f"{row.share!r}: images that one leaves out would come back through the other; set "
            "the fields of share that differ"
        )


def check_makes_images(row: Row, told: str) -> None:
    """Raise `ValueError` for a row that is no generator; `told` is what the message calls it."""
    if not KINDS[row.kind].images:
        kinds = ", ".join(name for name, kind in KINDS.items() if kind.images)
        raise ValueError(
            f"{told} is of kind {row.kind}, which makes no images: give a run of kind {kinds}"
        )


def check_conditional(row: Row, told: str) -> None:
    """Raise `ValueError` for a generator that knows no classes."""
    if not getattr(row, "conditional", True):
        raise ValueError(
            f"{told} is an unconditional generator: what it makes has no class to be learned or "
            "asked for; give a conditional one"
        )


def added(row: Train, data: Dataset, place: Place, listener: Listener = SILENT) -> Dataset:
    """Return the row's data set with the images that its generator makes, from the cache or new.

    Raises `ValueError` for a generator that is not finished, is none, or is of other images.
    """
    run = Run(place.named(row, row.generated.run))
    _ = run.metrics  # says how to make it
    check(row, run.row)
    run.check_data(data)
    count, classes = row.generated.per_class, len(data.class_names)
    labels = labels_of(classes, count)
    images = kept(run, labels, row.generated.seed, place.cache_dir, listener)
    check_shape(run, images, data)
    return data.with_generated(Split(images, labels))


def labels_of(classes: int, per_class: int) -> np.ndarray:
    """Return labels (n,) in turn, so that more images of each class begin with the same ones."""
    return np.tile(np.arange(classes), per_class)


def check_shape(run: Run, images: np.ndarray, data: Dataset) -> None:
    """Raise `ValueError` where a generator's images have another shape than its data set's."""
    if images.shape[1:] != data.image_shape:
        raise ValueError(
            f"{run} makes images {images.shape[1:]}, those of {data.name} are {data.image_shape}: "
            "train the generator on images of this size and channels (data.size, data.channels)"
        )


def make(run: Run, labels: np.ndarray, seed: int) -> np.ndarray:
    """Return images (n, h, w, c) uint8 of a finished generator, of labels (n,)."""
    return function(run.kind.images)(run, labels, seed=seed)


def kept(
    run: Run,
    labels: np.ndarray,
    seed: int,
    cache_dir: pathlib.Path | None,
    listener: Listener = SILENT,
) -> np.ndarray:
    """Return a generator's images (n, h, w, c) uint8 of labels (n,), memory-mapped.

    They are made where they were not before; the seed, the labels and the generator's file say
    which they are.
    """
    with open(run.generator_file, "rb") as file:
        made_by = hashlib.file_digest(file, "sha256").hexdigest()
    classes = hashlib.sha256(np.ascontiguousarray(labels, "<i8")).hexdigest()
    key = repr([_VERSION, made_by, seed, classes])
    name = f"{run.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npy"
    path = _files.cache_folder(cache_dir) / "generated" / name
    if not path.exists():
        listener.say(f"{run} makes {len(labels):,} images, kept in {path}")
        images = make(run, labels, seed)
        with _files.atomic(path) as part:
            np.save(part, images)
    try:
        # A plain view: one image costs ten times as much through NumPy's memmap class.
        return np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(
            f"the generated images in {path} are damaged ({error}): delete that file, and they are "
            "made again"
        ) from error
