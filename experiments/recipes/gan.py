"""What a row says that trains a generator of images against a discriminator."""

from typing import Annotated, Literal, Self

import pydantic

from experiments.recipes._part import Fraction, Part, Positive, Seed
from experiments.recipes.fitting import Optimizer
from experiments.recipes.images import Share
from experiments.recipes.schemas import Augment, Row

# The rates and the first momentum of DCGAN (Radford et al., arXiv 1511.06434).
_ADAM = {"name": "adam", "learning_rate": 0.0002, "beta_1": 0.5}


class Network(Part):
    """Filters of the widest map are eight times `width`; `optimizer` is the network's own."""

    width: Positive = 32
    optimizer: Optimizer = Optimizer(**_ADAM)


class Generator(Network):
    """From `latent` normal numbers to an image; `ema` is the decay of its averaged weights.

    It is at most k / (9 + k) in step k, as of `Ema`: the first weights, which make noise, do not
    count for long. 0 averages nothing.
    """

    latent: Positive = 100
    ema: Fraction = 0.999


class Discriminator(Network):
    """Says of an image how real it is.

    With `spectral_norm` no kernel's largest singular value exceeds 1, in the place of batch
    normalization between the convolutions. A conditional row tells it the class by a `projection`
    (Miyato and Koyama, arXiv 1802.05637), or in the `image` as one more channel.
    """

    spectral_norm: bool = False
    condition: Literal["projection", "image"] = "projection"


class Gan(Row):
    """A generator of images like those of a data set, trained against a discriminator.

    Both are paper P2's DCGAN; a `conditional` row makes images of a class. `diff_augment` is a
    policy by which the discriminator sees real and generated images alike, which saves it from
    learning few images by heart (Zhao et al., arXiv 2006.10738). Every `sheet_every` epochs images
    of the same latent numbers are kept.
    """

    kind: Literal["gan"]
    share: Share = Share()
    conditional: bool = True
    generator: Generator = Generator()
    discriminator: Discriminator = Discriminator()
    loss: Literal["hinge", "logistic"] = "logistic"
    diff_augment: Augment = None
    batch_size: Annotated[int, pydantic.Field(ge=2)] = 64
    epochs: Positive
    sheet_every: Positive = 10
    seed: Seed = 0

    @property
    def model_name(self) -> str:
        """Return what metrics call the model."""
        return "conditional DCGAN" if self.conditional else "DCGAN"

    @pydantic.model_validator(mode="after")
    def _plain_optimizers(self) -> Self:
        for name in ("generator", "discriminator"):
            if (optimizer := getattr(self, name).optimizer).groups or optimizer.name == "muon":
                raise ValueError(
                    f"{name}.optimizer: groups and muon are for classifiers; give one of Keras'"
                )
        return self
