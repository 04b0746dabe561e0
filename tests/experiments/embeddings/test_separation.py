"""How well a space tells classes apart: known answers, and the ways restated."""

import numpy as np
import pytest

from experiments.datasets import Dataset, Split
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
    assert separation._vote(classes).tolist() == [1, 0, 1, 3]


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
    assert {column.key for column in table.columns} <= row.keys() and not part.sheets
