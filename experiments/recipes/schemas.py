"""What each kind of row may say: its fields, their defaults, and what does not go together."""

from typing import Annotated, Any, Literal, Self

import pydantic

import augment
import zoo
from experiments.recipes._part import Part, Positive, Rate, Seed, Views, close_to
from experiments.recipes.attack import Attack
from experiments.recipes.averages import Ema
from experiments.recipes.dropout import Dropout
from experiments.recipes.expect import Expect
from experiments.recipes.fitting import (
    AVERAGED,
    Adversarial,
    Average,
    Constant,
    Distill,
    Loss,
    Mix,
    Optimizer,
    Schedule,
    Stop,
)
from experiments.recipes.images import Images, Share
from experiments.recipes.lengthened import Lengthened
from experiments.recipes.sizes import Resized
from stacking.vote import RULES

# Fields of a network that follow from the data and from what reads its outputs.
_GIVEN = ("input_shape", "classes", "include_top", "classifier_activation", "model_name")
Policy = str | dict[str, Any] | None
Members = Annotated[list[str], pydantic.Field(min_length=1)]


def _known_policy(policy: Policy) -> Policy:
    if policy is not None:
        augment.get(policy)
    return policy


Augment = Annotated[Policy, pydantic.AfterValidator(_known_policy)]


class Row(Part):
    """What every row says. Its name is PAPER/ROW, which is also its folder below the runs."""

    kind: str
    recipe: Annotated[str, pydantic.Field(pattern=r"^\w[\w.-]*(/\w[\w.-]*)*$")]
    title: str = ""
    note: str = ""
    data: Images
    expect: Expect | None = None

    @property
    def name(self) -> str:
        """The row's name without its paper."""
        return self.recipe.rpartition("/")[2]

    @property
    def paper(self) -> str:
        """Name of the paper."""
        return self.recipe.rpartition("/")[0]

    @property
    def made_of(self) -> str:
        """Return the network, or what the row puts together, in a few letters."""
        return self.model_name

    @property
    def model_name(self) -> str:
        """Return what metrics call the model."""
        return self.kind

    @pydantic.model_validator(mode="after")
    def _views_of_a_model_of_its_own(self) -> Self:
        if self.expect and self.expect.views and "test_views" not in type(self).model_fields:
            raise ValueError(
                f"expect.views: {self.expect.views}: a row of kind {self.kind} has no model of its "
                "own that could be asked with views; leave it out"
            )
        return self


class _Together(Row):
    members: Members

    @property
    def made_of(self) -> str:
        """Return how many members there are."""
        return f"{len(self.members)} members"

    @property
    def model_name(self) -> str:
        """Return the members' names."""
        return "+".join(self.members)


class _Fitted(Row):
    """A row with a model of its own, which is scored plain, and with `test_views` where given."""

    augment: Augment = None
    optimizer: Optimizer = Optimizer()
    batch_size: Positive = 128
    epochs: Positive
    seed: Seed = 0
    keep: Literal["best", "last"] = "best"
    test_views: Views = "none"


