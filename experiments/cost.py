"""What a row will cost, before it is run: images, epochs and multiply-adds, and hours from these.

A count, not a promise: rows may stop early, and machines and networks differ in how many
multiply-adds a second they train. No Keras, but where a network is not the catalogue's own.
"""

import functools
import json
import os
import statistics
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import zoo
from experiments import backend, datasets, recipes
from experiments.listener import SILENT, Listener
from experiments.recipes import Experts, Gan, Joint, Row, Share, Stack, Sweep, Train, Vote
from experiments.runs import Run

# Fields of `model` under which the catalogue's multiply-adds stay those of the network.
_SAME_COST = {"name", "weights", "dropout", "stem", "mean", "std"}
# An image that only passes forward costs a third of one that is trained on.
_FORWARD = 1 / 3
# Fields of a generator's row that its networks follow from.
_OF_GAN = ("generator", "discriminator", "conditional")


class Size(NamedTuple):
    """What is known of a data set before it is decoded."""

    train: int
    shape: tuple[int, int, int]
    classes: int


class Work(NamedTuple):
    """Training passes: images of an epoch, epochs at most, multiply-adds of an image."""

    images: int
    epochs: float
    macs: float

    @property
    def total(self) -> float:
        """Multiply-adds of images in training, forward ones."""
        return self.images * self.epochs * self.macs


def of_training(row: Train, rows: Mapping[str, Row], size: Size) -> Work:
    """Every image of its share, every epoch or `max_steps`; a teacher's passes are left out.

    Where sizes change, multiply-adds are the mean over epochs. Making generated images, which is
    done once, is left out.
    """
    images, epochs = _images(row.share, size), row.epochs
    if row.generated:
        images *= not row.generated.only
        images += row.generated.per_class * size.classes
    if row.max_steps:
        fresh = row.batch_size - (row.adversarial.per_batch if row.adversarial else 0)
        epochs = min(epochs, row.max_steps * fresh / images)
    return Work(images, epochs, macs(row.model, size) * _area(row))


def of_stack(row: Stack, rows: Mapping[str, Row], size: Size) -> Work:
    """Members run once for each view of the images, or are trained again without each fold."""
    members = [one for one in rows.values() if isinstance(one, Train)]
    each = sum(macs(one.model, size) for one in members)
    if row.fit_on == "out_of_fold":
        each = sum(macs(one.model, size) * _area(one) for one in members)
        epochs = max((one.epochs for one in members), default=0)
        return Work(_images(members[0].share, size), epochs * (row.folds - 1), each)
    held_out = max((one.share.holdout for one in members), default=0)
    images = size.train * (held_out if row.fit_on == "held_out" else 1)
    return Work(round(images), row.seen_views * _FORWARD, each)


def of_joint(row: Joint, rows: Mapping[str, Row], size: Size) -> Work:
    """Every image passes all members."""
    each = [of_training(one, {}, size) for one in row.alone.values()]
    return each[0]._replace(macs=sum(work.macs for work in each))


def of_vote(row: Vote, rows: Mapping[str, Row], size: Size) -> Work:
    """Nothing to speak of."""
    return Work(0, 0, 0)


def of_experts(row: Experts, rows: Mapping[str, Row], size: Size) -> Work:
    """As many trainings of the clean run's network as there are experts."""
    work = Work(_images(row.share, size), row.epochs, macs(rows[row.member].model, size))
    return work._replace(epochs=work.epochs * row.experts)


def of_sweep(row: Sweep, rows: Mapping[str, Row], size: Size) -> Work:
    """Every trial's epochs, by the network of the row that varies, and those of training anew."""
    whole = of_training(recipes.swept(row), rows, size)
    epochs = sum(trials * (end - begin) for trials, begin, end in row.rounds(round(whole.epochs)))
    if row.retrain is not None:
        epochs += recipes.swept(row, row.retrain).epochs
    return whole._replace(epochs=epochs)


def of_gan(row: Gan, rows: Mapping[str, Row], size: Size) -> Work:
    """Each step trains the discriminator on two batches, and the generator through it.

    That is a pass of the generator without its gradient, one with it, and three of the other.
    """
    made, judged = _built_pair(row.model_dump_json(include=set(_OF_GAN)), size.shape, size.classes)
    images = _images(row.share, size) // row.batch_size * row.batch_size
    return Work(images, row.epochs, (1 + _FORWARD) * made + 3 * judged)


