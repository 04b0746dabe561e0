"""Copies planted in noise are found and named; strangers and flat images are not."""

import io

import numpy as np
import pytest
from PIL import Image

from experiments.datasets import Dataset, Split
from experiments.embeddings import duplicates, pairs
from experiments.embeddings.asked import Asked, Work

SIZE, TRAIN = 32, 60
KEYS = ("where", "kind", "first", "second")
ACROSS, WITHIN, HELD = duplicates.ACROSS, duplicates.TRAIN, duplicates.VALIDATION


def _pictures(count: int) -> np.ndarray:
    """Smooth random images, which survive JPEG as photos do: noise of 8x8, enlarged."""
    noise = np.random.default_rng(0).integers(40, 200, (count, 8, 8, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((SIZE, SIZE), 3)) for one in noise])


def _jpeg(image: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=80)
    return np.asarray(Image.open(file))


@pytest.fixture(scope="module")
def work() -> Work:
    """Training images 0 to 59 and validation images 0 to 19, of classes i % 4, with copies."""
    images = _pictures(TRAIN + 20)
    train, held = images[:TRAIN].copy(), images[TRAIN:].copy()
    held[0] = train[4]  # one class
    held[1] = _jpeg(train[6])  # two classes
    held[2] = train[7][:, ::-1]  # two classes
    held[4] = held[3] + np.uint8(20)  # brighter
    held[6] = np.roll(held[5], 1, axis=0)  # shifted by a pixel
    train[9] = train[8]
    train[16] = _jpeg(train[12])
    train[20] = _jpeg(train[12])[:, ::-1]
    train[40] = train[41] = train[39]  # three of one kind are two pairs with the first
    train[30], train[31], held[10] = 7, 9, 7  # flat: 30 and the validation image are equal
    splits = [Split(one, np.arange(len(one)) % 4) for one in (train, held)]
    return Work(Dataset("planted", *splits, tuple("abcd"), tuple("abcd")), {}, Asked(shown=3))


PLANTED = {
    (ACROSS, "exact", 0, 4),
    (ACROSS, "exact", 10, 30),
    (ACROSS, "near", 1, 6),
    (ACROSS, "mirrored", 2, 7),
    (HELD, "near", 3, 4),
    (HELD, "near", 5, 6),
    (WITHIN, "exact", 8, 9),
    (WITHIN, "exact", 39, 40),
    (WITHIN, "exact", 39, 41),
    (WITHIN, "near", 40, 41),
    (WITHIN, "near", 12, 16),
    (WITHIN, "mirrored", 12, 20),
    (WITHIN, "mirrored", 16, 20),
}


def test_planted_copies_and_no_others_are_found(work, tmp_path):
    part = duplicates.make(work, tmp_path)
    counts, listed = (table.rows for table in part.tables)
    assert {tuple(row[key] for key in KEYS) for row in listed} == PLANTED
    assert len(listed) == len(PLANTED)
    of = {(row["where"], row["kind"]): row for row in counts}
    for (where, kind), row in of.items():
        found = [pair for pair in PLANTED if pair[0] == where and kind in (pair[1], "all")]
        assert row["pairs"] == len(found)
        assert row["two_classes"] == sum(first % 4 != second % 4 for *_, first, second in found)
        assert row["images"] == len({first for _, _, first, _ in found})
    assert of[ACROSS, "all"]["share"] == 100 * 4 / 20
    assert part.notes == []


def test_the_most_alarming_pairs_come_first_and_are_drawn(work, tmp_path):
    part = duplicates.make(work, tmp_path)
    listed = part.tables[1].rows
    assert {(row["where"], row["first"]) for row in listed[:2]} == {(ACROSS, 1), (ACROSS, 2)}
    assert {(row["where"], row["first"]) for row in listed[2:4]} == {(ACROSS, 0), (ACROSS, 10)}
    assert all(row["likeness"] >= pairs.LIKE for row in listed)
    assert [sheet.file for sheet in part.sheets] == ["duplicates.png"]
    with Image.open(tmp_path / "duplicates.png") as sheet:
        assert sheet.width > 3 * 2 * 100


@pytest.mark.parametrize("channels", [1, 3])
def test_random_images_have_no_copies_and_no_sheet(tmp_path, channels):
    images = np.random.default_rng(1).integers(0, 256, (300, 20, 28, channels), np.uint8)
    splits = Split(images[:200], np.zeros(200, int)), Split(images[200:], np.zeros(100, int))
    part = duplicates.make(Work(Dataset("noise", *splits, ("a",), ("a",)), {}, Asked()), tmp_path)
    assert not part.sheets and not part.tables[1].rows and not list(tmp_path.iterdir())


@pytest.mark.parametrize("rows, columns", [(1, 1), (7, 5), (5, 7), (50, 50), (16, 64)])
def test_blocks_find_what_the_whole_matrix_does(rows, columns, monkeypatch):
    monkeypatch.setattr(pairs, "_ROWS", rows)
    monkeypatch.setattr(pairs, "_COLUMNS", columns)
    monkeypatch.setattr(pairs, "ALIKE", 0.5)
    given = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    given /= np.linalg.norm(given, axis=1, keepdims=True)
    given[3] = 0
    product = given.astype(float) @ given.T.astype(float) >= 0.5
    for other, same, whole in (
        (given, True, np.triu(product, 1)),
        (given[:30], False, product[:, :30]),
    ):
        found = np.stack(pairs.alike(given, other, same), axis=1)
        assert len(found) > 20
        np.testing.assert_array_equal(found[np.lexsort(found.T[::-1])], np.argwhere(whole))


def test_of_too_many_pairs_exact_ones_are_counted_and_it_is_said(work, tmp_path, monkeypatch):
    monkeypatch.setattr(pairs, "MOST", 1)
    part = duplicates.make(work, tmp_path)
    assert [note.partition(":")[0] for note in part.notes] == [ACROSS, WITHIN, HELD]
    assert all("more than 1 pairs look alike" in note for note in part.notes)
    assert {row["kind"] for row in part.tables[0].rows} == {"exact"}


def test_means_are_those_of_the_areas():
    images = np.random.default_rng(0).integers(0, 256, (2, 28, 20, 3), np.uint8)
    found = pairs._means(images, 10)
    edges = np.linspace(0, 28, 11).astype(int)
    assert found.shape == (2, 10, 10, 3)
    wanted = images[1, edges[3] : edges[4], 8:10].mean(axis=(0, 1))
    np.testing.assert_allclose(found[1, 3, 4], wanted, rtol=1e-6)
