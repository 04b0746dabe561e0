"""What a row may say of dropout, and the rate that it means."""

import pytest

from experiments import recipes
from experiments.recipes.dropout import Dropout

POINTS = [[0, 0.0], [2, 0.5], [6, 0.1]]
ROW = {
    "recipe": "test/x",
    "data": {"name": "digits"},
    "model": {"name": "alphanet_v4"},
    "epochs": 9,
}


@pytest.mark.parametrize(
    ("how", "rates"),
    [
        ("steps", [0, 0, 0.5, 0.5, 0.5, 0.5, 0.1, 0.1, 0.1]),
        ("linear", [0, 0.25, 0.5, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1]),
    ],
)
def test_rates_stay_or_go_in_straight_lines(how, rates):
    spec = Dropout.model_validate({"points": POINTS, "how": how})
    assert [spec.rate(epoch) for epoch in range(9)] == pytest.approx(rates)


def test_a_list_means_steps_and_is_read_as_it_was_written(tmp_path):
    row = recipes.parse(ROW | {"dropout": POINTS}, "test")
    assert row.dropout == Dropout.model_validate({"points": POINTS, "how": "steps"})
    (tmp_path / "row.yaml").write_text(recipes.dump(row))
    assert recipes.load(tmp_path / "row.yaml") == row


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "at least 1"),
        ([[1, 0.5]], r"epochs \[1\]: the first is 0"),
        ([[0, 0.5], [3, 0.1], [2, 0.1]], r"epochs \[0, 3, 2\]"),
        ([[0, 0.5], [0, 0.1]], r"epochs \[0, 0\]"),
        ([[0, 1.0]], "less than 1"),
        ([[0, -0.1]], "greater than or equal to 0"),
        ([[0.5, 0.1]], "valid integer"),
        ([0.5], "valid tuple"),
        (0.5, "dropout"),
        ({"points": POINTS, "how": "cubic"}, "'steps' or 'linear'"),
    ],
)
def test_rates_that_mean_nothing_are_refused(given, told):
    with pytest.raises(ValueError, match=told):
        recipes.parse(ROW | {"dropout": given}, "test")