def known_size(row: Row, data: datasets.Dataset | None) -> Size | None:
    """Return the size of a row's data: of what was loaded, else of the public data set."""
    if data is not None:
        return Size(len(data.train), data.image_shape, len(data.class_names))
    facts = datasets.facts(row.data.name)
    if facts is None or (facts.image_shape is None and row.data.size is None):
        return None
    height, width, channels = facts.image_shape or (0, 0, 3)
    if row.data.size:
        height = width = row.data.size
    return Size(facts.train, (height, width, row.data.channels or channels), facts.classes)


def macs(model: Mapping, size: Size) -> float:
    """Return multiply-adds of one image: the catalogue's, scaled to its area, or by building it."""
    info, (side, _, channels) = zoo.info(model["name"]), size.shape
    stem = model.get("stem", "auto")
    if not model.keys() - _SAME_COST and side > 40 and channels == 3:
        whole = side > 96 or stem == "imagenet"
        known, at = (info.macs, info.input_shape[0]) if whole else (info.macs_64, 64)
        return known * (side / at) ** 2
    plain = {key: value for key, value in model.items() if key not in ("weights", "mean", "std")}
    return _built(json.dumps(plain, sort_keys=True), size.shape, size.classes)


@functools.cache
def _built(model: str, shape: tuple[int, int, int], classes: int) -> int:
    """Return multiply-adds of a network that is built to count them, once a process."""
    backend.load(None)
    return zoo.profile(zoo.build(**json.loads(model), input_shape=shape, classes=classes))[1]


@functools.cache
def _built_pair(row: str, shape: tuple[int, int, int], classes: int) -> tuple[int, int]:
    """Return multiply-adds of a generator and its discriminator."""
    backend.load(None)
    from experiments.generate import networks
    from experiments.recipes.gan import Discriminator, Generator

    content = json.loads(row)
    known = classes if content["conditional"] else None
    made = networks.generator(Generator(**content["generator"]), shape, known)
    judge = networks.discriminator(Discriminator(**content["discriminator"]), shape, known)
    return zoo.profile(made)[1], zoo.profile(judge)[1]


class Rate:
    """Multiply-adds a second that finished runs reached on this machine."""

    def __init__(self, runs: Iterable[Run], chosen: str, listener: Listener = SILENT):
        self.by_network: dict[str, list[float]] = {}
        for run in runs:
            try:
                self._count(run, chosen)
            except ValueError as error:  # another run's damage must not hide what a plan takes
                listener.say(f"not counted: {error}")

    def _count(self, run: Run, chosen: str) -> None:
        found = run.environment
        same = found.get("backend") == chosen and found.get("cores") == os.cpu_count()
        if same and run.kind.network and run.metrics.get("seconds"):
            images = run.metrics.get("images") or run.dataset["train"] * run.metrics["epochs"]
            rate = images * run.metrics["macs"] * _area(run.row) / run.metrics["seconds"]
            self.by_network.setdefault(run.metrics["model"], []).append(rate)

    @property
    def runs(self) -> int:
        """How many runs it was measured on."""
        return sum(map(len, self.by_network.values()))

    def hours(self, row: Row, work: Work) -> float | None:
        """Return hours by runs of the same network, else of all; None where there are none."""
        if not self.runs:
            return None
        every = [rate for rates in self.by_network.values() for rate in rates]
        hours = work.total / statistics.median(self.by_network.get(row.model_name, every)) / 3600
        return min(hours, getattr(row, "max_hours", None) or hours)


def _images(share: Share, size: Size) -> int:
    left = size.train * (1 - share.holdout)
    return round(left * (1 - 1 / share.folds) if share.folds else left)


def _area(row: Train) -> float:
    """Return the mean area of the images that a row's network sees, as a share of the last one."""
    if not row.sizes:
        return 1
    least = zoo.info(row.model_name).enlarges_to or 0
    areas = [epochs * max(size, least) ** 2 for epochs, size in row.sizes]
    return sum(areas) / row.epochs / max(row.last_size, least) ** 2
