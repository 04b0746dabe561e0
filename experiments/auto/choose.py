"""What to train on some pictures in a given time: a function of what is known, without Keras.

Rules, in order: the aim names ways; small sets and larger pictures begin with learned weights; the
side is the largest for which the time is enough; epochs are those that fit.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from experiments.auto.ways import SMALL, WAYS, Way
from experiments.reports.words import spoken

AIMS = ("balanced", "best", "small")
# Training images of each class from which small pictures are learned from nothing. Measured were 20
# (23 points more with learned weights) and 5,000 (93.4 % without); between the two it is a guess.
ENOUGH = 1_000
# An image that is only asked about costs a third of one that is trained on.
_FORWARD = 1 / 3
# Times the pictures of the smallest class that the largest has, from which all count alike.
UNEVEN = 5
_BALANCED = "all classes count alike, as the largest has many times the pictures of the smallest"
# Below so many epochs a tenth of one counts.
_PARTS = 5
_MIRRORED = (
    "pictures are mirrored at random: where left and right mean something, take that out of augment"
)
# Of the time that is left: machines slow down when something else runs.
_SURE = 0.85
# Held out of the members' sight for the head of their stack, and what a class needs for that.
HOLDOUT, _FOR_HOLDOUT = 0.1, 20
# Members of a stack: of few pictures those from scratch learn too little. 450 of each class were
# enough for 86 % of ten classes (laptop); below that the border is a guess.
_SMALL_MEMBERS = ("sprint_s", "alphanet", "simplenet")
_MEMBERS = ("tuned", "alphanet", "simplenet")
_FEW_MEMBERS, _FEW = ("tuned", "tuned_b"), 200


@dataclasses.dataclass(frozen=True)
class Known:
    """What a choice depends on: counts of pictures, the smallest class, the shorter side."""

    train: int
    validation: int
    classes: int
    smallest: int
    largest: int
    side: int
    gray: bool = False

    @property
    def uneven(self) -> bool:
        """Whether rare classes would drown in frequent ones."""
        return self.largest >= UNEVEN * self.smallest


@dataclasses.dataclass(frozen=True)
class Chosen:
    """A way, the side of its images, its epochs, the seconds these take, and why all of it.

    A few epochs need not be whole ones.
    """

    name: str
    side: int
    epochs: float
    seconds: float
    why: tuple[str, ...]

    @property
    def way(self) -> Way:
        """Return what is known of the way."""
        return WAYS[self.name]


def ways(known: Known, aim: str = "balanced") -> tuple[list[str], str]:
    """Return the ways that an aim asks for, in order, and why; ValueError for no aim."""
    if aim not in AIMS:
        raise ValueError(f"aim {aim!r}: there are {', '.join(AIMS)}")
    each = known.train // known.classes
    if aim == "small" and each < ENOUGH:
        return [
            "tuned_s"
        ], f"--small, and {each:,} pictures of each class are few: few weights, learned"
    if aim == "small":
        return ["simplenet"], "--small: the fewest weights in the table"
    first, members = "tuned", _FEW_MEMBERS if each < _FEW else _MEMBERS
    if known.side > SMALL:
        why = f"pictures of {known.side} pixels look like those that the weights were learned on"
    elif each < ENOUGH:
        why = f"{each:,} pictures of each class are few, so it begins with what others taught it"
    else:
        first, members = "sprint_s", _SMALL_MEMBERS
        why = f"{each:,} pictures of each class are enough to learn from nothing"
    if aim == "best" and known.smallest < _FOR_HOLDOUT:
        return [first], (
            f"{why}; no stack: the smallest class has {known.smallest} training pictures, and one "
            f"of {_FOR_HOLDOUT} is needed to hold some out for its head"
        )
    return (list(members) if aim == "best" else [first]), why


def choose(
    known: Known,
    seconds: float,
    aim: str = "balanced",
    rates: Mapping[str, float] | None = None,
) -> list[Chosen]:
    """Return what to train in so many seconds; several are the members of a stack.

    `rates` are images a second of ways as measured here, at the side that `side_of` names; of other
    ways the table's, scaled alike. Members of a stack see images of one side; before that becomes
    smaller, members are left out. Raises ValueError for no aim.
    """
    names, why = ways(known, aim)
    speed = _speed(rates or {}, known, names[0])
    while True:
        found = _at_one_side(names, known, seconds / len(names), speed)
        whole = all(one.side == side_of(names[0], known) for one in found)
        if len(names) == 1 or (whole and all(one.epochs >= one.way.least for one in found)):
            break
        why += f"; without {WAYS[names[-1]].about}, for which the time is not enough"
        names = names[:-1]
    (first, *more), lighter = found, found[0].way.lighter
    if lighter and not more and first.epochs < first.way.enough:
        why += f"; of {first.way.about} the time is enough for {first.epochs:g} epochs only"
        found = _at_one_side([lighter], known, seconds, speed)
    return [dataclasses.replace(found[0], why=(why, *found[0].why)), *found[1:]]


def side_of(first: str, known: Known) -> int:
    """Return the side of images if the time is enough, by the first of several ways.

    Images are enlarged for learned weights alone.
    """
    way = WAYS[first]
    if way.pretrained:
        return way.sides[0]
    fitting = [side for side in way.sides if side <= known.side]
    return fitting[0] if fitting else min(way.sides)


def batch(way: Way, known: Known) -> int:
    """Return the size of a way's batches."""
    return next(size for least, size in way.batches if known.train >= least)