class Train(Lengthened, Resized, _Fitted):
    """One network trained on one data set. `model` is a name of the zoo and its overrides.

    `freeze: body` trains the classifier alone, on the features of pretrained weights. What is said
    of sizes, `Resized` explains, and `precision` is explained in `experiments.training.precision`.

    Training ends after `epochs`, or within one of them: after exactly `max_steps` batches, or with
    the first batch after `max_hours` of training and validation, whichever comes first; counted
    over all parts of a run that was cut off. The last epoch, shortened, is validated like any
    other. Hours depend on the machine and on what else it does: a run that they end cannot be
    repeated bit for bit, and the schedule of its rate, which knows of `max_steps`, does not know
    of them.

    With `validate_every`, the validation images are predicted every so many batches within the
    epochs as well: progress.csv keeps their accuracy. Nothing else changes by it.
    """

    kind: Literal["train"] = "train"
    share: Share = Share()
    model: dict[str, Any]
    freeze: Literal["body", "none"] = "none"
    max_steps: Positive | None = None
    max_hours: Rate | None = None
    validate_every: Positive | None = None
    early_stop: Stop | None = None
    schedule: Schedule = Constant()
    average: Average | None = None
    loss: Loss = Loss()
    mix: Mix | None = None
    dropout: Dropout | None = None
    distill: Distill | None = None
    adversarial: Adversarial | None = None
    precision: Literal["auto", "float32", "bfloat16", "mixed_bfloat16"] = "auto"
    jit: bool | Literal["auto"] = "auto"

    @property
    def model_name(self) -> str:
        """Return the network's name."""
        return self.model["name"]

    @pydantic.field_validator("model")
    @classmethod
    def _known_model(cls, model: dict) -> dict:
        if not isinstance(model.get("name"), str):
            raise ValueError("needs a name, for example {name: alphanet_v4}")
        if given := [field for field in _GIVEN if field in model]:
            raise ValueError(
                f"{', '.join(given)} cannot be set: images and classes are those of the data set "
                "(data.size resizes), and every network ends in probabilities"
            )
        # Weights may be a file, or need a package, of the machine that the row is run on.
        zoo.check(**{key: value for key, value in model.items() if key != "weights"})
        return model

    @pydantic.model_validator(mode="after")
    def _a_warm_up_that_ends(self) -> Self:
        if (warmup := getattr(self.schedule, "warmup", 0)) > self.epochs:
            raise ValueError(f"schedule.warmup: {warmup:g} epochs, and there are {self.epochs}")
        return self

    @pydantic.model_validator(mode="after")
    def _averages_to_monitor(self) -> Self:
        if isinstance(self.average, Ema):
            return self
        for field in ("early_stop", "schedule"):
            if (monitor := getattr(getattr(self, field), "monitor", None)) in AVERAGED:
                raise ValueError(
                    f"{field}.monitor: {monitor} is of averaged weights, and the row has none: add "
                    f"average: {{name: ema}} or monitor {monitor.removesuffix('_ema')}"
                )
        return self

    @pydantic.model_validator(mode="after")
    def _one_compiler(self) -> Self:
        if self.precision == "bfloat16" and self.jit is True:
            raise ValueError(
                "precision: bfloat16 rewrites TensorFlow's own graph, jit: true has XLA compile "
                "another: leave one of them out"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _frozen_features_that_were_learned(self) -> Self:
        if self.freeze == "body" and self.model.get("weights") is None:
            raise ValueError(
                "freeze: body trains the classifier on features of pretrained weights, and "
                "model.weights is not given: random features would stay random"
            )
        if self.freeze == "body" and self.refresh:
            raise ValueError(
                f"refresh: {self.refresh} makes statistics anew that freeze: body keeps: leave one "
                "out"
            )
        return self


class Stack(_Fitted, _Together):
    """Frozen members (rows of the same paper, or run folders) and a dense head on their outputs.

    `tap` is the output that the head reads (not `on`, which YAML 1.1 reads as true). The head is
    fitted on images that the members held out, on all their training images by members trained
    `folds` times without the part in question (`out_of_fold`), or on the members' own training
    images (`train`), each in `views` augmented views. An empty `head` is a linear one.
    """

    kind: Literal["stack"]
    tap: Literal["probs", "logits", "pooled"] = "probs"
    head: list[Positive] = [512, 512, 512]
    fit_on: Literal["held_out", "out_of_fold", "train"] = "held_out"
    folds: Annotated[int, pydantic.Field(ge=2)] = 5
    views: Positive = 1


class Vote(_Together):
    """Members (rows of the same paper, or run folders) that vote by a rule of `stacking.vote`.

    Weights are fitted on images that the members held out: shares of right decisions (`accuracy`),
    `boosted` ones, or those of greedy selection (`selected`).
    """

    kind: Literal["vote"]
    rule: str = "mode"
    weights: Literal["none", "accuracy", "boosted", "selected"] = "none"

    @pydantic.model_validator(mode="after")
    def _weights_that_the_rule_takes(self) -> Self:
        if self.rule not in RULES:
            raise ValueError(f"no rule {self.rule!r}{close_to(self.rule, RULES)}")
        takes, given = RULES[self.rule].weights, self.weights != "none"
        if given and takes == "refused":
            other = f"weighted_{self.rule}"
            hint = f"; {other} does" if other in RULES else ": leave them out"
            raise ValueError(f"rule {self.rule} takes no weights{hint}")
        if not given and takes == "needed":
            raise ValueError(f"rule {self.rule} needs weights: accuracy, boosted or selected")
        return self


class Experts(Row):
    """Networks that learn all training images, each also the adversarial ones of some classes.

    `member` is a row of the same paper: its finished, clean run is attacked, is measured beside
    the experts, and gives them their recipe and, for `start: clean`, their first weights. The
    classes are divided into as many blocks, by number or so that those that the clean run
    confuses lie together, each class in one; expert i is trained with the adversarial images of
    block i, `per_batch` in each batch, under the seed `seed` + i. Then they vote by `rule`.
    """

    kind: Literal["experts"]
    share: Share = Share()
    member: str
    experts: Positive = 20
    partition: Literal["number", "confusion"] = "number"
    attack: Attack = Attack()
    per_batch: Positive = 5
    start: Literal["clean", "fresh"] = "clean"
    epochs: Positive
    optimizer: Optimizer | None = None
    rule: str = "mode"
    seed: Seed = 0

    @property
    def made_of(self) -> str:
        """Return how many experts there are."""
        return f"{self.experts} experts"

    @property
    def model_name(self) -> str:
        """Return what the experts come from."""
        return self.member

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
