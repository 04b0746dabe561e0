"""Subsets, batches, holdouts and the digest of what a run sees."""

import hashlib
import json

import numpy as np
import pytest

from experiments.datasets import _dataset
from experiments.datasets._dataset import Dataset, Origin, Split


@pytest.fixture
def dataset() -> Dataset:
    """Ten classes of 10 to 19 images; pixel 0 of image i is i."""
    labels = np.repeat(np.arange(10), np.arange(10, 20))[np.arange(145) * 37 % 145]
    images = np.zeros((len(labels), 4, 6, 3), np.uint8)
    images[:, 0, 0, 0] = np.arange(len(labels))
    boxes = np.arange(4 * len(labels), dtype=np.float32).reshape(-1, 4)
    names = tuple("abcdefghij")
    split = Split(images, labels, boxes)
    return Dataset("letters", split, split.take(slice(20)), names, names, Origin("memory", None))


@pytest.mark.parametrize("indices", [[3, 1, 1], slice(2, 9, 3), np.arange(145) % 7 == 0, [-1]])
def test_take(dataset, indices):
    split = dataset.train
    rows = np.arange(len(split))[indices]
    part = split.take(indices)
    assert len(part) == len(part.images) == len(rows)
    assert part.images.shape == (len(rows), 4, 6, 3)
    assert np.array_equal(part.images, split.images[rows])
    assert np.array_equal(part.labels, split.labels[rows])
    assert np.array_equal(part.boxes, split.boxes[rows])
    assert np.array_equal(part.images[0], split.images[rows[0]])
    assert np.array_equal(part.images[-1:], split.images[rows[-1:]])
    assert np.array_equal(part.take([0]).images, split.images[rows[:1]])


def test_take_copies_no_images(dataset):
    part = dataset.train.take(slice(100)).take([5, 7])
    assert np.shares_memory(part.images.base, dataset.train.images)
    assert isinstance(part.images.base, np.ndarray)


@pytest.mark.parametrize("lazy", [False, True])
def test_batch_is_a_copy(dataset, lazy):
    split = dataset.train.take(np.arange(145)) if lazy else dataset.train
    batch = split.batch([140, 3, 3])
    assert batch.flags.c_contiguous and batch.flags.writeable
    assert batch[:, 0, 0, 0].tolist() == [140, 3, 3]
    batch[:] = 0
    assert dataset.train.images[140, 0, 0, 0] == 140
    with pytest.raises(IndexError):
        split.batch([145])


def test_holdout_is_stratified_and_disjoint(dataset):
    rest, held = dataset.holdout(0.3, seed=1)
    before = np.bincount(dataset.train.labels)
    assert np.array_equal(np.bincount(held.labels), np.floor(0.3 * before + 0.5))
    assert np.array_equal(np.bincount(rest.train.labels) + np.bincount(held.labels), before)
    numbers = [np.asarray(split.images)[:, 0, 0, 0] for split in (rest.train, held)]
    assert sorted(np.concatenate(numbers)) == list(range(145))
    assert all(np.array_equal(part, sorted(part)) for part in numbers)
    assert rest.validation is dataset.validation
    assert rest.class_names == dataset.class_names


KNOWN_HOLDOUT = [8, 19, 22, 30, 36, 62, 77, 90, 96, 107, 112, 114, 123, 129, 139]


def test_holdout_depends_on_the_seed_alone(dataset):
    held = [dataset.holdout(0.3, seed)[1].images.rows for seed in (1, 1, 2)]
    assert np.array_equal(held[0], held[1])
    assert not np.array_equal(held[0], held[2])
    # Known answer: a later version must hold out the same images.
    assert dataset.holdout(0.1, seed=0)[1].images.rows.tolist() == KNOWN_HOLDOUT


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5])
def test_holdout_outside_its_range(dataset, fraction):
    with pytest.raises(ValueError, match="must lie between 0 and 1"):
        dataset.holdout(fraction)


def test_holdout_that_empties_a_class(dataset):
    with pytest.raises(ValueError, match="class 'a' has 10 training images and would be left"):
        dataset.holdout(0.02)


def known_digest(images: np.ndarray, labels: np.ndarray) -> str:
    """Spelled out: a later version must find the same in what an earlier one has written."""
    data = f"{images.shape} uint8".encode() + images.tobytes() + labels.astype("<i8").tobytes()
    return hashlib.blake2b(data, digest_size=16).hexdigest()


@pytest.mark.parametrize("portion", [1, 500, 2**23])
def test_digest_is_over_images_and_labels(dataset, monkeypatch, portion):
    """Whatever the portions in which the images are read."""
    monkeypatch.setattr(_dataset, "_DIGEST_BYTES", portion)
    split = dataset.train
    assert _dataset.digest(split) == dataset.digest["train"]
    assert _dataset.digest(split) == known_digest(split.images, split.labels)
    part = split.take([5, 3])
    assert _dataset.digest(part) == known_digest(split.images[[5, 3]], split.labels[[5, 3]])


def test_digest_tells_changes_apart(dataset):
    images, labels = dataset.train.images, dataset.train.labels
    changed = images.copy()
    changed[144, 3, 5, 2] = 1
    others = [
        Split(changed, labels),
        Split(images, np.roll(labels, 1)),
        Split(images[::-1], labels),
        Split(images.reshape(-1, 6, 4, 3), labels),
        dataset.train.take(slice(144)),
    ]
    found = {_dataset.digest(split) for split in (dataset.train, *others)}
    assert len(found) == 6


def test_digest_is_that_of_the_whole(dataset):
    rest, _ = dataset.holdout(0.3)
    assert rest.digest == dataset.without([1, 2]).digest == dataset.digest
    assert dataset.digest["train"] != dataset.digest["validation"]


def test_digest_of_what_was_loaded(tiny, load):
    """The same of a folder, from the cache, and from an archive; written beside the arrays."""
    first, again = load("tiny_imagenet", tiny), load("tiny_imagenet", tiny)
    split = first.train
    assert first.digest["train"] == known_digest(np.asarray(split.images), split.labels)
    assert again.digest == first.digest
    written = json.loads((first.origin.cache / "dataset.json").read_text())
    assert written["digest"] == first.digest
    assert load("digits").digest == load("digits").digest
    assert load("tiny_imagenet", tiny, size=9).digest != first.digest
