"""Checks of what the functions of this package are given: ValueError for what is wrong."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from stacking.stack import head_of, members_of

if TYPE_CHECKING:
    import keras

# Arrays are looked through in pieces of about this many bytes: a set may be larger than memory.
CHUNK = 1 << 24
# Probabilities of one image may miss the sum of 1 by this much: float16 rounds each by 5e-4.
SUM_TOLERANCE = 1e-3


def pieces(array: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the rows of an array in pieces, each with the number of its first row."""
    rows = max(1, CHUNK // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        yield start, np.ascontiguousarray(array[start : start + rows])


def check_images(taps: dict[str, keras.Model], images: np.ndarray) -> None:
    """Raise ValueError unless `images` is a non-empty array of what the members take."""
    wanted = next(iter(taps.values())).input_shape
    shape = tuple(getattr(images, "shape", ()))
    fits = len(shape) == len(wanted) and all(
        w in (None, s) for w, s in zip(wanted, shape, strict=True)
    )
    if not fits or not shape[0]:
        expected = ", ".join(["n", *(str(side or "any") for side in wanted[1:])])
        raise ValueError(f"images of shape {shape}: the members take a non-empty ({expected})")


def check_finite(array: np.ndarray, what: str, fix: str = "repair it or leave it out") -> None:
    """Raise ValueError that names the first row of `array`, called `what`, with NaN or infinity.

    A member may turn such an image into finite outputs: maxima and ReLUs lose NaN.
    """
    if np.asarray(array[:1]).dtype.kind in "iub":
        return
    for start, piece in pieces(array):
        finite = np.isfinite(piece).reshape(len(piece), -1).all(axis=1)
        if not finite.all():
            row = start + int(finite.argmin())
            raise ValueError(f"{what}[{row}] has NaN or infinite values: {fix}")


def check_frozen(stack: keras.Model) -> None:
    """Raise ValueError unless the members of a stack are frozen and its head is not."""
    for name, member in members_of(stack).items():
        if member.trainable_variables:
            raise ValueError(f"member {name!r} of the stack is not frozen: set trainable = False")
    if not head_of(stack).trainable_variables:
        raise ValueError("the head is frozen: set stacking.head_of(stack).trainable = True")


def check_data(stack: keras.Model, images: np.ndarray, labels: np.ndarray, what: str) -> None:
    """Raise ValueError unless the images fit the members and the labels the images and classes."""
    check_images(members_of(stack), images)
    checked_labels(labels, len(images), stack.output_shape[-1], "the stack", what)
    check_finite(images, what)


def read_options(cls: type, given: dict) -> Any:
    """Make a dataclass of options; an unknown name raises and names the fields."""
    fields = [field.name for field in dataclasses.fields(cls)]
    for name in given:
        if name not in fields:
            close = difflib.get_close_matches(name, fields, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise ValueError(f"unknown option {name!r}: {hint}there are {', '.join(fields)}")
    return cls(**given)


def checked_probs(probs: np.ndarray) -> np.ndarray:
    """Return (n, members, classes) probabilities as an array."""
    probs = np.asarray(probs)
    if probs.ndim != 3 or probs.dtype.kind != "f" or 0 in probs.shape or probs.shape[2] < 2:
        raise ValueError(
            f"probs of shape {probs.shape} and type {probs.dtype}: non-empty floats"
            " (n, members, classes), 2 classes or more, as member_outputs returns them, are needed"
        )
    with np.errstate(invalid="ignore"):  # infinities that cancel: NaN, refused below
        sums = probs.sum(axis=2, dtype=np.float64)
    # Written so that NaN counts as wrong.
    wrong = ~(np.abs(sums - 1) <= SUM_TOLERANCE)
    if wrong.any():
        image, member = np.argwhere(wrong)[0]
        raise ValueError(
            f"probs[{image}, {member}] sums to {sums[image, member]:g}: probabilities sum to 1; if"
            ' these are logits, take member_outputs(..., on="probs"); if NaN, the member diverged'
        )
    if probs.min() < 0:
        place = tuple(map(int, np.unravel_index(probs.argmin(), probs.shape)))
        raise ValueError(
            f"probs{list(place)} is {probs[place]:g}: probabilities are not negative; if these are"
            ' logits, take member_outputs(..., on="probs")'
        )
    return probs


def checked_labels(
    labels: np.ndarray, n: int, classes: int, owner: str, what: str = "images"
) -> np.ndarray:
    """Return the labels of n images (or `what`) as an array; `owner` is what has the classes."""
    labels = np.asarray(labels)
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"labels of shape {labels.shape} and type {labels.dtype} for {n} {what}:"
            " give one whole number per image"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"labels from {labels.min()} to {labels.max()} for {n} {what}: {owner} has {classes}"
            f" classes, 0 to {classes - 1}"
        )
    return labels


def checked_weights(weights: np.ndarray, members: int) -> np.ndarray:
    """Return the weights (members,) of a vote as float64."""
    weights = np.asarray(weights)
    if weights.shape != (members,) or weights.dtype.kind not in "fiu":
        raise ValueError(
            f"weights of shape {weights.shape} and type {weights.dtype} for {members} members:"
            " give one number per member, in their order"
        )
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise ValueError(
            f"weights={weights.tolist()}: finite numbers, none negative and not all zero, are"
            " needed"
        )
    return weights.astype(np.float64)
