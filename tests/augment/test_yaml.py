"""YAML as YAML 1.2 reads it."""

import math

import pytest

from augment import _yaml

# Kept as it stands, though YAML 1.1 reads something else.
TEXTS = [
    "yes",
    "no",
    "on",
    "off",
    "y",
    "1_000",
    "12:30",
    "2020-01-01",
    "0b1",
    "tRue",
    "1e",
    "=",
    ".",
]
VALUES = {
    "1e-4": 1e-4,
    "1e4": 1e4,
    "1E+2": 100.0,
    ".5": 0.5,
    "1.": 1.0,
    "-2": -2,
    "+3": 3,
    "010": 10,
    "0o17": 15,
    "0x1f": 31,
    "true": True,
    "False": False,
    "null": None,
    "~": None,
    "": None,
    "'1e4'": "1e4",
    ".inf": math.inf,
    "[1, a]": [1, "a"],
    "{a: {b: 1e-3}}": {"a": {"b": 1e-3}},
    "{a: &x [1, 2], b: *x}": {"a": [1, 2], "b": [1, 2]},
    "{a: &x {b: 1}, c: {<<: *x, d: 2}}": {"a": {"b": 1}, "c": {"b": 1, "d": 2}},
}


@pytest.mark.parametrize("text", TEXTS)
def test_texts_stay_texts(text):
    assert _yaml.read(text) == text


@pytest.mark.parametrize(("text", "value"), VALUES.items())
def test_values_are_those_of_yaml_1_2(text, value):
    found = _yaml.read(text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    "value",
    [*TEXTS, *VALUES, 1e-4, 1e300, 0.1, -5, True, None, "", "a: b", "two\nlines", [], {}, "#", "é"],
)
def test_what_is_written_is_read_back(value):
    content = {"field": value, "inside": [{"again": value}]}
    found = _yaml.read(_yaml.write(content))
    assert found == content and type(found["field"]) is type(value)


def test_a_value_that_occurs_twice_is_written_out_twice():
    shared = {"name": "x"}
    assert "&" not in _yaml.write({"a": shared, "b": shared})


BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{a: 1, a: 2}", "line 1: 'a' stands twice"),
        ("a: 1\nb:\n  c: 1\n  'c': 2\n", "line 3: 'c' stands twice"),
        ("{1: 2}", "the key '1' is no text"),
        ("{true: 2}", "the key 'true' is no text"),
        ("{null: 2}", "the key 'null' is no text"),
        ("{? [a] : 2}", "is no text"),
        (BOMB, "aliases unfold to more than 50,000"),
        ("&a [*a]", "aliases unfold"),
        ("&a {b: *a}", "aliases unfold"),
        ("&a {<<: *a}", "aliases unfold"),
        ("[" * 5000, "not valid YAML"),
        ("[1", "not valid YAML"),
        ("--- a\n--- b\n", "not valid YAML"),
        ("*a", "not valid YAML"),
        ("!!python/object/apply:os.system [ls]", "line 1: .*os.system is nothing that is read"),
        ("!!timestamp x", "timestamp is nothing"),
        ("!!set {a}", "set is nothing"),
        ("!mine x", "!mine is nothing"),
        ("!!bool maybe", "not valid YAML"),
        ("!!int x", "invalid literal"),
        ("1" * 5000, "4300 digits"),
    ],
)
def test_what_recipes_do_not_need_is_refused(text, told):
    with pytest.raises(ValueError, match=told):
        _yaml.read(text)


def test_many_values_without_aliases_are_read_as_well_as_aliases_that_unfold_to_few():
    assert _yaml.read("{a: &x [1, 2, 3], b: [*x, *x, *x]}")["b"] == [[1, 2, 3]] * 3
    assert len(_yaml.read(f"[{', '.join(['x'] * 40_000)}]")) == 40_000
