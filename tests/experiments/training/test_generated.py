"""Images of a generator among those that a row learns: which they are, and what is refused."""

import dataclasses

import numpy as np
import pytest

from experiments import plan, recipes
from experiments.cost import Size, of_training
from experiments.ensembles.members import check_clean
from experiments.place import Place
from experiments.recipes import kinds
from experiments.runs import Run, making
from experiments.training import check, generated, part
from experiments.training.train import run as run_row

GIVEN = {"run": "maker", "per_class": 5}


@pytest.fixture
def place(tmp_path, monkeypatch, stripes):
    monkeypatch.setattr(Place, "dataset", lambda *_: stripes)
    return Place(cache_dir=tmp_path / "cache", runs=tmp_path / "runs")


@pytest.fixture
def row(parse):
    return lambda **fields: parse(generated=GIVEN | fields, epochs=1)


def test_they_come_behind_the_real_ones_or_in_their_place(maker, row, place, stripes):
    maker()
    data = generated.added(row(), stripes, place)
    learned = part.learned(data, row())
    assert len(learned.train) == 64 + 20
    assert np.array_equal(learned.train.batch(range(64)), stripes.train.images)
    made = learned.train.batch(range(64, 84))
    labels = learned.train.labels[64:]
    assert labels.tolist() == [0, 1, 2, 3] * 5
    assert (made[:, 9, 9, 0] == 60 * labels).all()
    alone = part.learned(data, row(only=True))
    assert np.array_equal(alone.train.batch(range(20)), made)
    assert np.array_equal(alone.train.labels, labels)
    for found in (learned, alone):
        assert found.validation is stripes.validation
        assert found.class_names == stripes.class_names
    # As any code reads images: one, a slice, some, all.
    images = learned.train.images
    whole = np.asarray(images)
    for key in (70, -1, slice(60, 70, 3), np.array([83, 0]), [63, 64]):
        assert np.array_equal(images[key], whole[key])


def test_real_ones_are_those_of_the_share(maker, parse, place, stripes):
    share = {"holdout": 0.5}
    maker(share=share)
    row = parse(generated=GIVEN, share=share)
    learned = part.learned(generated.added(row, stripes, place), row)
    rest, _ = stripes.holdout(0.5)
    assert np.array_equal(learned.train.batch(range(32)), np.asarray(rest.train.images))
    assert len(learned.train) == 32 + 20
    assert part.held_out(stripes, row.share).labels.shape == (32,)


def test_they_are_made_once_by_generator_and_seed_and_kept(maker, row, place, stripes, listening):
    maker()
    first = generated.added(row(), stripes, place, listening).generated
    assert "maker makes 20 images, kept in" in listening.said[0]
    again = generated.added(row(only=True), stripes, place).generated
    assert np.array_equal(first.images, again.images)
    assert len(maker.calls) == 1
    maker("other")
    changes = [{}, {"seed": 1}, {"per_class": 6}, {"run": "other"}]
    digests = [generated.added(row(**new), stripes, place).digest for new in changes]
    assert len(maker.calls) == 4
    found = [digest.pop("generated") for digest in digests]
    # The stub draws the same whoever runs it: the digest is that of the images alone.
    assert len(set(found)) == 3 and found[0] == found[3]
    assert all(digest == stripes.digest for digest in digests)
    (kept, *_) = (place.cache_dir / "generated").glob("maker-*.npy")
    for file in (place.cache_dir / "generated").glob("maker-*.npy"):
        file.write_bytes(b"cut")
    with pytest.raises(ValueError, match="damaged .*delete that file"):
        generated.added(row(), stripes, place)
    assert kept.exists()


def test_a_row_is_trained_on_them_and_its_recipe_can_be_run_again(maker, row, place, stripes):
    maker()
    folder = place.runs / "test" / "tiny"
    metrics = run_row(row(), folder, place)
    run = Run(folder)
    assert run.dataset["train"] == 84 and run.dataset["generated"] == 20
    assert run.dataset["validation"] == 24 and metrics["images"] == 84
    wanted = generated.added(row(), stripes, place).digest
    assert run.dataset["digest"] == wanted
    run.check_data(stripes)  # what it learned beside them makes it no run of other images
    again = recipes.load(folder / "recipe.yaml")
    assert again == row() and run_row(again, folder, place) == metrics
    other = Run(place.runs / "test" / "again")
    assert run_row(again, other.path, place)["top1"] == metrics["top1"]
    assert np.array_equal(other.probs, run.probs)


