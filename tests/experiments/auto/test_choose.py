"""What is chosen for some pictures and some time: a pure function."""

import dataclasses
import pathlib

import pytest

import zoo
from experiments import recipes, runs
from experiments.auto import choose, rows
from experiments.auto.choose import AIMS, Known
from experiments.auto.ways import WAYS

FEW = Known(train=160, validation=40, classes=2, smallest=80, largest=80, side=32)
CIFAR = Known(train=50_000, validation=10_000, classes=10, smallest=5_000, largest=5_000, side=32)
MNIST = Known(
    train=60_000, validation=10_000, classes=10, smallest=5_421, largest=6_742, side=28, gray=True
)
PHOTOS = Known(train=4_000, validation=1_000, classes=10, smallest=150, largest=600, side=480)
MINUTES = 60
RESULTS = pathlib.Path(choose.__file__).parents[1] / "results"


def chosen(known, seconds=20 * MINUTES, aim="balanced", rates=None):
    return choose.choose(known, seconds, aim, rates)


@pytest.mark.parametrize(
    "known, name, side",
    [(FEW, "tuned", 64), (CIFAR, "sprint_s", 32), (MNIST, "sprint_s", 28), (PHOTOS, "tuned", 64)],
)
def test_few_and_large_pictures_begin_with_learned_weights(known, name, side):
    (found,) = chosen(known)
    assert (found.name, found.side) == (name, side)
    assert bool(found.way.pretrained) == (name == "tuned")


def test_epochs_are_those_that_fit():
    """At the table's rate, 60,000 images forward and back and 10,000 forward are one epoch."""
    each = (50_000 + 10_000 / 3) / WAYS["sprint_s"].rate
    for seconds in (8 * MINUTES, 10 * MINUTES, 20 * MINUTES):
        (found,) = chosen(CIFAR, seconds)
        fitting = 0.85 * seconds / each
        assert fitting - 1 < found.epochs <= fitting
        assert found.seconds == pytest.approx(found.epochs * each) and found.seconds < seconds


def test_a_slower_machine_trains_less_and_no_longer():
    fast, slow = (chosen(CIFAR, rates={"sprint_s": rate})[0] for rate in (777, 150))
    assert 1 <= slow.epochs < fast.epochs and slow.seconds <= 20 * MINUTES


def test_a_machine_too_slow_for_a_few_epochs_trains_a_narrow_network():
    (found,) = chosen(CIFAR, rates={"sprint_s": 150})
    assert found.name == "sprint_xs" and found.epochs >= 5
    assert any("sprint_s from scratch the time is enough for 2.8 epochs" in w for w in found.why)


@pytest.mark.parametrize("known", [FEW, PHOTOS])
def test_there_are_no_more_epochs_than_are_known_to_help(known):
    (found,) = chosen(known, 10_000 * MINUTES)
    assert found.epochs == found.way.epochs
    assert any("time is left" in line for line in found.why)


def test_too_little_time_makes_pictures_smaller_and_then_says_so():
    (smaller,) = chosen(PHOTOS, 15)
    assert smaller.side < 64 and any("not enough for 64" in line for line in smaller.why)
    (least,) = chosen(CIFAR, 5)
    assert least.epochs == 1 and any("more than the time is enough for" in w for w in least.why)


def test_a_stack_has_members_of_one_side_as_time_allows():
    full = chosen(PHOTOS, 60 * MINUTES, "best")
    assert [one.name for one in full] == ["tuned", "alphanet", "simplenet"]
    assert {one.side for one in full} == {64}
    few = dataclasses.replace(PHOTOS, train=1_000)
    assert [one.name for one in chosen(few, 60 * MINUTES, "best")] == ["tuned", "tuned_b"]
    short = chosen(PHOTOS, 100, "best")
    assert len(short) == 1 and "without" in short[0].why[0]
    rare = chosen(dataclasses.replace(PHOTOS, smallest=10), 60 * MINUTES, "best")
    assert len(rare) == 1 and "no stack: the smallest class has 10" in rare[0].why[0]


@pytest.mark.parametrize("known, name", [(PHOTOS, "tuned_s"), (CIFAR, "simplenet")])
def test_the_small_one_has_few_weights(known, name):
    (found,) = chosen(known, aim="small")
    weights = zoo.info(found.way.model["name"]).parameters
    assert found.name == name and weights < zoo.info("sprint_m").parameters / 2


def test_an_unknown_aim_is_refused():
    with pytest.raises(ValueError, match="aim 'fast': there are balanced, best, small"):
        chosen(FEW, aim="fast")


