"""What votes, weights and selection refuse, by name."""

import numpy as np
import pytest

import stacking
from stacking.vote import RULES

WEIGHTED = [name for name, rule in RULES.items() if rule.weights != "refused"]
# Within the rounding of some hundred float64 additions.
EXACT = {"rtol": 0, "atol": 1e-12}


def votes(decisions, classes):
    """Make probabilities whose argmax is the given decisions (n, members): 0.8 for each."""
    rest = 0.2 / (classes - 1)
    return np.where(np.eye(classes, dtype=bool)[np.array(decisions)], 0.8, rest)


GOOD = votes([[0, 1], [1, 1]], 3)
TAKES_PROBS = {
    "vote": stacking.vote,
    "accuracy_weights": lambda probs: stacking.accuracy_weights(probs, [0, 1]),
    "boosted_weights": lambda probs: stacking.boosted_weights(probs, [0, 1]),
    "select": lambda probs: stacking.select(probs, [0, 1]),
    "disagreement": stacking.disagreement,
}


def changed(value, place=(1, 0, 2)):
    probs = GOOD.copy()
    probs[place] = value
    return probs


@pytest.mark.parametrize("function", TAKES_PROBS.values(), ids=TAKES_PROBS)
@pytest.mark.parametrize(
    ("probs", "told"),
    [
        (GOOD[0], r"shape \(2, 3\) .*\(n, members, classes\)"),
        (GOOD[:0], r"shape \(0, 2, 3\) .*non-empty"),
        (GOOD[:, :0], r"shape \(2, 0, 3\) .*non-empty"),
        (np.ones((2, 2, 1)), r"shape \(2, 2, 1\) .*2 classes or more"),
        (np.eye(3, dtype=int)[None], "type int64: non-empty floats"),
        (None, "type object"),
        (changed(np.nan), r"probs\[1, 0\] sums to nan.*diverged"),
        (changed(np.inf), r"probs\[1, 0\] sums to inf"),
        (changed([[np.inf, -np.inf, 0]], np.s_[1, 0:1]), r"probs\[1, 0\] sums to nan"),
        (changed(0.102), r"probs\[1, 0\] sums to 1.002: .*member_outputs"),
        (changed([[1.5, 0, -0.5]], np.s_[0, 1:]), r"probs\[0, 1, 2\] is -0.5: .*member_outputs"),
    ],
)
def test_what_is_no_probabilities_is_refused(function, probs, told):
    with pytest.raises(ValueError, match=told):
        function(probs)


def test_a_sum_of_almost_1_is_taken():
    rows = stacking.vote(changed(0.1009))
    np.testing.assert_allclose(rows.sum(axis=1), 1, **EXACT)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("means", "unknown rule 'means': did you mean 'mean'.* there are mode, "),
        ("weighted", "unknown rule 'weighted': did you mean .*'weighted_mode'"),
        ("greedy", "unknown rule 'greedy': there are mode, "),
        (["mean"], r"unknown rule \['mean'\]"),
        (None, "unknown rule None"),
    ],
)
def test_an_unknown_rule_names_the_known_ones(rule, told):
    with pytest.raises(ValueError, match=told):
        stacking.vote(GOOD, rule)


@pytest.mark.parametrize("rule", RULES)
def test_rules_say_whether_they_take_weights(rule):
    if RULES[rule].weights == "refused":
        other = f"use 'weighted_{rule}' or " if f"weighted_{rule}" in RULES else ""
        told = f"'{rule}' takes no weights: {other}leave them out"
        with pytest.raises(ValueError, match=told):
            stacking.vote(GOOD, rule, [1, 1])
    if RULES[rule].weights == "needed":
        with pytest.raises(ValueError, match=f"'{rule}' needs weights=.*accuracy_weights"):
            stacking.vote(GOOD, rule)


def test_no_weighted_rule_is_offered_that_there_is_not(monkeypatch):
    monkeypatch.setitem(RULES, "median", RULES["mean"])
    with pytest.raises(ValueError, match="'median' takes no weights: leave them out"):
        stacking.vote(GOOD, "median", [1, 1])


@pytest.mark.parametrize("rule", WEIGHTED)
@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ([1], r"shape \(1,\) .* for 2 members"),
        ([[1, 1]], r"shape \(1, 2\)"),
        (["a", "b"], "type <U1"),
        ([1, np.nan], r"weights=\[1.0, nan\]: finite"),
        ([1, np.inf], r"weights=\[1.0, inf\]"),
        ([2, -1], r"weights=\[2, -1\]: .*none negative"),
        ([0, 0], r"weights=\[0, 0\]: .*not all zero"),
    ],
)
def test_weights_that_do_not_fit_are_refused(rule, weights, told):
    with pytest.raises(ValueError, match=told):
        stacking.vote(GOOD, rule, weights)


@pytest.mark.parametrize(
    "function", [stacking.accuracy_weights, stacking.boosted_weights, stacking.select]
)
@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ([0], r"labels of shape \(1,\) .* for 2 images"),
        ([0.0, 1.0], "type float64"),
        (np.eye(3)[[0, 1]], r"labels of shape \(2, 3\)"),
        ([0, 3], "labels from 0 to 3 for 2 images: probs has 3 classes, 0 to 2"),
        ([-1, 1], "labels from -1 to 1"),
    ],
)
def test_labels_that_do_not_fit_are_refused(function, labels, told):
    with pytest.raises(ValueError, match=told):
        function(GOOD, labels)


def test_members_that_know_nothing_have_no_weights():
    with pytest.raises(ValueError, match="no member is right on any of 2 images"):
        stacking.accuracy_weights(GOOD, [2, 2])
    chance = votes([[0], [0], [0]], 3)
    with pytest.raises(ValueError, match="right on 1 of 3 images, no more than chance among 3"):
        stacking.boosted_weights(chance, [0, 1, 2])


@pytest.mark.parametrize("rounds", [0, -1, 2.0, None])
def test_selection_needs_a_round(rounds):
    with pytest.raises(ValueError, match=f"rounds={rounds}: give a whole number of 1 or more"):
        stacking.select(GOOD, [0, 1], rounds=rounds)
