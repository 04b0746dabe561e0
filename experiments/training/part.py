"""Which of the training images a run learns from, and which it never sees."""

import dataclasses

from experiments.datasets import Dataset, Split
from experiments.recipes import Share, Train


def seen(data: Dataset, share: Share) -> Dataset:
    """Return the data set without what a run is not to see: held-out images, and its fold."""
    rest = data.holdout(share.holdout)[0] if share.holdout else data
    return rest if share.folds is None else rest.without(rest.folds(share.folds)[share.fold])


def held_out(data: Dataset, share: Share) -> Split:
    """Return the training images that a run with this share never sees; it must hold some out."""
    return data.holdout(share.holdout)[1]


def learned(data: Dataset, row: Train) -> Dataset:
    """Return the data set whose training images are all that a row learns from, generated ones too.

    These come behind the real ones, or in their place.
    """
    rest = seen(data, row.share)
    if row.generated is None:
        return rest
    images = rest.generated if row.generated.only else rest.train.join(rest.generated)
    return dataclasses.replace(rest, train=images)