def test_a_run_does_not_go_on_with_others(maker, row, place, stripes, tmp_path):
    maker()
    folder = tmp_path / "begun"
    began = part.learned(generated.added(row(), stripes, place), row())
    with making(folder, row(), began):
        pass
    changed = began.with_generated(stripes.train.take(slice(20)))
    with pytest.raises(ValueError, match="generated images or labels are others"):
        with making(folder, row(), changed):
            pass
    with making(folder, row(), began):
        pass


def test_images_and_field_go_together(row, parse, train, stripes, tmp_path):
    with pytest.raises(ValueError, match="data.generated do not go together"):
        train(row(), tmp_path / "run", stripes)
    with pytest.raises(ValueError, match="data.generated do not go together"):
        train(parse(), tmp_path / "run", stripes.with_generated(stripes.train))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"data": {"name": "stripes", "size": 14}}, "as those of stripes at 14 px.*stripes: both"),
        ({"share": {"holdout": 0.5}}, "holdout=0.5.*would come back through the other"),
        ({"conditional": False}, "test/tiny: generated.run: maker is an unconditional generator"),
    ],
)
def test_a_generator_of_other_images_is_refused_before_anything_runs(
    fields, told, maker, row, place, stripes
):
    run = maker(**fields)
    with pytest.raises(ValueError, match=told):
        check.check(row(), {"maker": run.row}, place)
    with pytest.raises(ValueError, match=told):
        generated.added(row(), stripes, place)
    assert not maker.calls


def test_a_run_that_makes_no_images_is_refused(maker, parse, row, place):
    with pytest.raises(ValueError, match="maker is of kind train, which makes no images: .*maker"):
        check.check(row(), {"maker": parse()}, place)


def test_other_classes_and_shapes_are_refused(maker, row, place, stripes, monkeypatch):
    other = dataclasses.replace(stripes, class_names=tuple("abdc"))
    maker(on=other)
    with pytest.raises(ValueError, match="class 2 is 'd' and 'c'"):
        generated.added(row(), stripes, place)
    maker("flat")
    monkeypatch.setattr(
        generated, "function", lambda _: lambda run, labels, seed: np.zeros((20, 9, 9, 1), np.uint8)
    )
    with pytest.raises(ValueError, match=r"makes images \(9, 9, 1\), those of stripes are"):
        generated.added(row(run="flat"), stripes, place)


def test_a_generator_that_is_not_finished_is_said_how_to_make(row, place, stripes):
    with pytest.raises(ValueError, match="no finished run; make it first: .*run test/maker"):
        generated.added(row(), stripes, place)


def test_a_plan_makes_the_generator_first(maker, row):
    assert recipes.needed(row()) == ["maker"]
    assert kinds.with_needed(row(), ["runs/a/b"]).generated.run == "runs/a/b"
    both = row().model_copy(update={"distill": recipes.load("laptop/distilled").distill})
    assert recipes.needed(both) == ["stack", "maker"]
    changed = kinds.with_needed(both, ["a", "b"])
    assert (changed.distill.teacher, changed.generated.run) == ("a", "b")
    with pytest.raises(ValueError, match="needs 1 finished runs, not 2"):
        kinds.with_needed(row(), ["a", "b"])


def test_rows_of_the_paper_have_their_generators_made_before_them(tmp_path):
    steps = plan.make(["generated/tenth_more"], Place(runs=tmp_path))
    assert [step.row.name for step in steps] == ["gan_tenth", "tenth_more"]
    rows = recipes.rows("generated")
    for one in [row for row in rows.values() if getattr(row, "generated", None)]:
        check.check(one, {one.generated.run: rows[one.generated.run]}, Place(runs=tmp_path))
    # Rows of a share are compared after as many steps.
    size = Size(60_000, (28, 28, 1), 10)
    for names in ({"all", "all_more", "alone"}, {"tenth", "tenth_more", "tenth_much_more"}):
        work = [of_training(rows[name], {}, size) for name in names]
        assert len({one.images * one.epochs for one in work}) == 1


def test_cost_counts_them(row):
    size = Size(64, (28, 28, 1), 4)
    assert of_training(row(), {}, size).images == 84
    assert of_training(row(only=True), {}, size).images == 20


def test_experts_and_folds_take_members_that_learn_real_images_alone(row, parse, place):
    fields = {"kind": "experts", "recipe": "test/e", "data": {"name": "stripes"}, "epochs": 1}
    experts = recipes.parse(fields | {"member": "tiny", "experts": 2}, "test")
    with pytest.raises(ValueError, match="learned from more than labels"):
        check_clean(experts, {"tiny": row()}, place)
