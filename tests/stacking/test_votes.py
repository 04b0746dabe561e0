"""Contracts of votes, weights and selection: arrays only, no models."""

import itertools

import numpy as np
import pytest

import stacking
from stacking.vote import RULES

# The sum of 1 and equal weights hold within the rounding of some hundred float64 additions.
EXACT = {"rtol": 0, "atol": 1e-12}
SHAPES = [(40, 1, 2), (60, 2, 5), (50, 5, 3), (30, 8, 10)]
FLOATS = [np.float16, np.float32, np.float64]
PLAIN = [name for name, rule in RULES.items() if rule.weights != "needed"]
WEIGHTED = [name for name, rule in RULES.items() if rule.weights != "refused"]


def random_probs(shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).dirichlet(np.ones(shape[2]), shape[:2]).astype(dtype)


def coarse_probs(shape, seed=0):
    """Make probabilities in tenths: ties are frequent, in votes, and in means up to rounding."""
    even = np.full(shape[2], 1 / shape[2])
    return np.random.default_rng(seed).multinomial(10, even, shape[:2]) / 10


def random_labels(probs, seed=0):
    """Draw labels that members are right about, the later ones more often."""
    rng, probs = np.random.default_rng(seed), probs.astype(float)
    rows = np.average(probs, axis=1, weights=np.arange(1, probs.shape[1] + 1))
    return np.array([rng.choice(len(row), p=row / row.sum()) for row in rows])


def votes(decisions, classes):
    """Make probabilities whose argmax is the given decisions (n, members): 0.8 for each."""
    rest = 0.2 / (classes - 1)
    return np.where(np.eye(classes, dtype=bool)[np.array(decisions)], 0.8, rest)


def top1(probs, labels):
    return np.mean(probs.argmax(axis=-1) == labels)


def weights_for(rule, members, seed=0):
    if RULES[rule].weights == "refused":
        return None
    return np.random.default_rng(seed).random(members)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rule", RULES)
def test_rows_are_probabilities_and_the_input_stays(rule, shape, dtype):
    probs = random_probs(shape, dtype=dtype)
    before = probs.copy()
    rows = stacking.vote(probs, rule, weights_for(rule, shape[1]))
    assert rows.shape == (shape[0], shape[2]) and rows.dtype == np.float64
    assert (rows >= 0).all()
    np.testing.assert_allclose(rows.sum(axis=1), 1, **EXACT)
    np.testing.assert_array_equal(probs, before)


@pytest.mark.parametrize("make", [random_probs, coarse_probs])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rule", WEIGHTED)
def test_equal_weights_are_the_plain_rule(rule, shape, make):
    probs = make(shape, seed=1)
    plain = stacking.vote(probs, rule.removeprefix("weighted_"))
    for weight in (1, 0.3, 7.0):
        rows = stacking.vote(probs, rule, np.full(shape[1], weight))
        np.testing.assert_allclose(rows, plain, **EXACT)


@pytest.mark.parametrize("members", [1, 2, 7])
@pytest.mark.parametrize("rule", RULES)
def test_equal_members_decide_as_one(rule, members):
    """Every class but the first of a mode ranks by mean probability: all ranks are the member's."""
    one = random_probs((50, 1, 6), seed=2)
    rows = stacking.vote(one.repeat(members, axis=1), rule, weights_for(rule, members))
    np.testing.assert_array_equal(rows.argmax(axis=1), one[:, 0].argmax(axis=1))
    if "class_numbers" not in rule:
        np.testing.assert_array_equal(np.argsort(rows), np.argsort(one[:, 0]))
    if rule.endswith("mean"):
        np.testing.assert_allclose(rows, one[:, 0], **EXACT)


@pytest.mark.parametrize("rule", RULES)
def test_the_order_of_members_does_not_matter(rule):
    probs, order = random_probs((50, 5, 6), seed=3), np.random.default_rng(3).permutation(5)
    weights = weights_for(rule, 5)
    shuffled = None if weights is None else weights[order]
    rows = stacking.vote(probs[:, order], rule, shuffled)
    np.testing.assert_allclose(rows, stacking.vote(probs, rule, weights), **EXACT)


@pytest.mark.parametrize("rule", WEIGHTED)
def test_a_member_of_weight_0_has_no_say(rule):
    probs, weights = random_probs((50, 4, 6), seed=4), np.array([0.5, 0, 0.2, 0.3])
    kept = weights > 0
    expected = stacking.vote(probs[:, kept], rule, weights[kept])
    np.testing.assert_allclose(stacking.vote(probs, rule, weights), expected, **EXACT)
    alone = stacking.vote(probs, rule, [0, 0, 2, 0])
    np.testing.assert_array_equal(alone.argmax(axis=1), probs[:, 2].argmax(axis=1))


