"""How good a generator's images are: distances, memory, and what a classifier learns from them.

Every distance is one to the data set's validation images, which no generator has seen. Beside
generated images stand as many training images (the floor: what is real differs so much), as well as
training images whose pixels are shuffled, and noise (the ceiling). Source of comparing several
measures, none of which says all: Borji, "Pros and cons of GAN evaluation measures", 2019.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments import _files
from experiments.datasets import Dataset
from experiments.embeddings import nearest as near
from experiments.embeddings.features import Features, find
from experiments.generate import classifier, distances, sheet
from experiments.generate.ask import check_generator, conditional
from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.runs import Run, tables
from experiments.training import part
from experiments.training.generated import check_shape, kept

MOST, QUERIES = 10_000, 1_000  # images by default; of them whose nearest neighbors are looked for
GENERATED = "generated"
HELD_OUT = "real: validation"
PIXELS = "pixels"
COLUMNS = ("measure", "by", "images", "value", "spread", "unit", "n", "seed", "run")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What is measured, and by what; `features` and `classifier` as `find` of each takes them."""

    features: str | None = None
    images: int | None = None
    subset: int = distances.SUBSET
    classifier: str | None = None
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Measured:
    """What was found, a row for each measure of each set of images, and where it lies."""

    rows: list[dict[str, Any]]
    path: pathlib.Path
    sheet: pathlib.Path


def of_run(
    run: Run, options: Options, out: pathlib.Path, place: Place, listener: Listener = SILENT
) -> Measured:
    """Measure a finished generator; write the table and the sheet into the folder `out`.

    Raises ValueError, before Keras is imported and images are decoded, for a run that is no
    generator, features that are not there, too few images, and what a classifier needs and lacks.
    """
    check_generator(run)
    load = find(options.features, tuple(run.dataset["image_shape"]))
    row = options.classifier and classifier.find(options.classifier, run)
    count = _count(options, run)
    place.check(run.row.data)
    path = _files.check_writable(pathlib.Path(out) / tables.GENERATED)
    place.load_backend()

    data = place.dataset(run.row.data, listener)
    run.check_data(data)
    features = load()
    labels = data.validation.labels[_some(len(data.validation), count, options.seed)]
    images = kept(run, labels, options.seed, place.cache_dir, listener)
    check_shape(run, images, data)
    seen = dataclasses.replace(data, train=part.seen(data, run.row.share).train)
    picture = path.with_name(tables.NEAREST)
    known = labels if conditional(run) else None
    told = {"labels": known, "listener": listener, "picture": picture}
    rows = measure(images, seen, features, options, **told)
    if row:
        folder = path.parent / "classifier"
        told = {"seed": options.seed, "listener": listener}
        found = classifier.scores(row, run, data, folder, place, **told)
        rows += [_trained(row.model_name, name, metrics) for name, metrics in found.items()]
    rows = [one | {"seed": options.seed, "run": run.row.recipe} for one in rows]
    tables.write([{key: one[key] for key in COLUMNS} for one in rows], path)
    return Measured(rows, path, picture)


def measure(
    images: np.ndarray,
    data: Dataset,
    features: Features,
    options: Options | None = None,
    *,
    labels: np.ndarray | None = None,
    listener: Listener = SILENT,
    picture: pathlib.Path | None = None,
) -> list[dict[str, Any]]:
    """Return what is measured of generated images (n, h, w, c) uint8 against a data set's.

    Its training images are those that the generator learned from. `features` has a name and turns
    images into features (n, d) by `of`. `picture` is the sheet's file, which shows images of all
    classes where their `labels` (n,) are given.
    """
    options = options or Options()
    count, seed = len(images), options.seed
    real = data.validation.batch(_some(len(data.validation), count, seed))
    training = data.train.batch(_some(len(data.train), count, seed))
    random = np.random.default_rng(seed)
    sets: dict[str, Callable[[], np.ndarray]] = {
        GENERATED: lambda: images,
        "real: training": lambda: training,
        "shuffled pixels": lambda: _shuffled(training, random),
        "noise": lambda: random.integers(0, 256, images.shape, np.uint8),
    }
    wanted, found, rows = features.of(real), {}, []
    for done, (name, make) in enumerate(sets.items()):
        listener.progress("distances", done, len(sets))
        found[name] = features.of(make())
        rows += _distances(name, found[name], wanted, features.name, options)
    listener.progress("distances", len(sets), len(sets))
    if len(wanted) <= wanted.shape[1]:
        listener.say(
            f"no Frechet distance: {len(wanted)} images, and {wanted.shape[1]} features need more"
        )
    asked = min(QUERIES, count)
    listener.say(f"nearest of {len(data.train):,} training images, by pixels and by features")
    by_pixels = images[:asked], real[:asked], data.train.images, _grey_levels(images.shape)
    by_features = found[GENERATED][:asked], wanted[:asked], features.of(data.train.images), 1
    nearest = {}
    for by, (made, held_out, base, unit) in {PIXELS: by_pixels, features.name: by_features}.items():
        # Both at once: what is enlarged when it is read is read once.
        both = near.nearest(np.concatenate([made, held_out]), base, min(sheet.NEIGHBORS, len(base)))
        nearest[by] = near.Nearest(*(one[:asked] for one in both))
        rows += _memory(by, *(both.distances[:, 0] / unit).reshape(2, asked))
    if picture:
        distances_to_training = nearest[features.name].distances[:, 0]
        shown = sheet.chosen(distances_to_training, None if labels is None else labels[:asked])
        rows_of = {
            by.partition(":")[0]: near.Nearest(*(one[shown] for one in of))
            for by, of in nearest.items()
        }
        which = "of all, then others" if labels is None else "of each class"
        title = f"{data.name}: generated images, the nearest to training {which}, by features"
        sheet.draw(picture, images[shown], data.train.images, rows_of, title)
    return rows


