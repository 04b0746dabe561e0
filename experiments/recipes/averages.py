"""Averages of the weights over the steps of training."""

from typing import Annotated, Literal

import pydantic

from experiments.recipes._part import Fraction, Part, Positive

Decay = Annotated[float, pydantic.Field(gt=0, lt=1)]


class Ema(Part):
    """An exponential moving average beside the weights: average += (1 - decay) (weight - average).

    Every `every` steps; the k-th time with a decay of at most k / (9 + k), so that the first
    weights do not count for long. Of both, the weights and their average, the better is kept
    (`keep: best`), or the average (`keep: last`).
    """

    name: Literal["ema"]
    decay: Decay = 0.999
    every: Positive = 1


class Lookahead(Part):
    """Slow weights that follow the fast ones (Zhang et al., arXiv 1907.08610).

    Every `every` steps slow += (1 - decay) (fast - slow), and the fast ones go on from there; they
    do so at the end of training as well. With `rising`, the decay is decay^every (step / steps)^3:
    fast at first, averaged at the end, as in airbench.
    """

    name: Literal["lookahead"]
    decay: Fraction = 0.5
    every: Positive = 5
    rising: bool = False
