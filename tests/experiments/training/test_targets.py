"""What a network is to say of a batch: labels, and what a teacher says."""

import numpy as np
import pytest
from scipy.special import log_softmax

from experiments.recipes.fitting import Distill
from experiments.training.targets import Labels, Teacher

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
