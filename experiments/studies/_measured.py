"""Explains images by several models and methods, and measures the maps."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.listener import Listener
from experiments.studies import _explainers, _subjects, _trust
from experiments.studies._asked import Asked
from experiments.studies._explainers import METHODS
from experiments.studies._networks import BATCH, Network
from experiments.studies._subjects import Pictures

if TYPE_CHECKING:
    import keras

_WHAT = "explaining"


@dataclasses.dataclass(frozen=True, eq=False)
class Explained:
    """What a model says of images, maps (n, h, w) by method, and rows of the table, if any."""

    name: str
    probs: np.ndarray
    classes: np.ndarray
    layers: tuple[str, ...]
    maps: Mapping[str, np.ndarray]
    rows: list[dict[str, Any]]


class Work:
    """Images to explain; it tells its listener of passes forward, which nearly all time goes to."""

    def __init__(
        self,
        pictures: Pictures,
        asked: Asked,
        number: int | None,
        *,
        measured: bool,
        listener: Listener,
    ):
        self.pictures, self.asked, self.number = pictures, asked, number
        self.measured, self.listener = measured, listener
        self._done = self._total = 0
        boxes, shape = pictures.boxes, pictures.images.shape[1:3]
        self._covered = None if boxes is None else _trust.coverage(boxes, shape)

    def explained(self, models: Mapping[str, keras.Model]) -> list[Explained]:
        """Explain the images by each model, and measure the maps."""
        self._total = len(models) * self._passes()
        images, methods = len(self.pictures.images), len(self.asked.methods)
        self.listener.say(
            f"explaining {images} images by {methods} methods, {len(models)} models: "
            f"{self._total:,} images pass forward"
        )
        found = [self._of(name, model) for name, model in models.items()]
        self.listener.progress(_WHAT, self._total, self._total)
        return found

    def _passes(self) -> int:
        """Return how many images pass one model, a gradient counted as several."""
        asked, images = self.asked, self.pictures.images
        n, sides = len(images), images.shape[1:3]
        methods = [METHODS[key] for key in asked.methods]
        of_maps = sum(method.passes(asked.options, sides) for method in methods)
        count = n + n * of_maps
        if self.measured:
            again = min(asked.sanity, n) * len(_trust.LEVELS) * of_maps
            orders = len(methods) + len(_trust.BASELINES)
            count += again + 2 * n * (asked.steps + 1) * orders
            count += 2 * n * sum(method.complete for method in methods)
        return count

    def _passed(self, passes: int) -> None:
        self._done += passes
        self.listener.progress(_WHAT, min(self._done, self._total - 1), self._total)

    def _of(self, name: str, model: keras.Model) -> Explained:
        pictures, asked = self.pictures, self.asked
        images = pictures.images
        network = Network(
            model,
            layer=_subjects.layer_in(name, asked.options.layer),
            batch_size=min(BATCH, len(images)),
            passed=self._passed,
        )
        probs = network.probs(images)
        classes = _subjects.classes_of(asked.of, self.number, pictures, probs)
        network.check(images, classes, "classes")
        maps, rows = {}, []
        correct = (
            None if pictures.labels is None else 100 * np.mean(probs.argmax(1) == pictures.labels)
        )
        of_model = {"model": name, "class": asked.of, "n": len(images), "correct": correct}
        for key in asked.methods:
            begun = time.perf_counter()
            signed = _explainers.attributions(network, images, classes, key, asked.options)
            maps[key] = METHODS[key].reduce(signed).astype(np.float32)
            row = of_model | {"method": key, "seconds": time.perf_counter() - begun}
            if self.measured:
                row |= self._numbers(network, classes, maps[key])
                row |= self._sanity(network, classes, key, maps[key])
                row |= {"incomplete": self._incomplete(network, classes, key, signed)}
                rows.append(row)
        layers = network.layers if "gradcam" in asked.methods else ()
        if self.measured:
            rows += [of_model | row for row in self._baselines(network, classes)]
        return Explained(name, probs, classes, layers, maps, _even(rows))

    def _baselines(self, network: Network, classes: np.ndarray) -> Iterator[dict[str, Any]]:
        """Yield the numbers of maps that look at nothing."""
        for key in _trust.BASELINES:
            maps = _trust.baseline_maps(key, self.pictures.images.shape, self.asked.options.seed)
            yield {"method": key} | self._numbers(network, classes, maps)

    def _numbers(self, network: Network, classes: np.ndarray, maps: np.ndarray) -> dict[str, Any]:
        """Return the means over images of what boxes, deletion and insertion say of maps."""
        asked, found = self.asked, {"mass": None, "pointing": None, "box_area": None}
        if self._covered is not None:
            found["mass"] = 100 * _trust.mass_inside(maps, self._covered).mean()
            found["pointing"] = 100 * _trust.pointing(maps, self._covered).mean()
            found["box_area"] = 100 * self._covered.mean()
        order = _trust.ranked(maps, asked.options.seed)
        given = (network, self.pictures.images, classes, order)
        how = {"steps": asked.steps, "fill": asked.options.fill}
        for name, insertion in (("deletion", False), ("insertion", True)):
            curve = _trust.curves(*given, insertion=insertion, **how)
            found[name] = 100 * _trust.area(curve).mean()
        return found | how | {"seed": asked.options.seed}

    def _sanity(
        self, network: Network, classes: np.ndarray, key: str, maps: np.ndarray
    ) -> dict[str, Any]:
        """Return the mean rank correlation of maps with those by random weights, by level."""
        n, options = min(self.asked.sanity, len(maps)), self.asked.options
        found: dict[str, Any] = {"sanity_n": n}
        for level in _trust.LEVELS if n else ():
            with _trust.randomized(network.model, level, options.seed):
                again = _explainers.maps(
                    network, self.pictures.images[:n], classes[:n], key, options
                )
            found[f"sanity_{level}"] = _trust.rank_correlation(maps[:n], again).mean()
        return found

    def _incomplete(
        self, network: Network, classes: np.ndarray, key: str, signed: np.ndarray
    ) -> float | None:
        """Return the median share, in percent, by which attributions miss their sum."""
        if not METHODS[key].complete:
            return None
        given = (network, self.pictures.images, classes, signed, self.asked.options)
        return 100 * float(np.median(_explainers.incompleteness(*given)))


COLUMNS = (
    "model",
    "method",
    "class",
    "n",
    "correct",
    "mass",
    "pointing",
    "box_area",
    "deletion",
    "insertion",
    "sanity_top",
    "sanity_half",
    "sanity_all",
    "sanity_n",
    "incomplete",
    "steps",
    "fill",
    "seed",
    "seconds",
)


def _even(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give all rows the same columns; what was not measured is empty, decimals beyond use go."""

    def cell(value):
        if isinstance(value, float | np.floating):
            return round(float(value), 4)
        return "" if value is None else value

    return [{column: cell(row.get(column)) for column in COLUMNS} for row in rows]


def shown(pictures: Pictures, first: Explained, count: int) -> np.ndarray:
    """Return the images that a sheet shows: the first that a model recognizes, then the failed.

    Half of each, more of one where there are too few of the other; the first of all without labels.
    """
    if pictures.labels is None:
        return np.arange(min(count, len(pictures.images)))
    right = first.probs.argmax(axis=1) == pictures.labels
    good, bad = np.flatnonzero(right), np.flatnonzero(~right)
    failed = min(len(bad), max(count // 2, count - len(good)))
    return np.concatenate([good[: count - failed], bad[:failed]])
