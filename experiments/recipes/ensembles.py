"""What rows of several networks say: stacks, votes, class experts, and joint training."""

from typing import Annotated, ClassVar, Literal, Self

import pydantic

from experiments.recipes._part import Positive, Rate, Seed, close_to
from experiments.recipes.attack import Attack
from experiments.recipes.fitting import Optimizer
from experiments.recipes.images import Share
from experiments.recipes.schemas import Fitted, Learned, Network, Row, Train
from stacking.vote import RULES

Members = Annotated[list[str], pydantic.Field(min_length=1)]


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


class Stack(Fitted, _Together):
    """Frozen members (rows of the same paper, or run folders) and a dense head on their outputs.

    `tap` is the output that the head reads (not `on`, which YAML 1.1 reads as true). The head is
    fitted on images that the members held out, on all their training images by members trained
    `folds` times without the part in question (`out_of_fold`), or on the members' own training
    images (`train`), each in `views` augmented views, taken in turn, or in a `fresh` one in every
    epoch: that is exact and costs the members' passes, and room for their outputs, once an epoch.
    An empty `head` is a linear one.
    """

    kind: Literal["stack"]
    tap: Literal["probs", "logits", "pooled"] = "probs"
    head: list[Positive] = [512, 512, 512]
    fit_on: Literal["held_out", "out_of_fold", "train"] = "held_out"
    folds: Annotated[int, pydantic.Field(ge=2)] = 5
    views: Positive | Literal["fresh"] = 1

    @property
    def seen_views(self) -> int:
        """How many views of an image the head reads: one where nothing is augmented."""
        if self.augment is None:
            return 1
        return self.epochs if self.views == "fresh" else min(self.views, self.epochs)

    @pydantic.model_validator(mode="after")
    def _fresh_views_that_differ(self) -> Self:
        if self.views == "fresh" and self.augment is None:
            raise ValueError(
                "views: fresh draws an augmented view in every epoch, and augment is not given: "
                "give a policy, or views: 1"
            )
        return self


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


class Joint(Learned, _Together):
    """Networks, `members` by name, that are trained together and answer by their weighted mean.

    `weights: correctness` is paper P1's scheme, which collapsed onto a few members, and a warning:
    `experiments.ensembles.correctness` says how they follow, at the rate `growth`, what members
    get right of the training batches. With `equal` they stay equal. A member's first weights are
    drawn by the seed `seed` plus its place.
    """

    # Of rows of one network alone.
    refresh: ClassVar[int] = 0
    last_size: ClassVar[None] = None

    kind: Literal["joint"]
    members: Annotated[dict[str, Network], pydantic.Field(min_length=2)]
    weights: Literal["correctness", "equal"] = "correctness"
    growth: Rate = 0.1

    @property
    def alone(self) -> dict[str, Train]:
        """Rows of the members, each by itself."""
        own = {"data": self.data, "share": self.share, "epochs": self.epochs}
        own |= {"batch_size": self.batch_size, "max_steps": self.max_steps}
        return {
            name: Train(recipe=f"{self.recipe}_{name}", model=model, seed=self.seed + place, **own)
            for place, (name, model) in enumerate(self.members.items())
        }
