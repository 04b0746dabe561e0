"""What is refused before anything starts, by name."""

import pytest

from experiments import plan, recipes
from experiments.runs import Run

RATE = {"min": 1e-4, "max": 1e-2, "sampling": "log"}
COSINE = {"schedule": {"name": "cosine"}}
HYPERBAND = {"search": "hyperband", "trials": None, "epochs": 4}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"trials": None}, "random search never ends by itself: say how many"),
        ({"trials": 0}, "trials: Input should be greater than or equal to 1"),
        ({"search": "hyperband", "epochs": None}, "hyperband needs those of its longest trials"),
        ({"space": {}}, "space: .*name what varies"),
        ({"space": {"epochs": [1, 2]}}, "epochs: given, and in the space"),
        ({"space": {"data.size": [28, 32]}}, "space.data.size: trials have this of their sweep"),
        ({"space": {"title": ["a", "b"]}}, "space.title: trials have this of their sweep"),
        ({"space": {"batch_size": {"min": 1}}}, "space.batch_size: max None"),
        ({"search": "genetic"}, "search: Input should be 'random'"),
        ({"objective": "val_top2"}, "no monitor 'val_top2'"),
        ({"retries": -1}, "retries: Input should be greater"),
        ({"deadline": 0}, "deadline: Input should be greater than 0"),
    ],
)
def test_a_row_says_what_it_may(sweep, fields, told):
    with pytest.raises(ValueError, match=told):
        sweep(**fields)


@pytest.mark.parametrize(
    ("base", "fields", "told"),
    [
        ({}, {"space": {"batchsize": [1, 2]}}, "space.batchsize: 1 is refused: .*batchsize: Extra"),
        ({}, {"space": {"model.widht": [1, 2]}}, "space.model.widht: 1 is refused: .*widht"),
        (
            {},
            {"space": {"batch_size": {"min": 0, "max": 64}}},
            "space.batch_size: 0 is refused: .*batch_size: Input should be greater than or equal",
        ),
        (
            {},
            {"space": {"batch_size": {"min": 8.0, "max": 64}}},
            "space.batch_size: 8.0 is refused: .*valid integer",
        ),
        (
            {},
            {"space": {"loss.label_smoothing": {"min": 0.0, "max": 1.5}}},
            "space.loss.label_smoothing: 1.5 is refused: .*less than 1",
        ),
        ({}, {"space": {"augment": ["A", "Q"]}}, "space.augment: 'Q' is refused"),
        ({}, {"space": {"batch_size.x": [1, 2]}}, "space.batch_size.x: 1 is refused: .*no fields"),
        ({}, {"space": {"batch_size": [64]}}, "nothing varies: no trial is left to compare"),
        ({}, {"objective": "val_top1_ema"}, "objective val_top1_ema is of averaged weights"),
        ({}, {"retrain": {"epoch": 3}}, "retrain is refused: .*epoch: Extra"),
        ({}, {"data": {"name": "digits", "size": 32}}, "give the sweep the same data"),
        (COSINE, HYPERBAND, "schedule cosine depends on how many epochs there are in all"),
        (
            {},
            HYPERBAND | {"space": {"schedule": [{"name": "constant"}, {"name": "one_cycle"}]}},
            "schedule one_cycle depends on how many epochs",
        ),
        ({"distill": {"teacher": "x"}}, {}, "x is no finished run; make it first"),
    ],
)
def test_a_sweep_that_cannot_go_well_is_refused_before_anything_starts(
    sweep, step, place, base, fields, told
):
    row = sweep(base=base, **fields)
    with pytest.raises(ValueError, match=told):
        step(row)
    assert not place.runs.exists()


def test_only_the_training_of_a_network_varies(place):
    row = recipes.load("sweeps/quick", {"of": "laptop/mode", "epochs": None})
    with pytest.raises(ValueError, match="laptop/mode is of kind vote"):
        plan.one(row, place.folder(row), place)
    with pytest.raises(ValueError, match="no row 'member_z'"):
        plan.make(["sweeps/quick"], place, {"of": "quickstart/member_z"})


def test_a_field_is_checked_beside_what_it_depends_on(sweep, step):
    """Momentum means nothing to `constant`, and a factor is one of `milestones` only."""
    space = {
        "schedule.name": ["constant", "milestones"],
        "schedule.factor": {"min": 0.1, "max": 0.5, "when": {"schedule.name": "milestones"}},
        "schedule.epochs": {"choices": [[1], [1, 2]], "when": {"schedule.name": "milestones"}},
    }
    with pytest.raises(ValueError, match="space.schedule.name: 'milestones' is refused"):
        step(sweep(space=space))  # without its factor there is no such schedule
    whole = {
        "schedule": [
            {"name": "constant"},
            {"name": "milestones", "epochs": [1], "factor": 0.5},
        ]
    }
    assert step(sweep(space=whole)).status == "to run"


@pytest.mark.parametrize("name", ["sweeps", "laptop_sweeps", "alphanet"])
def test_the_papers_sweeps_fit_their_rows(name, place):
    rows = [row for row in recipes.rows(name).values() if isinstance(row, recipes.Sweep)]
    assert rows
    for row in rows:
        assert plan.one(row, place.folder(row), place).row == row
        assert recipes.parse(recipes.read(recipes.dump(row)), "again") == row


def test_a_run_says_what_has_no_model(make_run, tmp_path):
    run = Run(make_run(tmp_path / "run", "sweeps/quick", sweep={"best": 1}))
    with pytest.raises(ValueError, match="a run of kind sweep, which has no model of its own"):
        _ = run.model_file
