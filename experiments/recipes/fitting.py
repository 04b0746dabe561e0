"""How a network is fitted: optimizer, schedule of its rate, when to stop, what it learns from."""

from typing import Annotated, Any, Literal, Self

import pydantic

import augment
from experiments.recipes._part import Fraction, Named, Part, Positive, Rate, close_to
from experiments.recipes.averages import Ema, Lookahead
from experiments.recipes.rates import Constant, Cosine, Exponential, Milestones, OneCycle

SCORES = ("loss", "top1", "top3", "top5")
AVERAGED = ("val_loss_ema", "val_top1_ema")  # of the averaged weights, where a row has them
MONITORS = (*SCORES, *(f"val_{score}" for score in SCORES), *AVERAGED)
# Keras' names of what our history calls otherwise.
KERAS_NAMES = {
    "accuracy": "top1",
    "acc": "top1",
    "sparse_categorical_accuracy": "top1",
    "top_k_categorical_accuracy": "top5",
    "sparse_top_k_categorical_accuracy": "top5",
}
# A gain that does not count is one below Keras' 1e-4, in the unit of the value: accuracies are
# percent here.
LEAST_GAIN = {"loss": 1e-4, "accuracy": 0.01}


def known_monitor(name: str) -> str:
    """Return the column of history that a monitor means; ValueError for one that there is not."""
    prefix, plain = ("val_", name[4:]) if name.startswith("val_") else ("", name)
    found = prefix + KERAS_NAMES.get(plain, plain)
    if found not in MONITORS:
        raise ValueError(f"no monitor {name!r}{close_to(name, MONITORS)}")
    return found


Monitor = Annotated[str, pydantic.AfterValidator(known_monitor)]


class Group(Part):
    """Factors on the rate and on the weight decay of some variables."""

    rate: Annotated[float, pydantic.Field(ge=0)] = 1.0
    decay: Annotated[float, pydantic.Field(ge=0)] = 1.0


class Optimizer(Named):
    """A Keras optimizer by name, or `muon`; any other field is an argument of its class.

    `clip` is the largest norm of all gradients together. `groups` are kernels, their biases, the
    gamma and beta of normalization (`norm`), and what the classifier has of these (`head`).
    """

    name: str = "adam"
    learning_rate: Rate = 0.001
    clip: Rate | None = None
    groups: dict[Literal["kernel", "bias", "norm", "head"], Group] | None = None


class Patience(Part):
    """Epochs without a better `monitor`; a gain of `min_delta` or less is none.

    `min_delta` is in the monitor's own unit (percent of accuracy), or a share of the best value so
    far where `relative` is set.
    """

    patience: Positive
    monitor: Monitor = "val_top1"
    min_delta: Annotated[float, pydantic.Field(ge=0)] = 0.0
    relative: bool = False

    @property
    def falls(self) -> bool:
        """Tell whether less of the monitor is better."""
        return "loss" in self.monitor


class Stop(Patience):
    """Stop after `patience` epochs without a better `monitor`."""


class Plateau(Patience):
    """Multiply the rate by `factor` after `patience` epochs without a better `monitor`."""

    name: Literal["plateau"]
    factor: Annotated[float, pydantic.Field(gt=0, lt=1)]
    min_lr: Annotated[float, pydantic.Field(ge=0)] = 0.0

    @pydantic.model_validator(mode="before")
    @classmethod
    def _least_gain_in_the_monitor_s_unit(cls, fields: Any) -> Any:
        if not isinstance(fields, dict) or fields.get("relative"):
            return fields
        unit = "loss" if "loss" in str(fields.get("monitor", "")) else "accuracy"
        return {"min_delta": LEAST_GAIN[unit]} | fields


Schedule = Annotated[
    Constant | Plateau | Milestones | Exponential | Cosine | OneCycle,
    pydantic.Field(discriminator="name"),
]
Average = Annotated[Ema | Lookahead, pydantic.Field(discriminator="name")]


class Distill(Part):
    """Learn from a teacher as well (Hinton et al., arXiv 1503.02531).

    The loss is alpha T^2 KL(teacher || network), both softened by the temperature T, plus
    (1 - alpha) times the cross entropy with the labels. `teacher` is a row of the same paper or a
    run folder, a stack for example.
    """

    teacher: str
    temperature: Rate = 4.0
    alpha: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.9


class Adversarial(Part):
    """Every batch ends in `per_batch` images of a set that the command `attack` made.

    `folder` holds the set; with `classes`, only its images of these true classes are taken.
    """

    folder: str
    per_batch: Positive = 5
    classes: list[Annotated[int, pydantic.Field(ge=0)]] | None = None


class Loss(Part):
    """Cross entropy with the labels, smoothed where asked (Szegedy et al., arXiv 1512.00567).

    A label of K classes then has the probability 1 - s + s / K, each other class s / K. The loss
    of the history's `val_loss` is the plain cross entropy, or `smoothed` as that of training.
    """

    label_smoothing: Fraction = 0.0
    validation: Literal["plain", "smoothed"] = "plain"

    @pydantic.model_validator(mode="after")
    def _smoothed_where_there_is_smoothing(self) -> Self:
        if self.validation == "smoothed" and not self.label_smoothing:
            raise ValueError("validation: smoothed needs a label_smoothing above 0: give one")
        return self


class Mix(Part):
    """Mix images in pairs, drawn by (seed, epoch, image): fields of `augment.Mix`.

    Both images are augmented first, each by its own draw. Images of `adversarial` stay unmixed,
    and the teacher of `distill` is asked about the mixed images.
    """

    mixup: Rate | None = None
    cutmix: Rate | None = None
    probability: Annotated[float, pydantic.Field(gt=0, le=1)] = 1.0

    @pydantic.model_validator(mode="after")
    def _one_way_at_least(self) -> Self:
        self.spec()
        return self

    def spec(self) -> augment.Mix:
        """Return what `augment.draw_mix` takes."""
        return augment.Mix(**self.model_dump())
