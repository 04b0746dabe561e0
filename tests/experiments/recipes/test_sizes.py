"""Sizes of images over time: what a row may say of them, and what does not go together."""

import pytest

from experiments import recipes
from experiments.recipes import Images

ROW = {"recipe": "test/x", "data": {"name": "tiny_imagenet"}, "model": {"name": "resnet18"}}
SIZES = [[6, 32], [6, 48], [4, 64]]


def _row(**fields) -> recipes.Train:
    return recipes.parse(ROW | {"sizes": SIZES} | fields, "test")


@pytest.mark.parametrize("epochs", [{}, {"epochs": None}, {"epochs": 16}])
def test_epochs_are_those_of_all_sizes(epochs):
    row = _row(**epochs)
    assert row.epochs == 16 and row.last_size == 64
    assert recipes.parse(recipes.read(recipes.dump(row)), "test") == row


def test_a_row_without_sizes_has_that_of_its_data_all_the_time():
    row = _row(sizes=None, epochs=3)
    assert row.last_size is None and row.refresh == 0
    assert "sizes" not in recipes.dump(row)


def test_copies_are_made_like_the_data_unless_the_row_says_otherwise():
    assert _row().at(32) == Images(name="tiny_imagenet", size=32, resample="lanczos")
    assert _row(sizes_resample="box").at(32).resample == "box"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"epochs": 15}, "epochs: 15, but sizes have 16 epochs in all"),
        ({"data": {"name": "x", "size": 48}}, "sizes end at 64 pixels, but data.size is 48"),
        ({"distill": {"teacher": "a"}}, "distill and sizes do not go together"),
        ({"adversarial": {"folder": "a"}}, "adversarial and sizes do not go together"),
        ({"generated": {"run": "a", "per_class": 1}}, "generated and sizes do not go together"),
        ({"sizes": [[6, 32, 1]]}, r"sizes\.0: .*at most 2 items"),
        ({"sizes": [[0, 32]]}, r"sizes\.0\.0: .*greater than or equal to 1"),
        ({"sizes": []}, "sizes: .*at least 1 item"),
        ({"sizes": 32}, "sizes: .*valid list"),
        ({"sizes": None}, "epochs: Field required"),
        ({"sizes": None, "epochs": 2, "sizes_resample": "box"}, "give sizes too"),
        ({"sizes_resample": "area"}, "sizes_resample: .*'box'"),
        ({"refresh": -1}, "refresh: .*greater than or equal to 0"),
        (
            {"refresh": 2, "freeze": "body", "model": {"name": "resnet18", "weights": "timm"}},
            "refresh: 2 makes statistics anew that freeze: body keeps",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(fields, told):
    with pytest.raises(ValueError, match=told):
        _row(**fields)