def _distances(
    name: str, found: np.ndarray, wanted: np.ndarray, by: str, options: Options
) -> list[dict[str, Any]]:
    """Return the rows of one set of images; of few images there is no Frechet distance."""
    kid = distances.kid(found, wanted, subset=options.subset, seed=options.seed)
    line = {"by": by, "n": len(found)}
    rows = [_row(f"KID, subsets of {options.subset}", name, kid.mean, spread=kid.std, **line)]
    if len(wanted) > wanted.shape[1]:
        rows.append(_row("Frechet distance", name, distances.frechet(found, wanted), **line))
    return rows


def _memory(by: str, generated: np.ndarray, held_out: np.ndarray) -> list[dict[str, Any]]:
    """Return the rows of the distances (n,) to the nearest training image."""
    found, line = near.memory(generated, held_out), {"by": by, "n": len(generated)}
    unit = "grey levels" if by == PIXELS else ""
    return [
        _row("nearer to training than held-out images", GENERATED, found.nearer, unit="%", **line),
        _row("nearer than 99 % of held-out images", GENERATED, found.copies, unit="%", **line),
        _row("median distance to training", GENERATED, found.median, unit=unit, **line),
        _row("median distance to training", HELD_OUT, found.held_out, unit=unit, **line),
    ]


def _row(measure: str, images: str, value: float, **more: Any) -> dict[str, Any]:
    return {"measure": measure, "images": images, "value": value, "spread": "", "unit": ""} | more


def _trained(model: str, name: str, metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a classifier; n is how many images it was tested on."""
    told = f"{name}: {metrics['train']:,} to learn from"
    fields = {"by": model, "unit": "%", "n": metrics["n"]}
    return _row("classifier, top-1 on validation images", told, metrics["top1"], **fields)


def _count(options: Options, run: Run) -> int:
    """Return how many images of each set are compared; ValueError for too few."""
    least = min(run.dataset["validation"], run.dataset["train"])
    asked = min(MOST, least) if options.images is None else options.images
    if not 2 <= asked <= least:
        raise ValueError(
            f"images (--images) {asked}: {run} has {run.dataset['train']:,} training and "
            f"{run.dataset['validation']:,} validation images to compare with; give 2 to {least}"
        )
    if not 2 <= options.subset <= asked:
        raise ValueError(
            f"subset (--subset) {options.subset}, and {asked} images are compared: give at least 2 "
            f"and at most {asked}"
        )
    return asked


def _some(count: int, wanted: int, seed: int) -> np.ndarray:
    """Return `wanted` of `count` rows in the order in which the seed draws them: no class first."""
    return np.random.RandomState(seed).permutation(count)[:wanted]


def _shuffled(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return images whose pixels each changed their places, of all channels together."""
    pixels = images.reshape(len(images), -1, images.shape[-1])
    places = random.random(pixels.shape[:2]).argsort(axis=1)
    return np.take_along_axis(pixels, places[..., None], axis=1).reshape(images.shape)


def _grey_levels(shape: tuple[int, ...]) -> float:
    """Return what a Euclidean distance of images is divided by to be one of a pixel, in the mean.

    That is the root of the mean square.
    """
    return float(np.sqrt(np.prod(shape[1:])))
