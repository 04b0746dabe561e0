"""What is measured of a generator, on arrays and of a run; its files, and what is refused."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from experiments.datasets import Dataset, Split
from experiments.embeddings import nearest
from experiments.embeddings.features import Features
from experiments.generate import classifier, distances, measure, sheet
from experiments.generate.measure import Options
from experiments.place import Place
from experiments.reports.sections import generated as section
from experiments.runs import tables

CLASSES = tuple("abcd")


class Means(Features):
    """Features of these tests: means of an image's quarters, from grey on in 64 grey levels."""

    def of(self, images):
        quarters = np.asarray(images[:], np.float32).reshape(len(images), 2, 8, 2, 8)
        return quarters.mean(axis=(2, 4)).reshape(len(images), -1) / 64 - 2


MEANS = Means("means:quarters", None, (16, 16, 1), "box")


def drawn(n, seed, low=0):
    """Return gray images, each of a few blobs, no two alike."""
    random = np.random.default_rng(seed)
    return (random.integers(low, 256, (n, 4, 4, 1)).repeat(4, 1).repeat(4, 2)).astype(np.uint8)


@pytest.fixture(scope="module")
def data():
    def split(n, seed):
        return Split(drawn(n, seed), np.arange(n) % 4)

    return Dataset("blobs", split(300, 0), split(120, 1), CLASSES, CLASSES)


def by_name(rows):
    return {(row["measure"], row["by"], row["images"]): row for row in rows}


@pytest.fixture(scope="module")
def fresh(data, tmp_path_factory):
    """Other images of the same distribution, measured with their sheet."""
    path = tmp_path_factory.mktemp("sheet") / "nearest.png"
    options = Options(subset=40)
    return by_name(measure.measure(drawn(120, 2), data, MEANS, options, picture=path)), path


def test_numbers_are_those_of_the_sets_they_name(fresh, data):
    rows, _ = fresh
    order = np.random.RandomState(0).permutation(120)
    wanted, found = MEANS.of(data.validation.batch(order)), MEANS.of(drawn(120, 2))
    key = ("KID, subsets of 40", "means:quarters", "generated")
    kid = distances.kid(found, wanted, subset=40)
    assert (rows[key]["value"], rows[key]["spread"], rows[key]["n"]) == (*kid, 120)
    frechet = rows["Frechet distance", "means:quarters", "generated"]["value"]
    assert frechet == distances.frechet(found, wanted)
    near = nearest.nearest(drawn(120, 2), data.train.images).distances[:, 0]
    median = rows["median distance to training", "pixels", "generated"]
    # In grey levels of a pixel, whatever the size of the image.
    assert median["value"] == pytest.approx(np.median(near) / 16, rel=1e-12)
    assert median["unit"] == "grey levels"


def test_what_is_real_is_the_floor_and_noise_the_ceiling(fresh):
    rows, _ = fresh
    # The kernel distance of subsets of 40 strays by a third of what the ceilings have.
    for name, times in (("KID, subsets of 40", 2), ("Frechet distance", 5)):
        found = {images: row["value"] for (m, _, images), row in rows.items() if m == name}
        assert set(found) == {"generated", "real: training", "shuffled pixels", "noise"}
        ceiling = min(found["noise"], found["shuffled pixels"])
        assert max(found["generated"], found["real: training"]) < ceiling / times
    for by in ("pixels", "means:quarters"):
        nearer = rows["nearer to training than held-out images", by, "generated"]["value"]
        # Two samples of 120: 100 / sqrt(12 * 60), or 4 points, of standard error.
        assert nearer == pytest.approx(50, abs=12)


def test_memory_is_found_out(data):
    rows = by_name(measure.measure(data.train.batch(range(100)), data, MEANS, Options(subset=40)))
    for by in ("pixels", "means:quarters"):
        for name in (
            "nearer to training than held-out images",
            "nearer than 99 % of held-out images",
        ):
            assert rows[name, by, "generated"]["value"] == 100
        assert rows["median distance to training", by, "generated"]["value"] == 0
        assert rows["median distance to training", by, "real: validation"]["value"] > 0


def test_few_images_have_no_frechet_distance(data):
    few = dataclasses.replace(data, validation=data.validation.take(slice(4)))
    rows = measure.measure(drawn(4, 2), few, MEANS, Options(subset=2))
    assert "Frechet distance" not in {row["measure"] for row in rows}


def test_the_sheet_has_a_row_for_each_image_shown(fresh):
    with Image.open(fresh[1]) as picture:
        width, height = picture.size
    # 16 pixels are enlarged sixfold; ten rows, eleven cells and gaps between.
    assert height > 10 * 96 and width > 11 * 96


