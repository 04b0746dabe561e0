"""Scores of probabilities: accuracies, likelihood, calibration."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import log_loss, top_k_accuracy_score

from experiments.runs import scores
from experiments.runs.scores import accuracy, calibration_error

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("classes", [2, 4, 10, 200])
def test_scores_are_those_of_scikit_learn(classes):
    probs = RNG.random((500, classes)).astype(np.float32) ** 3
    probs /= probs.sum(axis=1, keepdims=True)
    labels = RNG.integers(0, classes, 500)
    scores = accuracy(probs, labels)
    for k in (1, 3, 5):
        if k < classes:
            labels_seen = {"labels": np.arange(classes)} if classes > 2 else {}
            scored = probs if classes > 2 else probs[:, 1]
            expected = 100 * top_k_accuracy_score(labels, scored, k=k, **labels_seen)
            assert scores[f"top{k}"] == pytest.approx(expected)
        else:
            assert scores[f"top{k}"] == 100
    # float32 probabilities: scikit-learn takes the logarithm in single precision.
    assert scores["loss"] == pytest.approx(log_loss(labels, probs, labels=range(classes)), rel=1e-5)


def test_the_balanced_accuracy_is_that_of_scikit_learn():
    """Of class 3 there is no image: it counts for nothing there either."""
    from sklearn.metrics import balanced_accuracy_score

    labels = np.repeat([0, 1, 2, 4], [60, 25, 10, 5])
    probs = RNG.random((100, 5)) + np.eye(5)[labels] / 2
    predicted = np.where(probs.argmax(axis=1) == 3, 0, probs.argmax(axis=1))  # it would warn
    probs = np.eye(5)[predicted]
    expected = 100 * balanced_accuracy_score(labels, predicted)
    assert scores.balanced(probs, labels) == pytest.approx(expected)


def test_of_equal_probabilities_the_lower_class_ranks_first():
    """As in argmax; scikit-learn ranks the higher class first, so it is given classes reversed."""
    probs = RNG.integers(1, 4, (400, 7)).astype(np.float32)
    probs /= probs.sum(axis=1, keepdims=True)
    labels = RNG.integers(0, 7, 400)
    scores = accuracy(probs, labels)
    assert scores["top1"] == pytest.approx(100 * np.mean(probs.argmax(axis=1) == labels))
    for k in (1, 3, 5):
        expected = top_k_accuracy_score(6 - labels, probs[:, ::-1], k=k, labels=np.arange(7))
        assert scores[f"top{k}"] == pytest.approx(100 * expected)
    constant = np.full((7, 7), 1 / 7)
    assert accuracy(constant, np.arange(7))["top1"] == pytest.approx(100 / 7)


def test_a_sure_mistake_has_a_finite_loss():
    loss = accuracy(np.eye(3, dtype=np.float32), np.array([1, 2, 0]))["loss"]
    assert loss == pytest.approx(-np.log(np.finfo(np.float32).eps))


@pytest.mark.parametrize(
    ("bins", "expected"),
    [
        (1, 0.85 - 0.5),
        # Up to 0.75: 0.7 and 0.75, one right; above: 0.95 and 1, one right.
        (4, (2 * (0.725 - 0.5) + 2 * (0.975 - 0.5)) / 4),
        # Up to 0.7 and 0.8: one each, wrong and right; above 0.9: 0.95 and 1, one right.
        (10, (0.7 + 0.25 + 2 * (0.975 - 0.5)) / 4),
    ],
)
def test_calibration_error_of_a_case_computed_by_hand(bins, expected):
    confidence = np.array([0.7, 0.75, 0.95, 1.0])
    probs = np.stack([1 - confidence, confidence], axis=1)
    error = calibration_error(probs, np.array([0, 1, 0, 1]), bins=bins)
    assert error == pytest.approx(100 * expected)


def test_calibration_tells_sure_from_right():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 10, 1000)
    assert calibration_error(np.eye(10)[labels], labels) == 0
    assert calibration_error(np.eye(10)[(labels + 1) % 10], labels) == 100
    # Labels drawn with the probabilities told: 15 bins of about 1,300 images, gaps of about 1 %.
    probs = rng.dirichlet(np.ones(5), 20000)
    drawn = (probs.cumsum(axis=1) > rng.random((20000, 1))).argmax(axis=1)
    assert calibration_error(probs, drawn) < 2
    sharper = probs**4 / (probs**4).sum(axis=1, keepdims=True)
    assert calibration_error(sharper, drawn) > 20


@pytest.mark.parametrize("bins", [0, 2.5])
def test_calibration_needs_a_bin(bins):
    with pytest.raises(ValueError, match=f"bins={bins}: give a whole number of 1 or more"):
        calibration_error(np.eye(2), np.array([0, 1]), bins)


@pytest.mark.parametrize("score", [accuracy, calibration_error])
@pytest.mark.parametrize(
    ("probs", "labels", "told"),
    [
        (np.ones((3, 2)) / 2, np.array([0, 1]), r"probs \(3, 2\) and labels \(2,\)"),
        (np.ones(3), np.array([0, 1, 0]), r"probs \(3,\)"),
        (np.ones((0, 2)), np.zeros(0, int), r"probs \(0, 2\)"),
        (np.ones((2, 2)) / 2, np.array([0, 2]), "from 0 to 2: whole numbers from 0 to 1"),
        (np.ones((2, 2)) / 2, np.array([0.0, 1.0]), "type float64"),
        (np.full((2, 2), np.nan), np.array([0, 1]), "not finite"),
    ],
)
def test_scores_of_what_does_not_fit_are_refused(score, probs, labels, told):
    with pytest.raises(ValueError, match=told):
        score(probs, labels)


@pytest.mark.parametrize(("right", "n"), [(0, 10), (10, 10), (1, 3), (344, 359), (5218, 10_000)])
def test_the_interval_is_that_of_scipy(right, n):
    found = scores.interval(100 * right / n, n)
    expected = binomtest(right, n).proportion_ci(method="wilson")
    # Six digits of the normal quantile.
    assert found == pytest.approx((100 * expected.low, 100 * expected.high), abs=1e-5)
    assert 0 <= found.low < found.high <= 100


@pytest.mark.parametrize(("percent", "n"), [(-1, 5), (100.5, 5), (50, 0)])
def test_an_interval_needs_an_accuracy_and_an_image(percent, n):
    with pytest.raises(ValueError, match="0 to 100 % of at least one"):
        scores.interval(percent, n)


def test_mcnemar_by_hand():
    """Seven images tell the models apart: one is right on six, the other on one."""
    right = np.array([1, 1, 1, 1, 1, 1, 0, 1, 1, 0], bool)
    other = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 0], bool)
    expected = 2 * (1 + 7) / 2**7
    assert scores.mcnemar(right, other) == pytest.approx(expected)
    assert scores.mcnemar(other, right) == pytest.approx(expected)
    assert scores.mcnemar(right, right) == 1
    with pytest.raises(ValueError, match="same"):
        scores.mcnemar(right, other[:5])
