"""What rows will cost: images, epochs, multiply-adds, and hours once something was measured."""

import os

import pytest

import zoo
from experiments import cost, datasets, plan, recipes
from experiments._files import write_json
from experiments.cost import Size, Work
from experiments.runs import Run, names

SIZE = Size(1000, (64, 64, 3), 200)
MACS = zoo.info("alphanet_v4").macs_64


def _row(**fields) -> recipes.Row:
    content = {"recipe": "test/x", "data": {"name": "tiny_imagenet"}} | fields
    if "kind" not in fields:
        content = {"model": {"name": "alphanet_v4"}, "epochs": 5} | content
    return recipes.parse(content, "test")


@pytest.mark.parametrize(
    ("share", "images"),
    [({}, 1000), ({"holdout": 0.2}, 800), ({"holdout": 0.2, "folds": 4, "fold": 1}, 600)],
)
def test_a_network_sees_its_share_every_epoch(share, images):
    assert cost.of_training(_row(share=share), {}, SIZE) == Work(images, 5, MACS)


def test_a_budget_of_steps_or_hours_is_the_most_that_a_row_takes(finish):
    few = cost.of_training(_row(max_steps=20, batch_size=100), {}, SIZE)
    assert few == Work(1000, 2, MACS)
    adversarial = {"folder": "somewhere", "per_batch": 50}
    mixed = _row(max_steps=20, batch_size=100, adversarial=adversarial)
    assert cost.of_training(mixed, {}, SIZE).epochs == 1
    assert cost.of_training(_row(max_steps=999_999), {}, SIZE).epochs == 5
    run = _measured(finish, "ghostnet", macs=100, seconds=3600)
    rate, work = cost.Rate([run], "tensorflow"), Work(3600, 6, 100)
    assert rate.hours(_row(), work) == pytest.approx(3)
    assert rate.hours(_row(max_hours=2), work) == pytest.approx(2)
    assert rate.hours(_row(max_hours=4), work) == pytest.approx(3)


def test_a_stack_s_members_run_forward_or_are_trained_again():
    stack = {"kind": "stack", "members": ["a", "b"], "epochs": 3}
    rows = {name: _row(share={"holdout": 0.1}, epochs=7) for name in "ab"}
    for views, passes in ((2, 2), (6, 3), ("fresh", 3)):  # no more views than epochs
        held_out = cost.of_stack(_row(views=views, augment="C", **stack), rows, SIZE)
        assert held_out == (100, pytest.approx(passes / 3), 2 * MACS)
    train = cost.of_stack(_row(fit_on="train", **stack), rows, SIZE)
    assert train == (1000, pytest.approx(1 / 3), 2 * MACS)
    folds = cost.of_stack(_row(fit_on="out_of_fold", folds=4, **stack), rows, SIZE)
    assert folds == (900, 3 * 7, 2 * MACS)


@pytest.mark.parametrize(
    ("fields", "epochs"),
    [
        ({"trials": 8}, 8 * 24),
        ({"trials": 8, "epochs": 3}, 24),
        ({"search": "grid", "epochs": 2}, 3 * 2),
        ({"search": "grid", "trials": 2, "epochs": 2}, 2 * 2),
        # Brackets of 9, 3, 1 trials for 1, 2 and 6 more epochs; 5 for 3 and 2 for 6 more; 3 for 9.
        ({"search": "hyperband", "epochs": 9}, 9 + 3 * 2 + 6 + 5 * 3 + 2 * 6 + 3 * 9),
        ({"trials": 8, "epochs": 3, "retrain": {"epochs": 30}}, 24 + 30),
    ],
)
def test_a_sweep_is_all_its_trials(fields, epochs):
    """24 epochs are those of the row that varies."""
    content = {"kind": "sweep", "of": "quickstart/member_a", "space": {"batch_size": [1, 2, 3]}}
    work = cost.of_sweep(_row(**content | fields), {}, SIZE)
    assert work.images == 800 and work.epochs == epochs


def test_experts_are_as_many_trainings_and_a_vote_is_nothing():
    experts = _row(kind="experts", member="a", experts=4, epochs=2, share={"holdout": 0.5})
    assert cost.of_experts(experts, {"a": _row()}, SIZE) == Work(500, 8, MACS)
    vote = _row(kind="vote", members=["a"])
    assert cost.of_vote(vote, {"a": _row()}, SIZE).total == 0


def test_small_images_cost_by_their_area():
    sizes = [[6, 32], [6, 48], [4, 64]]
    row = _row(model={"name": "resnet18"}, epochs=None, sizes=sizes)
    work = cost.of_training(row, {}, SIZE)
    whole = cost.of_training(_row(model={"name": "resnet18"}, epochs=1), {}, SIZE).total
    assert work.images == 1000 and work.epochs == 16
    assert work.total == pytest.approx(whole * (6 / 4 + 6 * 9 / 16 + 4))
    # What the network multiplies at each size, its stem that of the last one.
    each = [
        zoo.profile(zoo.build("resnet18", stem="tiny", input_shape=(side, side, 3), classes=200))[1]
        for _, side in sizes
    ]
    counted = sum(1000 * epochs * macs for (epochs, _), macs in zip(sizes, each, strict=True))
    assert work.total == pytest.approx(counted, rel=0.01)  # the dense layer does not shrink
    enlarged = {"name": "inception_v3"}
    least = zoo.info("inception_v3").enlarges_to
    assert least > 64
    row = _row(model=enlarged, epochs=None, sizes=[[1, 32], [1, 64]])
    assert (
        cost.of_training(row, {}, SIZE).macs
        == cost.of_training(_row(model=enlarged), {}, SIZE).macs
    )


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        ({"name": "alphanet_v4"}, (32, 32, 3)),
        ({"name": "alphanet_v4", "dense": 16}, (64, 64, 3)),
        ({"name": "ghostnet_100", "dropout": 0.1}, (64, 64, 3)),
        ({"name": "ghostnet_100"}, (224, 224, 3)),
    ],
)
def test_multiply_adds_are_those_of_the_network(model, shape):
    expected = zoo.profile(zoo.build(**model, input_shape=shape, classes=200))[1]
    # The catalogue's are those of its own number of classes, up to 1,000.
    assert cost.macs(model, Size(1, shape, 200)) == pytest.approx(expected, rel=0.03)


