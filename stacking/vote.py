"""Votes: what the members of an ensemble decide together, from their probabilities alone.

All functions read `probs` (n, members, classes), any float type, as `member_outputs` returns it
and leave it as it is. Weights are (members,) and come from images that no member has seen:

    probs = stacking.member_outputs(members, held_out_images)
    weights = stacking.select(probs, held_out_labels)
    decided = stacking.vote(new_probs, "weighted_mean", weights).argmax(axis=1)

`mode`, `weighted_mode` by accuracy, the means and the average of class numbers are the votes of
the GhostNet ensembles' source paper; greedy selection is Caruana et al., ICML 2004.
"""

import difflib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from stacking._checks import checked_labels, checked_probs, checked_weights

# Shares of votes are compared in 9 decimals; mean probabilities count for less than that.
DECIMALS = 9
TIE_BREAK = 10.0**-DECIMALS
# Floor of probabilities under a logarithm, the float32 epsilon.
FLOOR = float(np.finfo(np.float32).eps)


def vote(probs: np.ndarray, rule: str = "mean", weights: np.ndarray | None = None) -> np.ndarray:
    """Combine the members' probabilities to (n, classes) float64; its argmax is the decision.

    Every row sums to 1. Equal weights give what the plain rule gives.

    - "mean", "weighted_mean": the mean of the probabilities.
    - "mode", "weighted_mode": each member votes for its most probable class. A row is
      `round(share, 9) + 1e-9 * mean`, brought back to a sum of 1, where `share` is the class's
      share of the (weighted) votes and `mean` its (weighted) mean probability. So shares that
      agree to 9 decimals are a tie, which the mean probability breaks, then the lower class
      number; the same ranks the classes that nobody voted for. Beside a share float64 keeps
      six decimals of the mean and float32 none: do not narrow rows before ranking them.
    - "meaningless_mean_of_class_numbers": one-hot of the mean of the class *numbers* voted for,
      rounded to 9 decimals and then to the nearest whole number, halves to the even one. Class
      numbers are names, so this decides for classes that no member proposed; it is here because
      the source paper reports it (4.258 %), as a warning.

    The weighted rules need `weights` (members,): finite, not negative, not all zero, of any sum.
    The plain ones take none, "meaningless_mean_of_class_numbers" either way.

    Raises ValueError for an unknown rule and for probabilities or weights that do not fit.
    """
    if not isinstance(rule, str) or rule not in RULES:
        close = difflib.get_close_matches(str(rule), RULES, n=3)
        hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
        raise ValueError(f"unknown rule {rule!r}: {hint}there are {', '.join(RULES)}")
    chosen = RULES[rule]
    if weights is None and chosen.weights == "needed":
        raise ValueError(
            f"rule {rule!r} needs weights=, one number per member, for example from"
            " accuracy_weights, boosted_weights or select"
        )
    if weights is not None and chosen.weights == "refused":
        other = f"use 'weighted_{rule}' or " if f"weighted_{rule}" in RULES else ""
        raise ValueError(f"rule {rule!r} takes no weights: {other}leave them out")
    probs = checked_probs(probs)
    members = probs.shape[1]
    weights = np.ones(members) if weights is None else checked_weights(weights, members)
    return _rows(chosen.combine, probs, weights)


