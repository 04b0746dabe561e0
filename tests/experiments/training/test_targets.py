"""What a network is to say of a batch: labels, and what a teacher says."""

import numpy as np
import pytest
from scipy.special import log_softmax

from experiments.recipes.fitting import Distill, Loss
from experiments.training.targets import Labels, Teacher, class_weights, paired

LABELS = np.arange(6) % 4


@pytest.fixture(scope="module")
def network():
    import keras

    def make(classes: int = 4, side: int = 4) -> keras.Model:
        keras.utils.set_random_seed(0)
        inputs = keras.Input((side, side, 1))
        x = keras.layers.Dense(classes, name="logits")(keras.layers.Flatten()(inputs))
        return keras.Model(inputs, keras.layers.Softmax(name="probs")(x))

    return make


@pytest.fixture(scope="module")
def teacher(network) -> Teacher:
    return Teacher(Distill(teacher="x", temperature=2.0, alpha=0.7), network(), network())


@pytest.fixture(scope="module")
def logits() -> tuple[np.ndarray, np.ndarray]:
    """What a teacher and a student say."""
    return tuple(np.random.default_rng(0).normal(0, 3, (2, 6, 4)).astype("float32"))


def _value(targets: Labels, true: np.ndarray, logits: np.ndarray) -> float:
    from keras import ops

    tensors = ops.convert_to_tensor(true), ops.convert_to_tensor(logits)
    return float(targets.loss()(*tensors))


def _hard(student: np.ndarray) -> float:
    return -log_softmax(student, axis=1)[np.arange(6), LABELS].mean()


@pytest.mark.backend
def test_the_loss_of_distillation_is_the_formula_of_its_paper(teacher, logits):
    said, student = logits
    targets = np.column_stack([LABELS, said]).astype("float32")
    soft, ours = log_softmax(said / 2, axis=1), log_softmax(student / 2, axis=1)
    divergence = (np.exp(soft) * (soft - ours)).sum(axis=1).mean()
    # Sums of a few float32 numbers.
    expected = 0.7 * 4 * divergence + 0.3 * _hard(student)
    assert _value(teacher, targets, student) == pytest.approx(expected, rel=1e-5)


@pytest.mark.backend
@pytest.mark.parametrize("shape", [(6,), (6, 1)])
def test_the_loss_of_labels_is_the_cross_entropy(shape, teacher, logits):
    labels = LABELS.reshape(shape)
    for targets in (Labels(), teacher):  # a teacher is not asked about validation images
        found = _value(targets, labels.astype("float32"), logits[1])
        assert found == pytest.approx(_hard(logits[1]), rel=1e-5)


@pytest.mark.backend
def test_accuracies_are_those_by_the_labels(teacher, logits):
    said, student = logits
    rank = (student > student[np.arange(6), LABELS][:, None]).sum(axis=1)
    for true in (LABELS, np.column_stack([LABELS, said]).astype("float32")):
        metrics = teacher.metrics(classes=4)
        for k, metric in zip((1, 3, 4), metrics, strict=True):
            metric.update_state(true, student)
            assert float(metric.result()) == pytest.approx(np.mean(rank < k))
        assert [metric.name for metric in metrics] == ["top1", "top3", "top5"]


@pytest.mark.backend
def test_targets_are_the_labels_and_what_the_teacher_says_of_the_same_images(teacher, network):
    import keras

    images = np.random.default_rng(1).integers(0, 9, (6, 4, 4, 1)).astype("float32")
    assert Labels().of(images, LABELS) is LABELS
    found, model = teacher.of(images, LABELS), network()
    logits = keras.Model(model.input, model.get_layer("logits").output)
    assert np.array_equal(found[:, 0], LABELS)
    np.testing.assert_allclose(found[:, 1:], logits.predict(images, verbose=0), rtol=1e-5)


# Smoothed labels and mixed images -------------------------------------------------------------

PARTNERS = np.array([1, 1, 3, 0, 0, 2])
SHARES = np.array([1, 0, 0.5, 0.25, 0.7, 0.9])


def _soft(student: np.ndarray, smoothing: float, first, second, shares) -> float:
    """The mean over images of lambda CE(label) + (1 - lambda) CE(partner), both smoothed."""
    said = log_softmax(student.astype("float64"), axis=1)
    losses = []
    for row, a, b, share in zip(said, first, second, shares, strict=True):
        hard = share * -row[a] + (1 - share) * -row[b]
        losses.append((1 - smoothing) * hard + smoothing * -row.mean())
    return float(np.mean(losses))


