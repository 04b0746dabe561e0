"""Nearest training images: planted copies, portions, and what two samples say of memory."""

import numpy as np
import pytest

from experiments.embeddings import nearest


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (300, 8, 8, 3), np.uint8)


@pytest.mark.parametrize("portion", [2**27, 4 * 192 * 7])
def test_planted_copies_are_found_exactly(images, portion, monkeypatch):
    """Also where the base is looked at in portions of seven images."""
    monkeypatch.setattr(nearest, "_PORTION", portion)
    rows = np.array([299, 0, 150])
    found = nearest.nearest(images[rows], images, count=3)
    assert found.rows[:, 0].tolist() == rows.tolist()
    assert (found.distances[:, 0] == 0).all()
    every = np.linalg.norm(
        images[rows][:, None].reshape(3, 1, -1).astype(float) - images.reshape(1, 300, -1), axis=-1
    )
    assert np.array_equal(found.rows, np.argsort(every, axis=1)[:, :3])
    # Both are sums of whole numbers and one root.
    assert np.allclose(found.distances, np.sort(every, axis=1)[:, :3], rtol=1e-12)


def test_copies_and_strangers_are_told_apart():
    random = np.random.default_rng(0)
    held_out = random.uniform(10, 20, 400)
    assert nearest.memory(np.zeros(50), held_out)[:2] == (100, 100)
    assert nearest.memory(np.full(50, 99.0), held_out)[:2] == (0, 0)
    alike = nearest.memory(random.uniform(10, 20, 400), held_out)
    # Of two samples of 400 the share has a standard error of 100 / sqrt(12 * 200) = 2 points.
    assert alike.nearer == pytest.approx(50, abs=6) and alike.copies < 4
    assert nearest.memory(np.array([1.0, 3.0]), np.array([2.0, 2.0])).nearer == 50
    assert nearest.memory(np.array([2.0]), np.array([2.0])).nearer == 50  # equal ones count half
    assert nearest.memory(np.array([1.0, 3.0]), np.array([5.0]))[2:] == (2, 5)


@pytest.mark.parametrize(
    ("queries", "count", "told"),
    [
        (np.zeros((2, 4, 4, 3)), 1, "of one shape"),
        (np.zeros((0, 8, 8, 3)), 1, "give some"),
        (np.zeros((1, 8, 8, 3)), 301, "301 neighbors among 300"),
        (np.zeros((1, 8, 8, 3)), 0, "ask for 1 to 300"),
    ],
)
def test_what_has_no_neighbors_is_told(images, queries, count, told):
    with pytest.raises(ValueError, match=told):
        nearest.nearest(queries, images, count)