@pytest.mark.parametrize("shape", SHAPES)
def test_means_are_numpys(shape):
    probs, weights = random_probs(shape, seed=5), weights_for("weighted_mean", shape[1])
    np.testing.assert_allclose(stacking.vote(probs), probs.mean(axis=1), **EXACT)
    expected = np.average(probs, axis=1, weights=weights)
    np.testing.assert_allclose(stacking.vote(probs, "weighted_mean", weights), expected, **EXACT)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("weights", [None, (1, 1, 2, 3), (0.1, 0.2, 0.3, 0.6)])
def test_modes_rank_by_votes_then_by_mean_probability(weights, seed):
    """0.1 + 0.2 and 0.3 are a tie, though not in float64."""
    probs = random_probs((80, 4, 5), seed=seed)
    rows = stacking.vote(probs, "weighted_mode" if weights else "mode", weights)
    weights = np.array(weights or (1, 1, 1, 1))
    means = np.average(probs, axis=1, weights=weights)
    for row, decisions, mean in zip(rows, probs.argmax(axis=2), means, strict=True):
        share = [round(sum(weights[decisions == c]) / sum(weights), 9) for c in range(5)]
        expected = sorted(range(5), key=lambda c: (-share[c], -mean[c]))
        assert np.argsort(-row, kind="stable").tolist() == expected
        # 1e-8: ties are broken by 1e-9 of the mean.
        np.testing.assert_allclose(row, share, rtol=0, atol=1e-8)


def test_ties_of_a_mode_end_at_the_lower_class():
    member = {0: [0.25, 0.5, 0.25], 1: [0.25, 0.25, 0.5]}
    tied = stacking.vote(np.array([[member[0], member[1]]]), "mode")
    np.testing.assert_array_equal(tied[0, 1], tied[0, 2])
    assert tied.argmax() == 1
    surer = stacking.vote(np.array([[member[0], [0.2, 0.2, 0.6]]]), "mode")
    assert surer.argmax() == 2


@pytest.mark.parametrize("weights", [(0.1, 0.2, 0.3), (0.1, 0.3, 0.4), (3, 4, 7)])
@pytest.mark.parametrize(("lower", "higher"), [((0, 1), (2,)), ((2,), (0, 1))])
def test_ties_are_ties_in_spite_of_rounding(weights, lower, higher):
    """The first two members weigh as much as the third, but for the last bit of a float64."""
    probs = np.empty((1, 3, 3))
    probs[0, lower, :] = [0.25, 0.5, 0.25]
    probs[0, higher, :] = [0.25, 0.25, 0.5]
    assert stacking.vote(probs, "weighted_mode", weights).argmax() == 1


def test_votes_decide_where_the_rules_differ():
    probs = np.array([[[0.6, 0.4, 0.0], [0.6, 0.4, 0.0], [0.0, 0.9, 0.1]]])
    assert stacking.vote(probs, "mode").argmax() == 0
    assert stacking.vote(probs, "mean").argmax() == 1
    assert stacking.vote(probs, "weighted_mode", [1, 1, 3]).argmax() == 1
    assert stacking.vote(probs, "weighted_mean", [4, 4, 1]).argmax() == 0


@pytest.mark.parametrize(
    ("decisions", "weights", "expected"),
    [
        ([0, 10], None, 5),
        ([3, 3, 9], None, 5),
        ([2, 3], None, 2),  # 2.5: halves go to the even number
        ([3, 4], None, 4),
        ([0, 10], [1, 4], 8),
        ([7, 7, 7], [0.1, 0.2, 0.7], 7),
        ([1, 2], [0.3, 0.3], 2),  # 1.5 in spite of the rounding of the weights
    ],
)
def test_the_mean_of_class_numbers_decides_for_what_nobody_proposed(decisions, weights, expected):
    rows = stacking.vote(votes([decisions], 11), "meaningless_mean_of_class_numbers", weights)
    np.testing.assert_array_equal(rows, np.eye(11)[[expected]])


# Weights -----------------------------------------------------------------------------------------


def test_accuracy_weights_are_shares_of_right_decisions():
    probs = votes([[0, 0, 1], [1, 2, 1], [2, 2, 0], [0, 1, 1]], 3)
    weights = stacking.accuracy_weights(probs, np.array([0, 1, 2, 0]))
    np.testing.assert_allclose(weights, np.array([4, 2, 1]) / 7)


def test_boosted_weights_of_a_case_computed_by_hand():
    """Labels 0, 1, 2, 0. Columns: c is wrong on the first three, a on the last, b on the first two.

    a comes first: error 1/4, log 3 + log 2 = log 6; the images weigh 1, 1, 1, 6 ninths.
    b: error 2/9, log 7/2 + log 2 = log 7; the images weigh 7, 7, 1, 6 of 21.
    c: error 15/21 is more than chance, 2/3: weight 0.
    """
    probs = votes([[1, 0, 1], [0, 1, 2], [0, 2, 2], [0, 1, 0]], 3)
    weights = stacking.boosted_weights(probs, np.array([0, 1, 2, 0]))
    np.testing.assert_allclose(weights, [0, np.log(6) / np.log(42), np.log(7) / np.log(42)])


