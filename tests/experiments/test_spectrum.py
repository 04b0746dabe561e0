"""Principal components against NumPy's singular value decomposition, of bytes and of floats."""

import numpy as np
import pytest

from experiments import spectrum

RANDOM = np.random.default_rng(0)
BYTES = (RANDOM.random((300, 40)) * np.geomspace(5, 255, 40)).astype(np.uint8)
FLOATS = RANDOM.normal(size=(90, 70)).astype(np.float32) @ RANDOM.normal(size=(70, 70)) + 50
CASES = {
    "more rows": BYTES,
    "more values": BYTES[:25],
    "floats, more rows": FLOATS.astype(np.float32),
    "floats, more values": FLOATS[:30].astype(np.float32),
    "two values": BYTES[:, -2:],
    "one value": BYTES[:, -1:],
}


class Lazy:
    """Rows that are there when they are read."""

    def __init__(self, rows):
        self.rows = rows
        self.shape, self.dtype, self.ndim = rows.shape, rows.dtype, rows.ndim

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, key):
        return self.rows[key]


@pytest.fixture(autouse=True, params=[7, 1024], ids=["many portions", "one portion"])
def portions(request, monkeypatch):
    monkeypatch.setattr(spectrum, "PORTION", request.param)
    monkeypatch.setattr(spectrum, "_COLUMNS", request.param)


@pytest.mark.parametrize("rows", CASES.values(), ids=CASES)
def test_values_and_vectors_are_those_of_the_decomposition(rows):
    found = spectrum.of(Lazy(rows), 5)
    centered = rows - rows.mean(axis=0, dtype=np.float64)
    _, singular, vectors = np.linalg.svd(centered, full_matrices=False)
    singular = singular[: len(rows) - 1]
    assert found.count == len(rows) and found.mean.dtype == found.vectors.dtype == np.float32
    np.testing.assert_allclose(found.mean, rows.mean(axis=0), rtol=1e-6)
    # Squares are what is decomposed, in float64: of the largest so much is lost.
    np.testing.assert_allclose(found.singular, singular, rtol=1e-8, atol=1e-7 * singular[0])
    kept = min(5, len(singular))
    assert found.vectors.shape == (kept, rows.shape[1])
    agree = np.abs(np.sum(found.vectors * vectors[:kept], axis=1))
    np.testing.assert_allclose(agree, 1, rtol=1e-5)  # float32
    furthest = np.abs(found.vectors).argmax(axis=1)
    assert (found.vectors[np.arange(kept), furthest] > 0).all()


def test_sums_of_bytes_are_exact():
    bytes_ = np.where(RANDOM.random((2000, 3)) < 0.5, 0, 255).astype(np.uint8)
    total, mean = spectrum.covariance(bytes_)
    wide = bytes_.astype(np.int64)
    wanted = (wide.T @ wide) - np.outer(wide.sum(axis=0), wide.sum(axis=0)) / len(wide)
    np.testing.assert_allclose(np.tril(total), np.tril(wanted), rtol=1e-13)
    np.testing.assert_allclose(mean, wide.mean(axis=0), rtol=1e-14)


def test_shares_count_values_and_their_squares():
    found = spectrum.Spectrum(np.zeros(4), np.array([6.0, 3.0, 1.0]), np.zeros((0, 4)), 9)
    np.testing.assert_allclose(found.shares("values"), [0.6, 0.9, 1])
    np.testing.assert_allclose(found.shares("variance"), [36 / 46, 45 / 46, 1])
    assert [found.needed(share, "values") for share in (0.5, 0.61, 0.89, 0.95, 1)] == [
        1,
        2,
        2,
        3,
        3,
    ]
    assert found.needed(0.97, "variance") == 2


def test_all_components_rebuild_the_rows_and_none_the_mean():
    found = spectrum.of(BYTES[:25], 30)
    assert len(found.vectors) == 24
    np.testing.assert_allclose(found.rebuilt(BYTES[:25], 24), BYTES[:25], atol=1e-3)
    np.testing.assert_allclose(found.rebuilt(BYTES[:3], 0), np.tile(found.mean, (3, 1)), rtol=1e-6)


@pytest.mark.parametrize(
    "rows", [BYTES[:25], np.tile(FLOATS[:20], (1, 3))], ids=["bytes", "floats"]
)
def test_where_both_sides_are_large_rows_are_drawn_by_the_seed(rows, monkeypatch):
    monkeypatch.setattr(spectrum, "MOST", 10)
    first, again, other = (spectrum.of(Lazy(rows), 4, seed) for seed in (0, 0, 1))
    assert first.count == 10 and len(first.singular) == 9
    np.testing.assert_array_equal(first.singular, again.singular)
    assert not np.array_equal(first.singular, other.singular)
    chosen = np.sort(np.random.RandomState(0).permutation(len(rows))[:10])
    wanted = np.linalg.svd(rows[chosen] - rows[chosen].mean(axis=0), compute_uv=False)[:9]
    np.testing.assert_allclose(first.singular, wanted, rtol=1e-6)


def test_equal_rows_have_no_components():
    found = spectrum.of(np.full((20, 4), 7, np.uint8), 3)
    assert len(found.singular) == len(found.vectors) == 0 and found.needed(0.9, "values") == 0


def test_what_has_no_components_is_refused():
    with pytest.raises(ValueError, match="1 images have no principal components"):
        spectrum.of(BYTES[:1], 3)
    for rows in (FLOATS, FLOATS[:20]):
        with pytest.raises(ValueError, match="not finite"):
            spectrum.of(np.where(rows == rows[3, 3], np.nan, rows), 3)


def test_progress_ends_with_all():
    for rows in (BYTES, BYTES[:25]):
        heard = []
        spectrum.of(rows, 1, progress=lambda *told, heard=heard: heard.append(told))
        assert heard and heard[-1][0] == heard[-1][1]
        assert heard == sorted(heard)
