"""The table of kinds: every line names what exists."""

import inspect
import typing

import pytest

from experiments import recipes
from experiments.recipes import KINDS, kinds

FUNCTIONS = [
    pytest.param(name, id=f"{kind}.{field}")
    for kind, line in KINDS.items()
    for field in ("run", "check", "work", "prepare", "parts")
    if (name := getattr(line, field))
]


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_s_key_is_what_its_rows_say(name):
    kind = KINDS[name].schema.model_fields["kind"].annotation
    assert typing.get_args(kind) == (name,)
    assert issubclass(KINDS[name].schema, recipes.Row)


@pytest.mark.parametrize("name", KINDS)
def test_what_a_kind_needs_are_fields_of_its_rows(name):
    for field in KINDS[name].needs:
        part = KINDS[name].schema
        for word in field.split("."):
            assert word in part.model_fields, field
            types = [part.model_fields[word].annotation]
            types += typing.get_args(types[0])
            part = next((one for one in types if hasattr(one, "model_fields")), None)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_that_a_kind_names_is_there(name):
    assert inspect.isfunction(kinds.function(name))


@pytest.mark.parametrize("name", KINDS)
def test_there_is_a_row_of_every_kind(name):
    rows = [row for paper in recipes.papers() for row in recipes.rows(paper).values()]
    assert any(row.kind == name for row in rows)
    assert KINDS[name].about


@pytest.mark.parametrize(
    ("name", "changes", "needed"),
    [
        ("laptop/ghostnet", {}, []),
        ("laptop/distilled", {}, ["stack"]),
        ("laptop/distilled", {"distill.teacher": "runs/a/b"}, ["runs/a/b"]),
        ("laptop/stack", {}, ["ghostnet", "alphanet", "simplenet"]),
        ("laptop/mode", {"members": ["x", "/y/z"]}, ["x", "/y/z"]),
        ("laptop/experts", {}, ["ghostnet"]),
    ],
)
def test_what_a_row_needs(name, changes, needed):
    assert recipes.needed(recipes.load(name, changes)) == needed


@pytest.mark.parametrize(
    ("name", "made_of", "model"),
    [
        ("laptop/alphanet", "alphanet_v4", "alphanet_v4"),
        ("laptop/stack", "3 members", "ghostnet+alphanet+simplenet"),
        ("laptop/mode", "3 members", "ghostnet+alphanet+simplenet"),
        ("laptop/experts", "5 experts", "ghostnet"),
    ],
)
def test_what_a_row_is_made_of(name, made_of, model):
    row = recipes.load(name)
    assert (row.made_of, row.model_name) == (made_of, model)