@pytest.mark.parametrize("known", [FEW, CIFAR, MNIST, PHOTOS])
@pytest.mark.parametrize("aim", AIMS)
def test_every_choice_is_a_recipe_that_can_be_read_again(known, aim, tmp_path):
    found = chosen(known, 60 * MINUTES, aim)
    made = rows.rows(found, known, "mine", {"name": "folder"}, seed=3, hours=0.5)
    assert len(made) == (1 if len(found) == 1 else len(found) + 1)
    assert len({row.data for row in made}) == 1, "an ensemble needs the same images"
    for row in made:
        path = rows.write(row, ["because, said at some length. " * 9], tmp_path, "python -m x")
        assert recipes.load(path) == row and row.recipe == f"mine/{row.name}"
        assert path.read_text().startswith("# because") and "#   python -m x\n" in path.read_text()
    for row in made[: len(found)]:
        zoo.check(**row.model, input_shape=(row.data.size, row.data.size, row.data.channels))
        assert bool(row.share.holdout) == (len(found) > 1)


def test_gray_pictures_stay_gray_and_are_not_mirrored():
    (gray,) = rows.rows(chosen(MNIST), MNIST, "m", {"name": "folder"}, seed=0, hours=1)
    assert gray.data.channels == 1 and not {"alternating_flip", "horizontal_flip"} & {*gray.augment}
    (color,) = rows.rows(chosen(CIFAR), CIFAR, "m", {"name": "folder"}, seed=0, hours=1)
    assert color.data.channels == 3 and color.augment["alternating_flip"]


def test_one_epoch_is_not_cut_off_however_long_it_takes():
    found = chosen(CIFAR, 5)
    (row,) = rows.rows(found, CIFAR, "m", {"name": "folder"}, seed=0, hours=5 / 3600)
    assert row.epochs == 1 and row.max_hours * 3600 > found[0].seconds > 5
    (row,) = rows.rows(chosen(CIFAR), CIFAR, "m", {"name": "folder"}, seed=0, hours=1)
    assert row.max_hours == 1


def test_a_part_of_an_epoch_is_told_in_steps():
    """The schedule of the rate knows of steps, and would not of hours."""
    (found,) = chosen(CIFAR, MINUTES)
    (row,) = rows.rows([found], CIFAR, "m", {"name": "folder"}, seed=0, hours=1)
    assert 2 < found.epochs < 3 and row.epochs == 3
    assert row.max_steps == round(found.epochs * -(-CIFAR.train // row.batch_size))
    (whole,) = rows.rows(chosen(CIFAR), CIFAR, "m", {"name": "folder"}, seed=0, hours=1)
    assert whole.max_steps is None


def test_rare_classes_count_as_much_as_frequent_ones():
    for largest, balance in ((600, None), (800, "weights")):
        known = dataclasses.replace(PHOTOS, largest=largest)
        found = chosen(known)
        (row,) = rows.rows(found, known, "m", {"name": "folder"}, seed=0, hours=1)
        assert row.balance == balance
        assert any("count alike" in line for line in found[0].why) == bool(balance)


def test_the_rate_of_learning_goes_with_the_batch():
    """CIFAR-10 is trained as in `records/cifar10_cpu`, smaller sets with smaller steps."""
    record = recipes.load("records/cifar10_cpu")
    (row,) = rows.rows(chosen(CIFAR), CIFAR, "m", {"name": "folder"}, seed=0, hours=1)
    for field in ("optimizer", "schedule", "average", "loss", "batch_size", "augment"):
        assert getattr(row, field) == getattr(record, field), field
    fewer = dataclasses.replace(CIFAR, train=20_000)
    (row,) = rows.rows(chosen(fewer), fewer, "m", {"name": "folder"}, seed=0, hours=1)
    rate = record.optimizer.learning_rate * row.batch_size / record.batch_size
    assert row.batch_size == 512 and row.optimizer.learning_rate == pytest.approx(rate)


@pytest.mark.parametrize(
    "name, said, run",
    [
        ("sprint_s", "93.4 % of CIFAR-10", "records_cpu/cifar10_cpu"),
        ("sprint_s", "99.7 % of MNIST", "records_cpu/mnist_cpu"),
        ("sprint_xs", "99.7 % of MNIST", "records_cpu/mnist_cpu"),
        ("tuned", "66.3 % of CIFAR-10", "few_images_cpu/tuned"),
        ("tuned", "scratch 42.9 %", "few_images_cpu/scratch"),
        ("tuned_s", "93.4 % of CIFAR-10", "records_cpu/cifar10_cpu"),
        ("alphanet", "86.4 % of ten classes", "laptop_cpu/alphanet"),
        ("simplenet", "86.0 % of ten classes", "laptop_cpu/simplenet"),
    ],
)
def test_the_table_says_what_was_measured(name, said, run):
    assert said in WAYS[name].result
    assert f"{runs.Run(RESULTS / run).metrics['top1']:.1f} %" in said