def test_boosted_weights_grow_for_what_the_best_gets_wrong():
    """Equally accurate members; the third one's mistakes are not those of the first."""
    probs = votes([[0, 0, 0], [0, 0, 0], [0, 0, 0], [1, 1, 0], [0, 0, 1]], 2)
    weights = stacking.boosted_weights(probs, np.zeros(5, int))
    # After the update a member's error is exactly chance, within rounding.
    np.testing.assert_allclose(weights[1], 0, atol=1e-12)
    assert weights[2] > weights[0] > 0


@pytest.mark.parametrize("n", [1, 10, 1000])
def test_a_perfect_member_has_a_finite_weight(n):
    labels = np.arange(n) % 2
    probs = votes(np.stack([labels, labels, 1 - labels], axis=1), 2)
    np.testing.assert_allclose(stacking.boosted_weights(probs, labels), [0.5, 0.5, 0])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("weigh", [stacking.accuracy_weights, stacking.boosted_weights])
def test_weights_suit_the_weighted_rules(weigh, seed):
    probs = random_probs((3000, 5, 4), seed)
    labels = random_labels(probs, seed)
    # Of equally accurate members the boosted weights take the first first.
    assert len({top1(probs[:, member], labels) for member in range(5)}) == 5
    weights = weigh(probs, labels)
    assert weights.shape == (5,) and (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(), 1, **EXACT)
    order = np.random.default_rng(seed).permutation(5)
    np.testing.assert_allclose(weigh(probs[:, order], labels), weights[order], **EXACT)
    for rule in WEIGHTED:
        assert stacking.vote(probs, rule, weights).shape == (3000, 4)


# Selection ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("make", [random_probs, coarse_probs])
@pytest.mark.parametrize("seed", range(8))
def test_selection_is_never_below_the_best_member(seed, make, dtype):
    probs = make((40, 5, 3), seed).astype(dtype)
    labels = random_labels(probs, seed)
    weights = stacking.select(probs, labels, rounds=12)
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(), 1, **EXACT)
    chosen = top1(stacking.vote(probs, "weighted_mean", weights), labels)
    assert chosen >= max(top1(probs[:, member], labels) for member in range(5))


def test_selection_counts_ties_as_the_vote_breaks_them():
    """A sum of probabilities and the mean by weights are rounded otherwise: ties go elsewhere."""
    for seed in range(100):
        probs = coarse_probs((8, 3, 3), seed)
        labels = np.random.default_rng(seed).integers(0, 3, 8)
        weights = stacking.select(probs, labels, rounds=12)
        chosen = top1(stacking.vote(probs, "weighted_mean", weights), labels)
        assert chosen >= max(top1(probs[:, member], labels) for member in range(3)), seed


def test_selection_begins_with_the_best_member():
    probs = votes([[0, 1, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1]], 3)
    labels = np.array([0, 1, 0, 1])
    np.testing.assert_array_equal(stacking.select(probs, labels, rounds=1), [1, 0, 0])
    # Of members that decide alike the surer one, of equal members the first.
    unsure = 0.5 * probs[:, :1] + 0.5 / 3
    twice = np.concatenate([unsure, probs[:, :1], probs[:, :1]], axis=1)
    np.testing.assert_array_equal(stacking.select(twice, labels, rounds=1), [0, 1, 0])


def test_selection_joins_members_that_complete_each_other():
    """Two members, each sure where it is right and unsure where it is not, and one that errs."""
    sure, unsure, wrong = [0.9, 0.1], [0.4, 0.6], [0.1, 0.9]
    probs = np.array([[sure, unsure, wrong], [sure, unsure, wrong], [unsure, sure, wrong]])
    weights = stacking.select(probs, np.zeros(3, int))
    assert top1(stacking.vote(probs, "weighted_mean", weights), np.zeros(3)) == 1
    assert weights[0] > 0 and weights[1] > 0 and weights[2] == 0


def test_selection_takes_a_member_more_than_once():
    """0.8 + 0.1 is less than half of 2; 2 x 0.8 + 0.1 and 2 x 0.4 + 0.8 are more than half of 3."""
    probs = np.array([[[0.8, 0.2], [0.1, 0.9]], [[0.4, 0.6], [0.8, 0.2]]])
    labels = np.zeros(2, int)
    assert top1(stacking.vote(probs), labels) < 1
    weights = stacking.select(probs, labels, rounds=3)
    np.testing.assert_allclose(weights, [2 / 3, 1 / 3])
    assert top1(stacking.vote(probs, "weighted_mean", weights), labels) == 1


# Disagreement ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_disagreement_is_the_share_of_other_decisions(shape):
    probs = random_probs(shape, seed=6)
    found, members = stacking.disagreement(probs), shape[1]
    assert found.shape == (members, members)
    decisions = probs.argmax(axis=2)
    for one, other in itertools.product(range(members), repeat=2):
        assert found[one, other] == np.mean(decisions[:, one] != decisions[:, other])
