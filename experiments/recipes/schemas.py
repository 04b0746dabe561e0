"""What rows say, and those of one network: fields, defaults, and what does not go together."""

from typing import Annotated, Any, Literal, Self

import pydantic

import augment
import zoo
from experiments.recipes._part import Part, Positive, Rate, Seed, Views
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
from experiments.recipes.generated import Generated
from experiments.recipes.images import Images, Share
from experiments.recipes.lengthened import Lengthened
from experiments.recipes.pca import Pca
from experiments.recipes.sizes import Resized

# Fields of a network that follow from the data and from what reads its outputs.
_GIVEN = ("input_shape", "classes", "include_top", "classifier_activation", "model_name")
Policy = str | dict[str, Any] | None


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


class Fitted(Row):
    """A row with a model of its own, which is scored plain, and with `test_views` where given."""

    augment: Augment = None
    optimizer: Optimizer = Optimizer()
    batch_size: Positive = 128
    epochs: Positive
    seed: Seed = 0
    keep: Literal["best", "last"] = "best"
    test_views: Views = "none"


def known_network(model: dict[str, Any]) -> dict[str, Any]:
    """Return what says a network of the zoo; ValueError for what cannot be built."""
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


Network = Annotated[dict[str, Any], pydantic.AfterValidator(known_network)]


class Learned(Fitted):
    """A row that trains what is in its model; `precision`: see `experiments.training.precision`.

    Training ends after `epochs`, or within one of them: after exactly `max_steps` batches, or with
    the first batch after `max_hours` of training and validation, whichever comes first; counted
    over all parts of a run that was cut off. The last epoch, shortened, is validated like any
    other. Hours depend on the machine and on what else it does: a run that they end cannot be
    repeated bit for bit, and the schedule of its rate, which knows of `max_steps`, does not know
    of them.

    With `progress_every`, progress.csv has a line every so many batches, with their accuracy in
    training; with `validate_every`, the validation images are predicted every so many batches
    within the epochs as well, a multiple of the other where both are given. Nothing else changes
    by them, nor by `keep_state`: the state after the last epoch then stays, for a longer run.
    """

    share: Share = Share()
    max_steps: Positive | None = None
    max_hours: Rate | None = None
    progress_every: Positive | None = None
    validate_every: Positive | None = None
    early_stop: Stop | None = None
    schedule: Schedule = Constant()
    average: Average | None = None
    loss: Loss = Loss()
    mix: Mix | None = None
    dropout: Dropout | None = None
    precision: Literal["auto", "float32", "bfloat16", "mixed_bfloat16"] = "auto"
    jit: bool | Literal["auto"] = "auto"
    keep_state: bool = False

    @pydantic.model_validator(mode="after")
    def _a_warm_up_that_ends(self) -> Self:
        if (warmup := getattr(self.schedule, "warmup", 0)) > self.epochs:
            raise ValueError(f"schedule.warmup: {warmup:g} epochs, and there are {self.epochs}")
        return self

    @pydantic.model_validator(mode="after")
    def _lines_of_equally_many_batches(self) -> Self:
        every, validate = self.progress_every, self.validate_every
        if every and validate and validate % every:
            raise ValueError(
                f"validate_every: {validate} is no multiple of progress_every: {every}, and lines "
                "come after equally many batches: give one, or leave progress_every out"
            )
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


class Train(Lengthened, Resized, Learned):
    """One network trained on one data set. `model` is a name of the zoo and its overrides.

    `freeze: body` trains the classifier alone, on the features of pretrained weights. Under
    `balance: weights` all classes count alike in the loss, however many images they have. With
    `pca` the network sees images rebuilt from principal components of the training images' pixels.
    What is said of sizes, `Resized` explains.
    """

    kind: Literal["train"] = "train"
    model: Network
    freeze: Literal["body", "none"] = "none"
    balance: Literal["weights"] | None = None
    distill: Distill | None = None
    adversarial: Adversarial | None = None
    generated: Generated | None = None
    pca: Pca | None = None

    @property
    def model_name(self) -> str:
        """Return the network's name."""
        return self.model["name"]

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
