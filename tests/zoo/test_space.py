"""Spaces of what varies: what they may say, and what is refused by name."""

import pytest

from zoo import _space

RATE = {"min": 1e-4, "max": 1e-2, "sampling": "log"}


def test_a_space_is_read_with_what_depends_after_what_it_depends_on():
    space = _space.parse(
        {
            "momentum": {"choices": [0.8, 0.9], "when": {"optimizer": "sgd"}},
            "rate": RATE,
            "optimizer": ["adam", "sgd"],
            "nesterov": {"choices": [False, True], "when": {"momentum": [0.8, 0.9]}},
            "width": {"min": 8, "max": 32, "step": 8},
        }
    )
    assert [one.name for one in space] == ["rate", "optimizer", "momentum", "nesterov", "width"]
    by_name = {one.name: one for one in space}
    assert by_name["rate"].bounds == (1e-4, 1e-2) and by_name["rate"].logarithmic
    assert by_name["width"].whole and not by_name["rate"].whole
    assert by_name["momentum"].when == {"optimizer": ("sgd",)}
    first = _space.chosen(space, lambda one: one.bounds[0])
    assert first == {"rate": 1e-4, "optimizer": "adam", "width": 8}
    last = _space.chosen(space, lambda one: one.bounds[-1])
    assert last["momentum"] == 0.9 and last["nesterov"] is True


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({}, "name what varies"),
        ([], "name what varies"),
        ({"a": 3}, "space.a: 3: give {min: ..., max: ...} or a list of choices"),
        ({"a": []}, "space.a: choices .*: give a list of one or more"),
        ({"a": [1, 2, 1]}, "space.a: the choice 1 is given twice"),
        ({"a": {"min": 1}}, "space.a: max None: give a number"),
        ({"a": {"min": "1", "max": 2}}, "space.a: min '1': give a number"),
        ({"a": {"min": True, "max": 2}}, "space.a: min True: give a number"),
        ({"a": {"min": 0, "max": float("inf")}}, "space.a: max inf"),
        ({"a": {"min": 2, "max": 2}}, "space.a: min 2 is not below max 2"),
        ({"a": {"min": 1, "max": 2, "samplng": "log"}}, "space.a: no samplng"),
        ({"a": {"choices": [1], "min": 0}}, "space.a: no min; there are choices, when"),
        ({"a": {"min": 1, "max": 2, "sampling": "lin"}}, "sampling 'lin'; there are linear, log"),
        ({"a": {"min": 0, "max": 2, "sampling": "log"}}, "needs a min above 0, not 0"),
        ({"a": {"min": 1, "max": 2, "step": 0}}, "step 0: give a number above 0"),
        ({"a": {"min": 1, "max": 8, "step": 0.5}}, "step 0.5 between whole numbers"),
        ({"a": RATE | {"step": 1.0}}, "step 1.0: give a factor above 1"),
        ({"a": RATE | {"sampling": "reverse_log", "step": 2}}, "takes no step"),
        ({"a": RATE | {"when": {"b": 1}}, "b": RATE}, "when b: it is no choice of this space"),
        ({"a": RATE | {"when": {"b": 3}}, "b": [1, 2]}, "when b: 3 is none of its choices"),
        (
            {"a": {"choices": [1], "when": {"b": 1}}, "b": {"choices": [1], "when": {"a": 1}}},
            "the conditions of a, b go in a circle",
        ),
    ],
)
def test_a_wrong_space_is_refused_by_name(space, told):
    with pytest.raises(ValueError, match=told):
        _space.parse(space)


@pytest.mark.parametrize(
    ("space", "points"),
    [
        ({"a": [1, 2, 3], "b": [None, "B"]}, 6),
        ({"a": {"min": 1, "max": 9}}, 9),
        ({"a": {"min": 1, "max": 9, "step": 3}}, 3),
        ({"a": {"min": 0.0, "max": 1.0, "step": 0.1}}, 11),
        ({"a": {"min": 0.001, "max": 10.0, "step": 10, "sampling": "log"}}, 5),
        ({"a": RATE}, 10),
        ({"o": ["adam", "sgd"], "m": {"choices": [0.8, 0.9], "when": {"o": "sgd"}}}, 3),
        ({"o": ["adam", "sgd"], "m": {"choices": [0, 1], "when": {"o": "sgd"}}, "b": [1, 2]}, 6),
    ],
)
def test_a_grid_is_counted(space, points):
    assert _space.points(_space.parse(space)) == points


@pytest.mark.parametrize(
    ("choices", "codes"),
    [
        ([32, 64], [32, 64]),
        (["adam", "sgd"], ["adam", "sgd"]),
        ([0.0, 0.9], [0.0, 0.9]),
        # Keras Tuner makes a number of a truth value, and takes nothing else.
        ([False, True], [0, 1]),
        ([None, "B"], [0, 1]),
        ([[64], [64, 64], {"flip": 0.5}], [0, 1, 2]),
        ([1, 2.5], [0, 1]),
    ],
)
def test_choices_of_every_type_come_back_as_they_were(choices, codes):
    (one,) = _space.parse({"a": choices})
    assert _space.codes_of(one) == codes
    back = [_space.decoded(one, code) for code in codes]
    assert back == choices and [type(x) for x in back] == [type(x) for x in choices]
