"""A run that goes on from a shorter one ends as one over all epochs does."""

import numpy as np
import pytest

from experiments import recipes
from experiments.runs import Run

# A rate that jumps and averages: all that is kept from epoch to epoch.
CHANGING = {
    "schedule": {"name": "milestones", "epochs": [2], "factor": 0.5},
    "average": {"name": "ema", "decay": 0.9},
    "keep": "last",
}


def _short(parse, **changes):
    return parse(**({"recipe": "test/short", "keep_state": True, "epochs": 1} | changes))


@pytest.mark.backend
def test_more_epochs_are_bit_equal_to_all_at_once(parse, train, stripes, tmp_path):
    import zoo

    short = train(_short(parse, **CHANGING), tmp_path / "short", stripes)
    assert short.state.is_dir()
    row = parse(goes_on_from=str(short.path), **CHANGING)
    longer = train(row, tmp_path / "longer", stripes)
    whole = train(parse(**CHANGING), tmp_path / "whole", stripes)
    weights = [zoo.load(run.model_file).get_weights() for run in (longer, whole)]
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))
    for column in ("loss", "val_loss", "lr", "images"):
        assert np.array_equal(longer.history[column], whole.history[column])
    assert not longer.state.exists() and short.state.is_dir()
    # The recipe that lies beside the result is itself one that can be run.
    assert recipes.load(longer.path / "recipe.yaml") == row


def test_a_cut_one_goes_on_from_its_own_state(parse, train, stripes, tmp_path):
    short = train(_short(parse), tmp_path / "short", stripes)
    row = parse(goes_on_from=str(short.path))
    train(row, tmp_path / "longer", stripes, cut=3)
    assert len(Run(tmp_path / "longer").history["epoch"]) == 2
    (short.path / "metrics.json").unlink()  # it is not asked any more
    assert len(train(row, tmp_path / "longer", stripes).history["epoch"]) == 3


@pytest.mark.parametrize(
    ("short", "longer", "told"),
    [
        ({"keep_state": False}, {}, "kept no state: run that with keep_state: true"),
        ({}, {"batch_size": 8}, "another training: batch_size: 16 -> 8"),
        ({"epochs": 2}, {"epochs": 1}, "another training: epochs: 2 -> 1"),
        ({}, {"seed": 3}, "another training: seed: 0 -> 3"),
    ],
)
def test_what_it_cannot_go_on_from(parse, train, stripes, tmp_path, short, longer, told):
    made = train(_short(parse, **short), tmp_path / "short", stripes)
    row = parse(goes_on_from=str(made.path), **longer)
    with pytest.raises(ValueError, match=told):
        train(row, tmp_path / "longer", stripes)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"schedule": {"name": "cosine"}}, "schedule cosine"),
        ({"schedule": {"name": "one_cycle"}}, "schedule one_cycle"),
        ({"average": {"name": "lookahead"}}, "average lookahead"),
    ],
)
def test_what_depends_on_the_number_of_epochs_is_refused(
    parse, train, stripes, tmp_path, changes, told
):
    made = train(_short(parse, **changes), tmp_path / "short", stripes)
    row = parse(goes_on_from=str(made.path), **changes)
    with pytest.raises(ValueError, match=f"{told} depends on the number of epochs"):
        train(row, tmp_path / "longer", stripes)


def test_a_run_that_is_not_there_is_told(parse, train, stripes, tmp_path):
    row = parse(goes_on_from=str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match="nothing is no finished run; make it first"):
        train(row, tmp_path / "longer", stripes)
