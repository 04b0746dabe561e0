"""What a row of a recipe may say: fields, their defaults, and what does not go together."""

import difflib
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

import pydantic

import augment
import zoo
from stacking.vote import RULES

Positive = Annotated[int, pydantic.Field(ge=1)]
Fraction = Annotated[float, pydantic.Field(ge=0, lt=1)]


class Part(pydantic.BaseModel):
    """Fields of a recipe: an unknown one is a mistake, and none changes after it was read."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Data(Part):
    """Which images: a data set by name, resized to `size` pixels where given.

    `holdout` is the share of the training images that members of a stack never see, so that
    the stack's head can be fitted on them. With `folds`, training leaves out the part numbered
    `fold`, from 0, of so many equal parts.
    """

    name: str
    size: Positive | None = None
    resample: Literal["lanczos", "bicubic", "bilinear", "nearest"] = "lanczos"
    holdout: Fraction = 0.0
    folds: Annotated[int, pydantic.Field(ge=2)] | None = None
    fold: Annotated[int, pydantic.Field(ge=0)] | None = None

    @pydantic.model_validator(mode="after")
    def _one_of_the_folds(self) -> Self:
        if (self.folds is None) != (self.fold is None) or (self.folds or 1) <= (self.fold or 0):
            raise ValueError(f"fold {self.fold} of {self.folds} folds: give both, counted from 0")
        return self


class Optimizer(pydantic.BaseModel):
    """A Keras optimizer by name; any other field is an argument of its class."""

    model_config = pydantic.ConfigDict(extra="allow", frozen=True)
    name: str = "adam"
    learning_rate: Annotated[float, pydantic.Field(gt=0)] = 0.001


class EarlyStop(Part):
    """Stop after `patience` epochs without a better `monitor`."""

    patience: Positive
    monitor: str = "val_top1"


class Plateau(Part):
    """Multiply the learning rate by `factor` after `patience` epochs without a better `monitor`."""

    patience: Positive
    factor: Annotated[float, pydantic.Field(gt=0, lt=1)]
    monitor: str = "val_top1"
    min_lr: Annotated[float, pydantic.Field(ge=0)] = 0.0


class Distill(Part):
    """Learn from a teacher as well (Hinton et al., arXiv 1503.02531).

    The loss is alpha T^2 KL(teacher || network), both softened by the temperature T, plus
    (1 - alpha) times the cross entropy with the labels. `teacher` is a row of the same paper or a
    run folder, a stack for example.
    """

    teacher: str
    temperature: Annotated[float, pydantic.Field(gt=0)] = 4.0
    alpha: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.9


class Adversarial(Part):
    """Every batch ends in `per_batch` images of a set that the command `attack` made.

    `folder` holds the set; with `classes`, only its images of these true classes are taken.
    """

    folder: str
    per_batch: Positive = 5
    classes: list[Annotated[int, pydantic.Field(ge=0)]] | None = None


class Attack(Part):
    """How adversarial images are made of a run's training or validation images.

    `images`, as many of each class, are moved by at most `epsilon` grey levels a pixel: by `fgsm`
    in one step, by `pgd` in `steps` of `step` grey levels (by default 10 of epsilon / 4) from a
    random start. A targeted attack aims at another class, drawn by the seed; one that is not
    moves away from the true class.
    """

    images: Positive = 3200
    method: Literal["fgsm", "pgd"] = "fgsm"
    epsilon: Annotated[float, pydantic.Field(ge=1, le=255)] = 8.0
    step: Annotated[float, pydantic.Field(gt=0, le=255)] | None = None
    steps: Positive | None = None
    targeted: bool = True
    split: Literal["train", "validation"] = "train"
    seed: Annotated[int, pydantic.Field(ge=0, lt=2**32)] = 0

    @pydantic.model_validator(mode="before")
    @classmethod
    def _steps_of_pgd(cls, fields: dict) -> dict:
        if fields.get("method") == "pgd":
            given = {key: value for key, value in fields.items() if value is not None}
            epsilon = given.get("epsilon", cls.model_fields["epsilon"].default)
            step = {"step": epsilon / 4} if isinstance(epsilon, int | float) else {}
            return {"steps": 10} | step | given
        for key in ("step", "steps"):
            if fields.get(key) is not None:
                raise ValueError(f"fgsm is one step of epsilon, it takes no {key}: use method=pgd")
        return fields


class Expect(Part):
    """What the paper printed: accuracies in percent, `tolerance` in points.

    Those of validation images, but `train_top1`, and `adversarial`: top-1 on adversarial images
    of the run's own training images.
    """

    top1: float | None = None
    top3: float | None = None
    top5: float | None = None
    train_top1: float | None = None
    adversarial: float | None = None
    epochs: int | None = None
    seconds_per_epoch: float | None = None
    hours: float | None = None
    dataset: str | None = None
    tolerance: float = 0.5


class _Row(Part):
    recipe: str
    title: str = ""
    note: str = ""
    data: Data
    expect: Expect | None = None

    @property
    def name(self) -> str:
        """The row's name without its paper."""
        return self.recipe.rpartition("/")[2]