def accuracy_weights(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return each member's share of right decisions on (n,) `labels`, divided by their sum.

    These are the weights of the source paper's weighted mode. Raises ValueError for probabilities
    or labels that do not fit, and where no member is ever right.
    """
    right = _right(checked_probs(probs), labels)
    if not right.any():
        raise ValueError(f"no member is right on any of {len(right)} images: check the labels")
    return right.sum(axis=0) / right.sum()


def boosted_weights(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return weights that grow for members that are right where the ones before were wrong.

    The source paper names AdaBoost and no formula; this is SAMME (Zhu et al., 2009, "Multi-class
    AdaBoost", algorithm 2) over members that are trained already. Every image begins with the
    weight 1/n. The members follow each other by accuracy, the best first (of equals the first);
    each one's error is the weight of the images that it gets wrong, kept 0.5 / (n + 1) away from 0
    and from 1, as if one image more were half right: a perfect member has a finite weight. Then

        member weight = max(0, log((1 - error) / error) + log(classes - 1))

    and the images that it gets wrong grow by the factor exp(member weight), before all are divided
    by their sum. A member at or below chance has weight 0 and changes nothing, and so has one that
    repeats the errors of the member before it. The members' weights are divided by their sum.

    Raises ValueError for probabilities or (n,) `labels` that do not fit, and where no member is
    better than chance.
    """
    probs = checked_probs(probs)
    right, classes = _right(probs, labels), probs.shape[2]
    n, members = right.shape
    counts = right.sum(axis=0)
    if counts.max() * classes <= n:
        raise ValueError(
            f"the best member is right on {counts.max()} of {n} images, no more than chance among"
            f" {classes} classes: check the labels, or train the members"
        )
    images, weights, least = np.full(n, 1 / n), np.zeros(members), 0.5 / (n + 1)
    for member in np.argsort(-counts, kind="stable"):
        wrong = ~right[:, member]
        error = images[wrong].sum().clip(least, 1 - least)
        weights[member] = max(0.0, np.log((1 - error) / error) + np.log(classes - 1))
        images[wrong] *= np.exp(weights[member])
        images /= images.sum()
    return weights / weights.sum()


def select(probs: np.ndarray, labels: np.ndarray, rounds: int = 50) -> np.ndarray:
    """Return weights for "weighted_mean" by greedy selection with replacement.

    Each round adds the member, chosen before or not, with which the mean of those chosen is right
    most often on (n,) `labels`; among equals the one with the lower negative log likelihood
    (probabilities below the float32 epsilon count as that), then the first. So the first is the
    best single member. The weights are the shares that the members have in the best of the
    `rounds` prefixes, by the same measures: on these images "weighted_mean" with them is right at
    least as often as the best member.

    Source: Caruana et al., "Ensemble selection from libraries of models", ICML 2004. Raises
    ValueError for probabilities or labels that do not fit and for fewer than 1 round.
    """
    if not isinstance(rounds, int | np.integer) or rounds < 1:
        raise ValueError(f"rounds={rounds!r}: give a whole number of 1 or more")
    probs = checked_probs(probs)
    labels = checked_labels(labels, len(probs), probs.shape[2], "probs")
    members = probs.shape[1]
    counts, total = np.zeros(members, int), np.zeros((probs.shape[0], probs.shape[2]))
    prefixes = []
    for size in range(1, rounds + 1):
        # max keeps the first of equals.
        added = max(range(members), key=lambda m: _score(total + probs[:, m], size, labels))
        counts[added] += 1
        total += probs[:, added]
        # Not the score of `total`: rounding decides where classes are tied, and must as in `vote`.
        weights = counts / size
        prefixes.append((_score(_rows(_mean, probs, weights), 1, labels), weights))
    return max(prefixes, key=lambda prefix: prefix[0])[1]


def disagreement(probs: np.ndarray) -> np.ndarray:
    """Return (members, members): the share of images on which two members decide differently.

    Raises ValueError for probabilities that do not fit.
    """
    decisions = checked_probs(probs).argmax(axis=2)
    return (decisions[:, :, None] != decisions[:, None, :]).mean(axis=0)


def _rows(combine: Callable, probs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    rows = combine(probs, weights / weights.sum())
    return rows / rows.sum(axis=1, keepdims=True)


def _mean(probs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.einsum("nmc,m->nc", probs, weights)


def _mode(probs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    n, members, classes = probs.shape
    cells = np.arange(n)[:, None] * classes + probs.argmax(axis=2)
    shares = np.bincount(cells.ravel(), np.tile(weights, n), n * classes).reshape(n, classes)
    return shares.round(DECIMALS) + TIE_BREAK * _mean(probs, weights)


def _mean_of_class_numbers(probs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    numbers = np.rint((probs.argmax(axis=2) @ weights).round(DECIMALS)).astype(int)
    return np.eye(probs.shape[2])[numbers]


class Rule(NamedTuple):
    """How a vote combines (n, members, classes) and weights of sum 1, and if it takes weights."""

    combine: Callable[[np.ndarray, np.ndarray], np.ndarray]
    weights: str  # "refused", "needed" or "optional"


RULES = {
    "mode": Rule(_mode, "refused"),
    "weighted_mode": Rule(_mode, "needed"),
    "mean": Rule(_mean, "refused"),
    "weighted_mean": Rule(_mean, "needed"),
    "meaningless_mean_of_class_numbers": Rule(_mean_of_class_numbers, "optional"),
}


def _score(total: np.ndarray, size: int, labels: np.ndarray) -> tuple[int, float]:
    """Return the number of right decisions and the log likelihood of a sum of `size` members."""
    true = np.take_along_axis(total, labels[:, None], axis=1) / size
    right = np.count_nonzero(total.argmax(axis=1) == labels)
    return right, float(np.log(true.clip(FLOOR, 1)).mean())


def _right(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return (n, members): whether each member decides for the label."""
    return (
        probs.argmax(axis=2) == checked_labels(labels, len(probs), probs.shape[2], "probs")[:, None]
    )