def _speed(rates: Mapping[str, float], known: Known, first: str) -> dict[str, float]:
    """Return how fast this machine is beside the table's, by way."""
    side = side_of(first, known)
    found = {name: rate / WAYS[name].images_per_second(side) for name, rate in rates.items()}
    usual = sum(found.values()) / len(found) if found else 1.0
    return {name: found.get(name, usual) for name in WAYS}


def _at_one_side(
    names: Sequence[str], known: Known, seconds: float, speed: Mapping[str, float]
) -> list[Chosen]:
    """Return ways at the largest side for which all have enough time, else at the smallest."""
    largest = side_of(names[0], known)
    sides = [side for side in WAYS[names[0]].sides if side <= largest]
    for side in sides:
        times = {name: _epoch_seconds(WAYS[name], known, side, speed[name]) for name in names}
        if all(seconds * _SURE >= times[name] * WAYS[name].least for name in names):
            break
    return [_one(name, known, seconds, times[name], (side, largest)) for name in names]


def _one(name: str, known: Known, seconds: float, each: float, sides: tuple[int, int]) -> Chosen:
    """Return a way with as many epochs, which take `each` seconds, as fit."""
    way, (side, largest) = WAYS[name], sides
    fitting = seconds * _SURE / each
    whole = fitting >= _PARTS
    epochs = max(
        1, min(way.epochs, math.floor(fitting) if whole else math.floor(10 * fitting) / 10)
    )
    why = [f"{way.about}: {way.result}", *way.notes, _of_side(way, known, side, largest)]
    if not known.gray:
        why.append(_MIRRORED)
    if known.uneven:
        why.append(_BALANCED)
    told = f"{epochs:g} epoch{'s' if epochs > 1 else ''} of {spoken(each)}"
    if fitting < 1:
        why.append(f"one epoch takes {spoken(each)}, more than the time is enough for")
    elif epochs == way.epochs:
        why.append(f"{told}: more have not been seen to help, so time is left")
    else:
        why.append(f"{told}: what the time is enough for")
    return Chosen(name, side, epochs, epochs * each, tuple(why))


def _epoch_seconds(way: Way, known: Known, side: int, speed: float) -> float:
    passes = known.train + _FORWARD * known.validation
    return passes / (speed * way.images_per_second(side))


def _of_side(way: Way, known: Known, side: int, largest: int) -> str:
    if side < largest:
        return f"{side} pixels, as the time is not enough for {largest}"
    if side > known.side:
        known_to = "its weights know" if way.pretrained else "the others' weights know"
        return f"{side} pixels: enlarged to the size that {known_to}"
    return f"{side} pixels: the pictures have {known.side} on their shorter side"