def test_sizes_are_those_of_the_data_or_of_the_public_data_set():
    row = _row(data={"name": "tiny_imagenet", "size": 96})
    assert cost.known_size(row, None) == Size(100_000, (96, 96, 3), 200)
    assert cost.known_size(_row(), None) == Size(100_000, (64, 64, 3), 200)
    assert cost.known_size(_row(data={"name": "folder"}), None) is None
    assert cost.known_size(_row(data={"name": "stanford_cars"}), None) is None
    cars = cost.known_size(_row(data={"name": "stanford_cars", "size": 224}), None)
    assert cars.shape == (224, 224, 3)
    gray = cost.known_size(_row(data={"name": "mnist", "size": 32}), None)
    assert gray.shape == (32, 32, 1)
    for name, size, channels in (("mnist", None, 3), ("stanford_cars", 224, 1)):
        data = {"name": name, "size": size, "channels": channels}
        assert cost.known_size(_row(data=data), None).shape == (*[size or 28] * 2, channels)
    digits = datasets.load("digits")
    assert cost.known_size(_row(), digits) == Size(1438, (32, 32, 3), 10)


def _measured(finish, name: str, **metrics) -> Run:
    folder = finish(recipes.load(f"laptop/{name}"), train=3600, **metrics)
    here = Run(folder).environment | {"cores": os.cpu_count()}
    write_json(folder / names.ENVIRONMENT, here)
    return Run(folder)


def test_hours_are_by_the_rate_of_the_same_network_else_of_all(finish):
    # An hour for 3,600 images and 2 epochs of 100 multiply-adds: 200 a second.
    slow = _measured(finish, "ghostnet", macs=100, seconds=3600)
    fast = _measured(finish, "alphanet", macs=300, seconds=3600)
    rate = cost.Rate([slow, fast], "tensorflow")
    work = Work(3600, 1, 600)
    assert rate.runs == 2
    assert rate.hours(recipes.load("laptop/ghostnet"), work) == pytest.approx(3)
    assert rate.hours(recipes.load("laptop/alphanet"), work) == pytest.approx(1)
    assert rate.hours(recipes.load("laptop/simplenet"), work) == pytest.approx(1.5)
    sizes = {"sizes": [[1, 32], [1, 64]], "epochs": 2, "recipe": "test/grown"}
    content = recipes.load("laptop/ghostnet").model_dump(exclude_none=True) | sizes
    grown = finish(recipes.parse(content, "test"), train=3600, macs=100, seconds=3600)
    write_json(grown / names.ENVIRONMENT, slow.environment)
    assert cost.Rate([Run(grown)], "tensorflow").by_network["ghostnet_100"] == [200 * 5 / 8]
    for runs, backend in (([], "tensorflow"), ([slow, fast], "jax")):
        assert cost.Rate(runs, backend).hours(recipes.load("laptop/ghostnet"), work) is None
    write_json(slow.path / names.ENVIRONMENT, slow.environment | {"cores": 999})
    assert cost.Rate([Run(slow.path)], "tensorflow").runs == 0


def test_a_damaged_run_is_told_and_not_counted(finish, hearing):
    whole = _measured(finish, "ghostnet", macs=100, seconds=3600)
    cut = _measured(finish, "alphanet", macs=300, seconds=3600)
    (cut.path / names.METRICS).write_text("{")
    assert cost.Rate([Run(cut.path), whole], "tensorflow", hearing).runs == 1
    assert (
        len(hearing.said) == 1 and f"{cut.path / names.METRICS} cannot be used" in hearing.said[0]
    )


def test_a_plan_is_told_without_its_data(place, finish):
    steps = plan.make(["laptop/alphanet", "laptop/mode"], place)
    first, *_ = before = plan.estimates(steps, place)
    assert first.work.images == 90_000 and first.work.epochs == 30 and first.work.macs > 0
    assert {one.hours for one in before} == {None} and first.rated_by == 0
    _measured(finish, "ghostnet", macs=100, seconds=3600)
    after = {one.step.row.name: one for one in plan.estimates(plan.make(["laptop"], place), place)}
    assert after["ghostnet"].work is None and after["ghostnet"].hours is None
    work = after["alphanet"].work
    assert after["alphanet"].hours == pytest.approx(work.total / 200 / 3600)
    assert after["alphanet"].rated_by == 1 and after["mode"].hours == 0
    (unknown,) = plan.estimates(
        [plan.Step(_row(data={"name": "folder"}), place.runs / "test/x")], place
    )
    assert unknown.work is None
