"""scikit-learn's handwritten digits, enlarged to 32x32 RGB: built in, nothing is downloaded.

1,797 images of 8x8 pixels; a fifth of every class, always the same, is the validation split.
"""

import pathlib

import numpy as np

from experiments.datasets import _dataset
from experiments.datasets._source import Part, Plan, Source
from experiments.datasets._tree import Builtin, Listing

_VALIDATION_SHARE = 0.2
_NAMES = [str(digit) for digit in range(10)]


def source(data_dir: str | pathlib.Path | None) -> Source:
    """Return the digits; they are made in a moment, so nothing is cached."""
    if data_dir is not None:
        raise ValueError(
            f"digits is built in and reads no files: leave out data_dir (--data-dir) {data_dir}"
        )
    return Source(Builtin("sklearn.datasets.load_digits"), _plan, size=32, keep=False)


def _plan(listing: Listing) -> Plan:
    from sklearn import datasets

    digits = datasets.load_digits()
    # Stored in 17 levels, 0..16.
    levels = np.round(digits.images * (255 / 16)).astype(np.uint8)
    images = np.repeat(levels[..., None], 3, axis=-1)
    splits = _dataset.stratified(digits.target, _VALIDATION_SHARE, seed=0)
    train, validation = (Part(images[rows], digits.target[rows]) for rows in splits)
    return Plan(train, validation, _NAMES, _NAMES)
