"""How well a space tells classes apart: known answers, and the ways restated."""

import numpy as np
import pytest

from experiments.datasets import Dataset, Split, stratified
from experiments.embeddings import separation
from experiments.embeddings.asked import PIXELS, Asked, Flat, Space, Work
from experiments.runs.scores import interval

RANDOM = np.random.default_rng(0)
LABELS = np.arange(240) % 4
APART = (np.eye(4)[LABELS] * 20 + RANDOM.normal(size=(240, 4))).astype(np.float32)


def space(train, validation) -> Space:
    parts = {len(train): train, len(validation): validation}
    data = Dataset("x", *(_split(len(part)) for part in (train, validation)), "abcd", "abcd")
    return Space("network", data, lambda split: parts[len(split)])


def _split(count: int) -> Split:
    return Split(np.zeros((count, 2, 2, 1), np.uint8), LABELS[:count])


def measured(train, validation, labels=LABELS):
    given = space(train, validation)
    known = labels[: len(train)], labels[: len(validation)]
    return separation.measured(given, *known, np.arange(len(train)), 0)


def test_classes_that_lie_apart_are_told_apart():
    found = measured(APART[:160], APART[160:])
    assert [found[key] for key in ("neighbors_1", "neighbors_20", "probe")] == [100, 100, 100]
    assert found["silhouette"] > 0.8 and found["n"] == 80 and found["values"] == 4
    low, high = interval(100, 80)
    assert (found["probe_low"], found["probe_high"]) == (low, high)
    assert found["probe_told"] == f"100.0 ({low:.1f} to 100.0)"


def test_noise_tells_nothing():
    noise = RANDOM.normal(size=(240, 6)).astype(np.float32)
    found = measured(noise[:160], noise[160:])
    # Four classes, 80 images: 25 % and three standard deviations of 4.8.
    assert all(found[key] < 40 for key in ("neighbors_1", "neighbors_20", "probe"))
    assert abs(found["silhouette"]) < 0.1


def test_neighbors_are_those_of_the_largest_cosine():
    base, asked = (RANDOM.normal(size=(count, 5)).astype(np.float32) for count in (50, 12))
    units = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (base, asked)]
    near = separation._nearest(*(separation._unit(rows) for rows in (base, asked)), 7)
    wanted = np.argsort(-(units[1] @ units[0].T), axis=1)[:, :7]
    np.testing.assert_array_equal(near, wanted)


def test_most_neighbors_decide_and_of_equals_the_nearest():
    classes = np.array([[2, 1, 1, 0], [0, 1, 1, 0], [1, 0, 1, 0], [3, 2, 1, 0]])
    assert separation.vote(classes).tolist() == [1, 0, 1, 3]


def test_the_strength_is_chosen_without_validation_images():
    noise = RANDOM.normal(size=(160, 60)).astype(np.float32)
    noise[:, 0] += 3 * (LABELS[:160] == 1)
    first = separation.probe(noise, LABELS[:160], noise[:5], 0)
    other = separation.probe(noise, LABELS[:160], 100 * noise[5:9], 0)
    assert first[1] == other[1] in separation.CHOICES


def test_many_training_images_are_drawn_of_every_class_alike(monkeypatch):
    monkeypatch.setattr(separation, "MOST_TRAINED", 40)
    chosen = separation._some(LABELS, 0)
    assert len(chosen) == 40 and np.bincount(LABELS[chosen]).tolist() == [10] * 4
    np.testing.assert_array_equal(chosen, separation._some(LABELS, 0))
    assert len(separation._some(LABELS[:40], 0)) == 40


def test_what_is_drawn_is_what_a_stratified_division_holds():
    """Where every class can be divided, so that rare classes change no other numbers."""
    labels = np.repeat([0, 1, 2], [100, 37, 6])
    np.testing.assert_array_equal(separation._drawn(labels, 0.1, 3), stratified(labels, 0.1, 3)[1])


def test_rare_classes_are_drawn_too_and_a_single_image_is_learned_from(monkeypatch):
    labels = np.repeat([0, 1, 2, 3], [80, 75, 4, 1])
    points = (np.eye(4)[labels] * 20 + RANDOM.normal(size=(160, 4))).astype(np.float32)
    asked = np.eye(4, dtype=np.float32) * 20
    answers, _ = separation.probe(points, labels, asked, 0)
    assert answers.tolist() == [0, 1, 2, 3]
    monkeypatch.setattr(separation, "MOST_TRAINED", 16)
    assert np.bincount(labels[separation._some(labels, 0)]).tolist() == [8, 8, 1, 1]


@pytest.mark.parametrize("labels", [np.zeros(6, int), np.arange(6)])
def test_labels_that_leave_nothing_to_choose_are_refused(labels):
    images = np.zeros((6, 2, 2, 1), np.uint8)
    data = Dataset("x", Split(images, labels), Split(images, labels), tuple("abcdef"), "abcdef")
    with pytest.raises(ValueError, match="linear probe of x: its 6 training images are of . class"):
        separation.check(Work(data, {}, Asked()))


def test_the_silhouette_is_that_of_points_of_length_1_restated():
    """Of each point: how much further the nearest other class is than its own, by Euclid."""
    given = APART[:160] + 8 * RANDOM.normal(size=(160, 4)).astype(np.float32)
    units = given / np.linalg.norm(given, axis=1, keepdims=True)
    far = np.linalg.norm(units[:, None] - units, axis=2)
    labels, scores = LABELS[:160], []
    for row, label in enumerate(labels):
        others = [far[row, labels == one].mean() for one in range(4) if one != label]
        own = far[row, labels == label].sum() / (np.sum(labels == label) - 1)
        scores.append((min(others) - own) / max(own, min(others)))
    # float32 distances of scikit-learn, which come from products.
    found = measured(given, given[:160])
    assert found["silhouette"] == pytest.approx(np.mean(scores), abs=1e-4)


def test_the_same_seed_gives_the_same_bits():
    noise = RANDOM.normal(size=(240, 6)).astype(np.float32)
    assert measured(noise[:160], noise[160:]) == measured(noise[:160], noise[160:])


def test_one_class_has_no_silhouette():
    assert np.isnan(separation.silhouette(APART[:5], np.zeros(5)))


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_a_row_with_the_fields_of_all(tmp_path, channels):
    images = RANDOM.integers(0, 50, (200, 4, 4, channels), np.uint8)
    images[np.arange(200), LABELS[:200]] += 150  # a bright line says which class
    splits = [Split(images[part], LABELS[:200][part]) for part in np.split(np.arange(200), [120])]
    data = Dataset("grays", *splits, tuple("abcd"), tuple("abcd"))
    spaces = {PIXELS: Space(PIXELS, data, lambda split: Flat(split.images))}
    part = separation.make(Work(data, spaces, Asked()), tmp_path)
    (table,) = part.tables
    (row,) = table.rows
    assert row["probe"] > 90 and row["own"] == "" and row["n"] == 80
    assert row["trained"] == 120
    assert {column.key for column in table.columns} <= row.keys() and not part.sheets