class _Fitted(_Row):
    augment: str | dict[str, Any] | None = None
    optimizer: Optimizer = Optimizer()
    batch_size: Positive = 128
    epochs: Positive
    seed: Annotated[int, pydantic.Field(ge=0)] = 0
    keep: Literal["best", "last"] = "best"

    @pydantic.field_validator("augment")
    @classmethod
    def _known_policy(cls, policy: str | dict | None) -> str | dict | None:
        if policy is not None:
            augment.get(policy)
        return policy


class Train(_Fitted):
    """One network trained on one data set. `model` is a name of the zoo and its overrides.

    `freeze: body` trains the classifier alone, on the features of pretrained weights.
    """

    kind: Literal["train"] = "train"
    model: dict[str, Any]
    freeze: Literal["body", "none"] = "none"
    early_stop: EarlyStop | None = None
    plateau: Plateau | None = None
    distill: Distill | None = None
    adversarial: Adversarial | None = None
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    jit: bool | Literal["auto"] = "auto"

    @pydantic.field_validator("model")
    @classmethod
    def _known_model(cls, model: dict) -> dict:
        if not isinstance(model.get("name"), str):
            raise ValueError("needs a name, for example {name: alphanet_v4}")
        zoo.info(model["name"])
        return model


class Stack(_Fitted):
    """Frozen members (rows of the same paper, or run folders) and a dense head on their outputs.

    `tap` is the output that the head reads (not `on`, which YAML reads as true). The head is
    fitted on images that the members held out, on all their training images by members trained
    `folds` times without the part in question (`out_of_fold`), or on the members' own training
    images (`train`). An empty `head` is a linear one.
    """

    kind: Literal["stack"]
    members: Annotated[list[str], pydantic.Field(min_length=1)]
    tap: Literal["probs", "logits", "pooled"] = "probs"
    head: list[Positive] = [512, 512, 512]
    fit_on: Literal["held_out", "out_of_fold", "train"] = "held_out"
    folds: Annotated[int, pydantic.Field(ge=2)] = 5
    views: Positive = 1


class Vote(_Row):
    """Members (rows of the same paper, or run folders) that vote by a rule of `stacking.vote`.

    Weights are fitted on images that the members held out: shares of right decisions (`accuracy`),
    `boosted` ones, or those of greedy selection (`selected`).
    """

    kind: Literal["vote"]
    members: Annotated[list[str], pydantic.Field(min_length=1)]
    rule: str = "mode"
    weights: Literal["none", "accuracy", "boosted", "selected"] = "none"

    @pydantic.model_validator(mode="after")
    def _weights_that_the_rule_takes(self) -> Self:
        if self.rule not in RULES:
            raise ValueError(f"no rule {self.rule!r}{close_to(self.rule, RULES)}")
        takes, given = RULES[self.rule].weights, self.weights != "none"
        if given and takes == "refused":
            raise ValueError(f"rule {self.rule} takes no weights; weighted_{self.rule} does")
        if not given and takes == "needed":
            raise ValueError(f"rule {self.rule} needs weights: accuracy, boosted or selected")
        return self


class Experts(_Row):
    """Networks that learn all training images, each also the adversarial ones of some classes.

    `member` is a row of the same paper: its finished, clean run is attacked, is measured beside
    the experts, and gives them their recipe and, for `start: clean`, their first weights. The
    classes are divided into as many blocks, by number or so that those that the clean run
    confuses lie together, each class in one; expert i is trained with the adversarial images of
    block i, `per_batch` in each batch, under the seed `seed` + i. Then they vote by `rule`.
    """

    kind: Literal["experts"]
    member: str
    experts: Positive = 20
    partition: Literal["number", "confusion"] = "number"
    attack: Attack = Attack()
    per_batch: Positive = 5
    start: Literal["clean", "fresh"] = "clean"
    epochs: Positive
    optimizer: Optimizer | None = None
    rule: str = "mode"
    seed: Annotated[int, pydantic.Field(ge=0)] = 0

    @pydantic.model_validator(mode="after")
    def _that_train_and_vote_without_weights(self) -> Self:
        plain = [name for name, rule in RULES.items() if rule.weights != "needed"]
        if self.rule not in plain:
            raise ValueError(
                f"rule {self.rule!r} is none that takes no weights{close_to(self.rule, plain)}"
            )
        if self.attack.split != "train":
            raise ValueError("experts learn adversarial images: attack.split must be train")
        return self


Row = Train | Stack | Vote | Experts
KINDS = {"train": Train, "stack": Stack, "vote": Vote, "experts": Experts}


def close_to(name: str, names: Iterable[str]) -> str:
    """Return the end of an error message: names like `name`, or all there are."""
    names = list(names)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"; did you mean {', '.join(close)}?" if close else f"; there are {', '.join(names)}"
