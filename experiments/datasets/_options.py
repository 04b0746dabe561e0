"""What may be asked of a data set's pixels; what is wrong with it is told before any long work."""

from collections.abc import Mapping
from typing import Any, TypedDict

from experiments.datasets import _pixels
from experiments.datasets._decode import Target
from experiments.datasets._source import Division, Source

# Networks for small images; 1,000 images of this edge are 3 GB.
_LARGEST = 1024
_CHOICES = {
    "channels": (1, 3),
    "crop": ("boxes", "train_boxes"),
    "background": _pixels.BACKGROUNDS,
    "unreadable": ("skip",),
}


class Pixels(TypedDict, total=False):
    """Which pixels `load` makes of a data set's images; what is left out, or None, changes nothing.

    In this order. `crop`: to their boxes, `boxes` all images, `train_boxes` those to train on
    alone. `channels`: 1, gray by PIL's luma, or 3. `background`: white makes each image a square,
    with it in the middle. `size`: size x size pixels, whatever the proportions then are, with PIL's
    filter `resample`, by default lanczos. Boxes follow all of it. `unreadable`: skip leaves out,
    and names, files that cannot be decoded, which are an error otherwise.

    `validation_share` of every class is set aside, drawn by `validation_seed`, where the files do
    not say which images are for validation: by default 0.2 and 0.
    """

    crop: str | None
    channels: int | None
    background: str | None
    size: int | None
    resample: str
    unreadable: str | None
    validation_share: float | None
    validation_seed: int | None


def check(pixels: Mapping[str, Any]) -> None:
    """Raise `ValueError` for a value that there is not, and `TypeError` for an unknown name."""
    if unknown := pixels.keys() - Pixels.__annotations__.keys():
        names = ", ".join(Pixels.__annotations__)
        raise TypeError(f"{', '.join(sorted(unknown))}: no option of a data set; there are {names}")
    size = pixels.get("size")
    if size is not None and not (_is_whole(size) and 1 <= size <= _LARGEST):
        raise ValueError(
            f"size (--size) {size!r}: give the edge length in whole pixels, from 1 to {_LARGEST}, "
            f"for example 64"
        )
    _pixels.check_filter(pixels.get("resample", Target().resample))
    for name, choices in _CHOICES.items():
        value = pixels.get(name)
        if value is not None and (isinstance(value, bool) or value not in choices):
            listed = ", ".join(map(str, choices))
            raise ValueError(f"{name} (--{name}) {value!r}: choose of {listed}, or leave it out")
    share, seed = pixels.get("validation_share"), pixels.get("validation_seed")
    if share is not None and not (isinstance(share, float) and 0 < share < 1):
        raise ValueError(
            f"validation_share (--validation-share) {share!r}: give the part of every class that "
            f"is set aside, between 0 and 1, for example 0.2"
        )
    if seed is not None and not (_is_whole(seed) and 0 <= seed < 2**32):
        raise ValueError(
            f"validation_seed (--validation-seed) {seed!r}: give a whole number from 0 to 2^32 - 1"
        )


def division(pixels: Mapping[str, Any]) -> Division | None:
    """Return the share that is to be set aside for validation; None where none was asked for."""
    asked = {"share": pixels.get("validation_share"), "seed": pixels.get("validation_seed")}
    given = {name: value for name, value in asked.items() if value is not None}
    return Division(**given) if given else None


def target(name: str, source: Source, pixels: Mapping[str, Any]) -> Target:
    """Return what the images of a data set are to become."""
    wanted = Target(**{field: pixels[field] for field in Target._fields if field in pixels})
    if wanted.crop and not source.boxes:
        raise ValueError(f"crop (--crop) {wanted.crop!r}: {name} has no boxes; leave it out")
    return wanted._replace(size=wanted.size or source.size)


def _is_whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)