def test_the_sheet_shows_the_nearest_image_of_each_class():
    distances, labels = np.array([5.0, 1, 4, 2, 3]), np.array([0, 0, 2, 2, 1])
    assert sheet.chosen(distances, labels).tolist() == [1, 4, 3]
    assert sheet.chosen(distances).tolist() == [1, 3, 4, 2, 0]
    many = np.arange(200.0)
    assert len(sheet.chosen(many, np.arange(200))) == sheet.SHOWN
    first, others = np.split(sheet.chosen(many), 2)
    assert first.tolist() == [0, 1, 2, 3, 4] and others[-1] == 199


@pytest.fixture
def place(tmp_path, monkeypatch, stripes):
    monkeypatch.setattr(Place, "load_backend", lambda _: None)
    monkeypatch.setattr(Place, "check", lambda *_: None)
    monkeypatch.setattr(Place, "dataset", lambda *_: stripes)
    return Place(runs=tmp_path / "runs", cache_dir=tmp_path / "cache")


@pytest.fixture
def means(monkeypatch):
    """Features that are means of quarters, of any run."""

    class Any(Means):
        def of(self, images):
            return np.asarray(images[:], np.float32).reshape(len(images), -1)[:, :4] / 64

    found = Any("means", None, (28, 28, 1), "box")
    monkeypatch.setattr(measure, "find", lambda *_: lambda: found)


def test_a_run_is_measured_into_a_table_that_the_report_reads(maker, place, means, tmp_path):
    run = maker()
    found = measure.of_run(run, Options(subset=10, seed=3), tmp_path / "out", place)
    assert found.path == tmp_path / "out" / tables.GENERATED and found.sheet.is_file()
    rows = section.read(found.path)
    assert [row["value"] for row in rows] == [row["value"] for row in found.rows]
    assert {row["n"] for row in rows} == {24} and {row["seed"] for row in rows} == {"3"}
    assert maker.calls == [(str(run), 24, 3)]  # of the labels of the validation images
    again = measure.of_run(run, Options(subset=10, seed=3), tmp_path / "again", place)
    assert again.rows == found.rows and len(maker.calls) == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "subset .--subset. 1000, and 24 images are compared: give .* at most 24"),
        ({"images": 25}, "25: .* has 64 training and 24 validation images .* give 2 to 24"),
        ({"images": 9, "subset": 10}, "subset .* 10, and 9 images"),
        ({"images": 1, "subset": 1}, "give 2 to 24"),
        ({"subset": 10, "classifier": "quickstart/stack"}, "is of kind stack: give a row of kind"),
        ({"subset": 10, "classifier": "laptop/distilled"}, "has distill: .* give a plain row"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_is_read(
    options, told, maker, place, tmp_path, monkeypatch
):
    monkeypatch.setattr(Place, "dataset", None)
    with pytest.raises(ValueError, match=told):
        measure.of_run(maker(), Options(**options), tmp_path / "out", place)
    assert not (tmp_path / "out").exists()


def test_no_classifier_learns_images_without_classes(maker, place, tmp_path):
    options = Options(subset=10, classifier="quickstart/member_a")
    with pytest.raises(ValueError, match="unconditional generator: what it makes has no class"):
        measure.of_run(maker(conditional=False), options, tmp_path / "out", place)


def test_a_classifier_learns_as_many_generated_images_as_real_ones(
    maker, place, stripes, tmp_path, monkeypatch
):
    trained = {}
    from experiments.runs import making
    from experiments.training import generated, part

    def train(row, folder, place, listener):
        found = generated.added(row, stripes, place) if row.generated else stripes
        found = part.learned(found, row)
        with making(folder, row, found):
            trained[folder.name] = row, found.train
        return {"top1": 1.0, "n": 24}

    monkeypatch.setattr(classifier.train, "run", train)
    run = maker(share={"holdout": 0.5})
    row = classifier.find("quickstart/member_a", run)
    found = classifier.scores(row, run, stripes, tmp_path / "out", place, seed=2)
    assert {name: one["train"] for name, one in found.items()} == {"generated": 32, "real": 32}
    (one, made), (other, real) = trained["generated"], trained["real"]
    assert (made.batch(range(32))[:, 9, 9, 0] == 60 * made.labels).all()
    assert np.array_equal(real.batch(range(32)), stripes.holdout(0.5)[0].train.batch(range(32)))
    assert one.generated.only and one.generated.seed == 2 and other.generated is None
    assert one.model_copy(update={"generated": None}).model_dump(
        exclude={"recipe", "title"}
    ) == other.model_dump(exclude={"recipe", "title"})
