"""Ways to learn pictures, with what they reached and how fast: the table that `choose` reads.

A way is a network and how it is trained. Results and rates are those of `experiments/results/`, by
the names in brackets: images a second in training on two CPU cores under TensorFlow, of `records`
in bfloat16, of `laptop` in float32. They only stand in where a way was not measured on the machine
at hand, as that which `lighter` names; all that are considered first are.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

# Pictures on either side of these are told apart by their shorter side, in pixels.
SMALL = 40

_SPRINT = {
    "optimizer": {
        "name": "sgd",
        "learning_rate": 1.5,
        "momentum": 0.85,
        "nesterov": True,
        "weight_decay": 0.0089,
        "groups": {"norm": {"rate": 64.0, "decay": 0.0}},
    },
    "schedule": {"name": "one_cycle", "start": 0.2, "peak": 0.23, "end": 0.07},
    "average": {"name": "lookahead", "every": 5, "decay": 0.95, "rising": True},
    "loss": {"label_smoothing": 0.2},
}
_ADAM = {
    "optimizer": {"name": "adam", "learning_rate": 0.002},
    "schedule": {"name": "one_cycle", "start": 0.1, "peak": 0.2, "end": 0.0},
}
_TUNED = {
    "optimizer": {"name": "adam", "learning_rate": 0.0003, "groups": {"head": {"rate": 10.0}}},
    "schedule": {"name": "one_cycle", "start": 0.1, "peak": 0.2, "end": 0.0},
}


_STEPS = [-2, -1, 0, 1, 2]  # pixels
_MOVED = {"width_shift": 0.1, "height_shift": 0.1, "fill_mode": "reflect"}
_ZOOMED = {
    "width_shift": 0.15,
    "height_shift": 0.15,
    "zoom": [0.8, 1.2],
    "fill_mode": "reflect",
    "horizontal_flip": 0.5,
}
MIRRORS = ("horizontal_flip", "alternating_flip")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Way:
    """A network, how it is trained, and what is known of it."""

    model: Mapping[str, Any]
    fitted: Mapping[str, Any]
    """Optimizer, schedule, average and loss, as recipes have them."""
    augment: Mapping[str, Any]
    """A policy; what mirrors pictures is left out of it for gray ones, among them digits."""
    about: str
    result: str
    """What it reached, and where that stands."""
    notes: tuple[str, ...] = ()
    """What must be known of its results."""
    rate: float
    """Images a second in training at `side`."""
    side: int
    """Pixels of the images that the rate is of."""
    sides: tuple[int, ...]
    """Sides of images that it may be given, the best first."""
    batches: tuple[tuple[int, int], ...]
    """(training images at least, batch), the largest first."""
    scaling: float
    """The rate of learning goes with the batch to this power: 1 for SGD, a half for Adam."""
    batch: int
    """The batch that the rate of learning is of."""
    epochs: int
    """More epochs than this have not been seen to help."""
    least: int
    """With fewer epochs than this the next smaller side is taken."""
    lighter: str | None = None
    """The way that is taken where the time is enough for less than `enough` epochs of this one."""
    enough: int = 0

    @property
    def pretrained(self) -> str | None:
        """Return which weights it begins with."""
        return self.model.get("weights")

    def images_per_second(self, side: int) -> float:
        """Return the rate at another side: work goes with the area."""
        return self.rate * (self.side / side) ** 2


WAYS: dict[str, Way] = {
    "sprint_s": Way(
        model={"name": "sprint_s"},
        fitted=_SPRINT,
        augment={
            "width_shift": _STEPS,
            "height_shift": _STEPS,
            "fill_mode": "reflect",
            "alternating_flip": True,
        },
        about="sprint_s from scratch",
        result="93.4 % of CIFAR-10 after 12 epochs, 99.7 % of MNIST after 6 (records)",
        rate=777,
        side=32,
        sides=(32, 28),
        batches=((40_000, 1024), (10_000, 512), (4_000, 256), (0, 128)),
        scaling=1.0,
        batch=1024,
        epochs=24,
        least=1,
        lighter="sprint_xs",
        enough=5,
    ),
    "tuned": Way(
        model={"name": "sprint_m", "weights": "tiny_imagenet"},
        fitted=_TUNED,
        augment=_MOVED | {"horizontal_flip": 0.5},
        about="sprint_m, fine-tuned from the weights that it learned on Tiny ImageNet",
        result="66.3 % of CIFAR-10 with 20 images of each class, from scratch 42.9 % (few_images)",
        notes=(
            "its weights have seen Tiny ImageNet: of pictures from there accuracy is flattered",
        ),
        rate=557,
        side=64,
        sides=(64, 48),  # up to 40 its stem has no stride, and costs as much as at 64
        batches=((4_000, 64), (800, 32), (0, 16)),
        scaling=0.5,
        batch=20,
        epochs=30,
        least=3,
    ),
    "alphanet": Way(
        model={"name": "alphanet_v4", "filters": [32, 64, 128, 128, 256], "dense": 512},
        fitted=_ADAM,
        augment=_ZOOMED,
        about="a small AlphaNet from scratch",
        result="86.4 % of ten classes of Tiny ImageNet after 30 epochs (laptop)",
        rate=134,
        side=64,
        sides=(64, 48, 32, 28),
        batches=((10_000, 128), (1_000, 64), (0, 32)),
        scaling=0.5,
        batch=64,
        epochs=30,
        least=6,
    ),
    "simplenet": Way(
        model={"name": "simplenetv1_small_m1_05"},
        fitted=_ADAM,
        augment=_ZOOMED,
        about="a small SimpleNet from scratch, 1.4 million weights",
        result="86.0 % of ten classes of Tiny ImageNet after 30 epochs (laptop)",
        rate=630,
        side=64,
        sides=(64, 48, 32, 28),
        batches=((10_000, 128), (1_000, 64), (0, 32)),
        scaling=0.5,
        batch=64,
        epochs=40,
        least=6,
    ),
}

# Where the time is enough for few epochs of `sprint_s`. Seen on 10,000 images of CIFAR-10 to
# recognize more in the same time; those runs were not kept.
WAYS["sprint_xs"] = dataclasses.replace(
    WAYS["sprint_s"],
    model={"name": "sprint_s", "widths": [48, 96, 128]},
    about="a narrow sprint_s from scratch, 0.4 million weights",
    result="99.7 % of MNIST after 6 epochs (records)",
    rate=3218,
    side=28,
    lighter=None,
)
# For few pictures and few weights. Seen on 240 pictures of six classes to recognize more than
# `simplenet` from scratch; those runs were not kept.
WAYS["tuned_s"] = dataclasses.replace(
    WAYS["tuned"],
    model={"name": "sprint_s", "weights": "cifar10"},
    about="sprint_s, fine-tuned from the weights that it learned on CIFAR-10, 2 million of them",
    result="93.4 % of CIFAR-10 when it had learned them (records)",
    notes=("its weights have seen CIFAR-10: pictures from there flatter the accuracy",),
    rate=WAYS["sprint_s"].rate,
    side=32,
    sides=(32,),
)
WAYS["tuned_b"] = dataclasses.replace(
    WAYS["tuned"], about="the same once more, zoomed at random as well", augment=_ZOOMED
)
