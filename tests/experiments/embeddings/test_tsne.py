"""Planes of t-SNE: which images, how reduced, the same for a seed, and what they are worth."""

import numpy as np
import pytest
from PIL import Image

from experiments.datasets import Dataset, Split
from experiments.embeddings import _scatter_sheet, tsne
from experiments.embeddings.asked import PIXELS, Asked, Flat, Space, Work

NAMES = ("goldfish, Carassius auratus", "$5 bill", "lemon")


def work(features=None, **asked) -> Work:
    """Gray images of three classes, which differ in how bright they are."""
    random = np.random.default_rng(0)

    def split(count):
        labels = np.arange(count) % 3
        images = random.integers(0, 60, (count, 8, 8, 1)) + 80 * labels[:, None, None, None]
        return Split(images.astype(np.uint8), labels)

    data = Dataset("grays", split(90), split(45), NAMES, ("n1", "n2", "n3"))
    spaces = {PIXELS: Space(PIXELS, data, lambda split: Flat(split.images))}
    if features:
        spaces["network"] = Space("network", data, features)
    return Work(data, spaces, Asked(**{"perplexities": (2, 8), "classes": 3} | asked))


def features(split) -> np.ndarray:
    random = np.random.default_rng(1)
    return (np.eye(3)[split.labels] * 9 + random.normal(size=(len(split), 3))).astype(np.float32)


def test_a_sheet_for_each_space_and_a_row_for_each_plane(tmp_path):
    given = work(features, per_class=12)
    part = tsne.make(given, tmp_path)
    assert [sheet.title for sheet in part.sheets] == ["t-SNE of pixels", "t-SNE of network"]
    for sheet in part.sheets:
        with Image.open(tmp_path / sheet.file) as picture:
            assert picture.format == "PNG" and picture.width > 300
    (table,) = part.tables
    rows = [(row["space"], row["perplexity"], row["n"]) for row in table.rows]
    assert rows == [("pixels", 2, 36), ("pixels", 8, 36), ("network", 2, 36), ("network", 8, 36)]
    # Classes that lie far apart stay apart, where a perplexity is about the size of a class.
    assert table.rows[3]["accuracy"] == 100 and table.rows[3]["silhouette"] > 0.4
    assert "36 training images" in part.sheets[0].about
    assert "36 validation images" in part.sheets[1].about
    again = tsne.make(given, tmp_path)
    assert again.tables[0].rows == table.rows


def test_images_are_those_of_the_classes_that_are_asked_for():
    given = work(only=("lemon", "goldfish"), per_class=7)
    points = tsne._points(given, given.spaces[PIXELS])
    assert np.bincount(points.labels).tolist() == [7, 0, 7]
    assert len(np.unique(points.rows, axis=0)) == 14


@pytest.mark.parametrize("of", ["values", "variance"])
def test_so_many_components_are_kept_as_hold_the_share(of):
    rows = (np.random.default_rng(0).normal(size=(60, 9)) * 2.0 ** -np.arange(9)).astype("f4")
    kept, told = tsne._reduced(rows, Asked(keep=0.8, keep_of=of), "x")
    values = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)
    terms = values if of == "values" else values**2
    sums = np.cumsum(terms) / terms.sum()
    assert sums[kept.shape[1] - 1] >= 0.8 > sums[kept.shape[1] - 2]
    assert "% of the sum of singular values" in told
    np.testing.assert_allclose(np.linalg.norm(kept[:, 0]), values[0], rtol=1e-5)


def test_a_plane_is_made_of_two_components_where_one_holds_the_share():
    rows = (np.random.default_rng(0).normal(size=(60, 4)) * (99, 1, 1, 1)).astype("f4")
    kept, told = tsne._reduced(rows, Asked(keep=0.1, keep_of="variance"), "x")
    assert kept.shape == (60, 2)
    (plane,) = tsne.planes(kept, np.arange(60) % 3, [5], 0)
    assert plane.points.shape == (60, 2)


@pytest.mark.parametrize("rows", [np.full((9, 4), 7), np.outer(np.arange(9), np.ones(4))])
def test_images_that_are_alike_have_no_plane(rows):
    with pytest.raises(ValueError, match="t-SNE of pixels: 9 images lie on a line or in one point"):
        tsne._reduced(rows.astype("f4"), Asked(), "pixels")


def test_a_panel_says_its_perplexity_and_what_it_is_worth_and_classes_are_told_once():
    labels, random = np.arange(18) % 3, np.random.default_rng(0)
    planes = [
        _scatter_sheet.Plane(perplexity, random.normal(size=(18, 2)), 1.25, 0.5, 60)
        for perplexity in (1, 2, 5, 10, 50)
    ]
    page = _scatter_sheet.figure(planes, labels, NAMES, "pixels")
    assert len(page.axes) == 5
    for axes, plane in zip(page.axes, planes, strict=True):
        told = axes.get_title(loc="left")
        assert told == (
            f"perplexity {plane.perplexity}, divergence 1.25\nsilhouette 0.50, neighbors 60 %"
        )
        drawn = np.concatenate([part.get_offsets() for part in axes.collections])
        assert sorted(map(tuple, drawn)) == sorted(map(tuple, plane.points))
        colors = {tuple(part.get_facecolor()[0]) for part in axes.collections}
        assert len(colors) == len(axes.collections) == 3
    (legend,) = page.legends
    assert [text.get_text() for text in legend.get_texts()] == list(NAMES)


def test_neighbors_in_the_plane_are_counted_without_the_point_itself():
    points = np.array([[0.0, 0], [0, 1], [1, 0], [9, 9], [9, 8], [8, 9]])
    assert tsne._told_apart(points, np.array([0, 0, 0, 1, 1, 1])) == 0  # five of six others
    labels = np.array([0] * 12 + [1] * 12)
    apart = np.concatenate([np.zeros((12, 2)), np.full((12, 2), 99.0)])
    apart += np.random.default_rng(0).normal(size=apart.shape)
    assert tsne._told_apart(apart, labels) == 100


@pytest.mark.parametrize("asked", [{"perplexities": (2, 500)}, {"classes": 1, "per_class": 4}])
def test_perplexities_that_need_more_images_are_refused(asked, tmp_path):
    with pytest.raises(ValueError, match="perplexity .--perplexity. of .*: it must be less than"):
        tsne.make(work(**asked), tmp_path)
    with pytest.raises(ValueError, match="must be less than the number of images"):
        tsne.check(work(lambda split: pytest.fail("features were computed"), **asked))
    assert not list(tmp_path.iterdir())
