"""Principal components: how many hold how much, of pixels, of each color and of features.

P2 counts shares of the sum of singular values; the variance, the sum of their squares, stands
beside it, and needs far fewer. Shown too: images as some components tell them, and of single
classes the mean image and the directions in which its images differ most.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Iterator

import numpy as np

from experiments import spectrum
from experiments.embeddings import _component_sheets as sheets
from experiments.embeddings.asked import PIXELS, Column, Flat, Part, Sheet, Table, Work

SHARES = (0.5, 0.8, 0.9, 0.95, 0.99)
COLORS = ("red", "green", "blue")
EIGEN_IMAGES = 8  # of a class
OF_ONE = (1, 2, 4, 6, 10, 16, 25)  # components by which a channel of one image is rebuilt
REBUILT = 6  # images, of as many classes
FILES = {
    "table": "components.csv",
    "spectrum": "components.png",
    "rebuilt": "components_rebuilt.png",
    "classes": "components_classes.png",
    "one": "components_one_image.png",
}


class Color:
    """One channel of images (n, h, w, c) as rows (n, h * w), made when they are read."""

    def __init__(self, images, channel: int):
        self.images, self.channel = images, channel
        self.shape = (len(images), int(np.prod(images.shape[1:3])))
        self.dtype, self.ndim = images.dtype, 2

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key) -> np.ndarray:
        found = np.asarray(self.images[key])[..., self.channel]
        return np.ascontiguousarray(found.reshape(*found.shape[:-2], -1))


def make(work: Work, out: pathlib.Path) -> Part:
    """Count components of every space, draw the sheets into the folder `out`."""
    found = dict(spectra(work))
    shown = _one_of_each(work)
    images = np.asarray(work.data.validation.images[shown])
    kept = [count for count in work.asked.rebuilt if count <= len(found[PIXELS].vectors)]
    sheets.spectrum(out / FILES["spectrum"], found)
    sheets.rebuilt(out / FILES["rebuilt"], images, found[PIXELS], kept)
    sheets.classes(out / FILES["classes"], list(of_classes(work)), work.data.image_shape)
    sheets.one_image(out / FILES["one"], images[0], OF_ONE)
    return Part("Principal components", _notes(work, found), _sheets(found, kept), [_table(found)])


def spectra(work: Work) -> Iterator[tuple[str, spectrum.Spectrum]]:
    """Yield the spectrum of training images in each space, of pixels also of each color."""
    seed, most = work.asked.seed, max(work.asked.rebuilt)
    for name, space in work.spaces.items():
        count = len(space.train)
        progress = functools.partial(work.listener.progress, f"components of {name}")
        if name != PIXELS:
            yield name, spectrum.of(space.train, 1, seed, progress)
            continue
        channels = work.data.image_shape[-1]
        size = space.train.shape[1]
        if channels == 1 or size > min(count, spectrum.MOST):
            yield name, spectrum.of(space.train, most, seed, progress)
            for color in range(channels if channels > 1 else 0):
                rows = Color(work.data.train.images, color)
                yield COLORS[color], spectrum.of(rows, 1, seed, progress)
            continue
        # Colors are rows and columns of the one sum: the images are read once.
        total, mean = spectrum.covariance(space.train, progress)
        places = [np.arange(color, size, channels) for color in range(channels)]
        blocks = [np.asfortranarray(total[np.ix_(one, one)]) for one in places]
        yield name, spectrum.of_covariance(total, mean, count, most)
        del total
        for color, (one, block) in enumerate(zip(places, blocks, strict=True)):
            yield COLORS[color], spectrum.of_covariance(block, mean[one], count, 1)


def of_classes(work: Work) -> Iterator[tuple[str, spectrum.Spectrum]]:
    """Yield the spectrum of the training images of each class that pictures show."""
    train = work.data.train
    for number in work.classes:
        rows = np.flatnonzero(np.asarray(train.labels) == number)
        if len(rows) > 1:
            images = Flat(train.take(rows).images)
            yield work.names[number], spectrum.of(images, EIGEN_IMAGES, work.asked.seed)


def _one_of_each(work: Work) -> np.ndarray:
    """Return numbers of validation images, of the classes that pictures show, one of each."""
    labels = np.asarray(work.data.validation.labels)
    drawn = np.random.RandomState(work.asked.seed).permutation(len(labels))
    of_class = [drawn[labels[drawn] == number][:1] for number in work.classes[:REBUILT]]
    found = np.concatenate(of_class)
    return found if len(found) else drawn[:1]


def _table(found: dict[str, spectrum.Spectrum]) -> Table:
    columns = [
        Column("space", "Of"),
        Column("values", "Values", 0),
        Column("n", "Images", 0),
        Column("of", "Share of"),
        *(Column(f"{share:g}", f"{100 * share:g} %", 0) for share in SHARES),
    ]
    rows = [
        {"space": name, "values": len(one.mean), "n": one.count, "of": told}
        | {f"{share:g}": one.needed(share, of) for share in SHARES}
        for name, one in found.items()
        for of, told in (("values", "singular values"), ("variance", "variance"))
    ]
    about = "How many components hold a share, of the sum of singular values or of the variance"
    return Table(FILES["table"], "Components that are needed", columns, rows, about)


def _notes(work: Work, found: dict[str, spectrum.Spectrum]) -> list[str]:
    count = len(work.data.train)
    return [
        f"{name}: of {one.count:,} of {count:,} training images, drawn by seed {work.asked.seed}; "
        "how many components hold a share depends on how many images there are"
        for name, one in found.items()
        if one.count < count
    ]


def _sheets(found: dict[str, spectrum.Spectrum], kept: list[int]) -> list[Sheet]:
    whole = found[PIXELS]
    shares = ", ".join(
        f"{count}: {100 * whole.shares('values')[count - 1]:.1f} and "
        f"{100 * whole.shares('variance')[count - 1]:.1f} %"
        for count in kept
    )
    return [
        Sheet(FILES["spectrum"], "Shares", "what the first components hold together"),
        Sheet(
            FILES["rebuilt"],
            "Rebuilt",
            "validation images as components of the training images tell them; these hold "
            f"(sum of singular values and variance) {shares}",
        ),
        Sheet(
            FILES["classes"],
            "Classes",
            "the mean training image of a class, and what is added to it along its first "
            "components (gray: nothing)",
        ),
        Sheet(
            FILES["one"],
            "One image by its own components",
            "each color as a matrix of pixels, from as many of its own components; below each "
            "their share of its singular values and of its variance",
        ),
    ]
