"""Contracts of the partitions of classes among experts."""

import numpy as np
import pytest

import stacking

SIZES = [(1, 1), (2, 2), (5, 1), (5, 2), (7, 7), (10, 3), (23, 4), (200, 20)]


def by_confusion(classes, experts, seed=0):
    confusion = np.random.default_rng(seed).integers(0, 9, (classes, classes))
    return stacking.partition_by_confusion(confusion, experts)


@pytest.mark.parametrize("divide", [stacking.partition, by_confusion])
@pytest.mark.parametrize(("classes", "experts"), SIZES)
def test_partitions_cover_each_class_once(divide, classes, experts):
    blocks = divide(classes, experts)
    assert len(blocks) == experts
    assert sorted(sum(blocks, [])) == list(range(classes))
    assert all(type(number) is int for block in blocks for number in block)
    sizes = [len(block) for block in blocks]
    assert max(sizes) - min(sizes) <= 1
    assert blocks == divide(classes, experts)
    assert blocks == sorted(sorted(block) for block in blocks)


def test_experts_by_number_are_the_papers():
    """Expert i of 20, from 1, knows the classes from 10 (i - 1), 10 of them."""
    assert stacking.partition(200, 20) == [list(range(10 * i, 10 * i + 10)) for i in range(20)]
    assert stacking.partition(5, 2) == [[0, 1, 2], [3, 4]]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("groups", "size"), [(2, 2), (4, 3), (20, 10)])
def test_classes_that_are_confused_share_an_expert(groups, size, seed):
    """Groups hidden by a shuffle: a decision errs inside its group, seldom elsewhere."""
    rng = np.random.default_rng(seed)
    classes = groups * size
    group = rng.permutation(np.repeat(np.arange(groups), size))
    confusion = np.where(group[:, None] == group, 100, rng.integers(0, 10, (classes, classes)))
    np.fill_diagonal(confusion, 1000)
    blocks = stacking.partition_by_confusion(confusion, groups)
    hidden = sorted(np.flatnonzero(group == number).tolist() for number in range(groups))
    assert blocks == hidden


def test_confusion_is_a_rate_not_a_number_of_images():
    """Classes 0 and 3 have 100 times the images: 3 % of theirs outnumber 40 % of the others'."""
    confusion = [[9700, 0, 300, 0], [40, 60, 0, 0], [0, 0, 60, 40], [0, 300, 0, 9700]]
    assert stacking.partition_by_confusion(np.array(confusion), 2) == [[0, 1], [2, 3]]


def test_classes_without_images_or_mistakes_are_divided_too():
    nothing = stacking.partition_by_confusion(np.zeros((6, 6)), 3)
    assert sorted(sum(nothing, [])) == list(range(6))
    perfect = stacking.partition_by_confusion(np.eye(6, dtype=int), 3)
    assert sorted(sum(perfect, [])) == list(range(6))


@pytest.mark.parametrize(
    ("classes", "experts", "told"),
    [
        (3, 4, "3 classes for 4 experts: .*3 experts or fewer"),
        (3, 0, "experts=0: give a whole number of 1 or more"),
        (0, 1, "classes=0"),
        (3, 1.5, "experts=1.5"),
    ],
)
def test_partitions_that_cannot_be_are_refused(classes, experts, told):
    with pytest.raises(ValueError, match=told):
        stacking.partition(classes, experts)
    with pytest.raises(ValueError, match=told):
        stacking.partition_by_confusion(np.zeros((classes, classes)), experts)


@pytest.mark.parametrize(
    ("confusion", "told"),
    [
        (np.zeros((2, 3)), r"shape \(2, 3\)"),
        (np.zeros(4), r"shape \(4,\)"),
        (np.full((2, 2), "a"), "type <U1"),
        (np.array([[1, 2], [-3, 1]]), r"confusion\[1, 0\] is -3: .*not negative"),
        (np.array([[1, np.nan], [0, 1]]), r"confusion\[0, 1\] is nan"),
    ],
)
def test_what_is_no_confusion_matrix_is_refused(confusion, told):
    with pytest.raises(ValueError, match=told):
        stacking.partition_by_confusion(confusion, 2)