@pytest.mark.backend
@pytest.mark.parametrize(
    ("smoothing", "validation"), [(0.0, "plain"), (0.2, "plain"), (0.2, "smoothed")]
)
def test_the_loss_of_mixed_images_is_that_of_both_labels(smoothing, validation, logits):
    targets = Labels(Loss(label_smoothing=smoothing, validation=validation), mixed=True)
    student = logits[1]
    found = _value(targets, paired(LABELS, PARTNERS, SHARES), student)
    expected = _soft(student, smoothing, LABELS, PARTNERS, SHARES)
    assert found == pytest.approx(expected, rel=1e-5)  # sums of a few float32 numbers
    whole = _soft(student, smoothing, LABELS, LABELS, np.ones(6))
    assert _value(targets, targets.of(None, LABELS), student) == pytest.approx(whole, rel=1e-5)
    for alone in (LABELS, LABELS[:, None].astype("float32")):  # validation
        expected = whole if validation == "smoothed" else _hard(student)
        assert _value(targets, alone, student) == pytest.approx(expected, rel=1e-5)


@pytest.mark.backend
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_classes_count_by_their_weights(smoothing, logits):
    """As Keras' sample weights: each image's loss times the weight of its class, their mean."""
    weights = np.array([0.5, 2.0, 1.0, 3.0], "float32")
    targets = Labels(Loss(label_smoothing=smoothing), weights=weights)
    each = [
        _soft(logits[1][i : i + 1], smoothing, LABELS[i : i + 1], LABELS[i : i + 1], np.ones(1))
        for i in range(len(LABELS))
    ]
    found = _value(targets, targets.of(None, LABELS), logits[1])
    assert found == pytest.approx(np.mean(weights[LABELS] * each), rel=1e-5)
    assert _value(targets, LABELS, logits[1]) == pytest.approx(_hard(logits[1]), rel=1e-5)
    shown = paired(LABELS, PARTNERS, SHARES)
    mixed = Labels(Loss(label_smoothing=smoothing), mixed=True, weights=np.ones(4, "float32"))
    plain = Labels(Loss(label_smoothing=smoothing), mixed=True)
    assert _value(mixed, shown, logits[1]) == pytest.approx(_value(plain, shown, logits[1]))


def test_weights_of_classes_are_those_of_scikit_learn():
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.array([0] * 7 + [1] * 2 + [3] * 3)
    found = class_weights(labels, 4)
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=labels)
    assert found[[0, 1, 3]] == pytest.approx(expected)
    assert found[labels].mean() == pytest.approx(1.0)


@pytest.mark.backend
def test_smoothing_is_that_of_keras(logits):
    import keras

    targets = Labels(Loss(label_smoothing=0.3))
    oracle = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.3)
    expected = float(oracle(np.eye(4)[LABELS], logits[1]))
    found = _value(targets, targets.of(None, LABELS), logits[1])
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.backend
@pytest.mark.parametrize("classes", [2, 4])
def test_a_teacher_is_asked_about_mixed_images(classes, network):
    """Of two classes its targets are five numbers, and are not taken for others."""
    spec, labels = Distill(teacher="x", temperature=2.0, alpha=0.7), Labels(mixed=True)
    teacher = Teacher(spec, network(classes), network(classes), labels)
    images = np.random.default_rng(1).integers(0, 9, (6, 4, 4, 1)).astype("float32")
    first, second = LABELS % classes, PARTNERS % classes
    true = teacher.of(images, paired(first, second, SHARES))
    assert true.shape == (6, 3 + classes)
    student = np.random.default_rng(0).normal(0, 3, (6, classes)).astype("float32")
    soft, ours = log_softmax(true[:, 3:] / 2, axis=1), log_softmax(student / 2, axis=1)
    divergence = (np.exp(soft) * (soft - ours)).sum(axis=1).mean()
    expected = 0.7 * 4 * divergence + 0.3 * _soft(student, 0, first, second, SHARES)
    assert _value(teacher, true, student) == pytest.approx(expected, rel=1e-5)
    heavier = np.where(SHARES >= 0.5, first, second)
    for targets, given in ((teacher, true), (labels, paired(first, second, SHARES))):
        metric = targets.metrics(classes)[0]
        metric.update_state(given, student)
        assert float(metric.result()) == pytest.approx(np.mean(student.argmax(axis=1) == heavier))


@pytest.mark.backend
def test_a_teacher_of_two_classes_is_not_taken_for_mixed_labels(network):
    teacher = Teacher(Distill(teacher="x"), network(2), network(2))
    said = np.array([[0, 9, 9], [1, 9, 0]], "float32")
    metric = teacher.metrics(2)[0]
    metric.update_state(said, np.array([[1, 0], [0, 1]], "float32"))
    assert float(metric.result()) == 1


@pytest.mark.parametrize(
    ("student", "told"),
    [
        ({"side": 5}, r"takes images \(4, 4, 1\), the network \(5, 5, 1\)"),
        ({"classes": 3}, "takes classes 4, the network 3"),
    ],
)
def test_a_teacher_of_other_images_or_classes_is_refused(student, told, network):
    with pytest.raises(ValueError, match=told):
        Teacher(Distill(teacher="x"), network(), network(**student))
