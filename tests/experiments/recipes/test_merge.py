"""How a row comes about: base, what it is like, its own fields, `--set`."""

import pytest

from experiments import recipes
from experiments.recipes.fitting import Constant

ROW = "alphanet/alphanet_v4"


# Base and like -----------------------------------------------------------------------------------


def test_a_row_is_like_another_one_merged_deeply(resolve):
    rows = {
        "a": {"like": "b", "optimizer": {"learning_rate": 0.5}, "model": {"dense": 64}},
        "b": {
            "optimizer": {"name": "sgd", "momentum": 0.9},
            "model": {"name": "alphanet_v4", "filters": [8, 8, 8, 8, 8]},
            "seed": 4,
        },
    }
    row = resolve(rows, share={"holdout": 0.1})
    assert row.optimizer.model_dump(exclude_none=True) == {
        "name": "sgd",
        "learning_rate": 0.5,
        "momentum": 0.9,
    }
    assert row.model == {"name": "alphanet_v4", "filters": [8, 8, 8, 8, 8], "dense": 64}
    assert (row.seed, row.epochs, row.share.holdout) == (4, 3, 0.1)


def test_like_goes_over_several_rows_and_over_base(resolve):
    rows = {"a": {"like": "b"}, "b": {"like": "c", "batch_size": 7}, "c": {"epochs": 9, "seed": 5}}
    row = resolve(rows, batch_size=1, epochs=2, seed=3)
    assert (row.batch_size, row.epochs, row.seed) == (7, 9, 5)
    assert row.recipe == "p/a"


def test_what_is_said_of_one_row_is_not_handed_on(resolve):
    said = {"expect": {"top1": 50.0}, "note": "a note", "title": "A title", "seed": 3}
    row = resolve({"a": {"like": "b"}, "b": said})
    assert (row.expect, row.note, row.title, row.seed) == (None, "", "", 3)
    first = resolve({"a": {"like": "b"}, "b": said}, "b")
    assert (first.expect.top1, first.note, first.title) == (50.0, "a note", "A title")


def test_a_mapping_that_names_another_thing_starts_anew(resolve):
    base = {
        "model": {"name": "alphanet_v4", "filters": [8, 8, 8, 8, 16]},
        "schedule": {"name": "plateau", "patience": 2, "factor": 0.5},
        "optimizer": {"name": "adam", "learning_rate": 0.01, "beta_1": 0.8},
    }
    changes = {
        "model": {"name": "resnet18"},
        "schedule": {"name": "constant"},
        "optimizer": {"name": "sgd"},
    }
    row = resolve({"a": changes}, **base)
    assert row.model == {"name": "resnet18"}
    assert row.schedule == Constant()
    assert row.optimizer.model_dump(exclude_none=True) == {"name": "sgd", "learning_rate": 0.001}
    same = resolve({"a": {"optimizer": {"name": "adam", "learning_rate": 0.1}}}, **base)
    kept = {"name": "adam", "learning_rate": 0.1, "beta_1": 0.8}
    assert same.optimizer.model_dump(exclude_none=True) == kept
    like = resolve({"a": {"like": "b", "optimizer": {"name": "sgd"}}, "b": None}, **base)
    assert like.optimizer.learning_rate == 0.001


@pytest.mark.parametrize("where", ["row", "like", "base", "set", "file"])
def test_a_name_alone_stands_for_what_has_that_name(where, resolve):
    said = {"data": "folder", "model": "resnet18", "optimizer": "sgd", "schedule": "cosine"}
    rows = {"a": {}, "b": {}}
    if where == "like":
        rows = {"a": {"like": "b", "model": {"dropout": 0.5}}, "b": said}
    elif where == "row":
        rows["a"] = said
    row = resolve(rows, **(said if where == "base" else {}))
    if where == "set":
        row = recipes.load(ROW, said)
    elif where == "file":
        row = recipes.parse({"recipe": "test/own", "epochs": 1} | said, "own.yaml")
    assert row.data.name == "folder" and row.optimizer.name == "sgd"
    assert row.model == {"name": "resnet18"} | ({"dropout": 0.5} if where == "like" else {})
    assert row.schedule.name == "cosine"
    assert recipes.parse(row.model_dump(exclude_none=True), "again") == row


def test_a_kind_takes_of_base_what_it_has(resolve):
    row = resolve({"a": {"kind": "vote", "members": ["b"]}, "b": None}, seed=3, batch_size=2)
    assert row.kind == "vote" and not hasattr(row, "seed")
    with pytest.raises(ValueError, match="row a:\n  epochs: Extra"):
        resolve({"a": {"kind": "vote", "members": ["b"], "epochs": 3}, "b": None})


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ({"a": {"like": "c"}}, "p.yaml, row a: like 'c': there is no such row"),
        ({"a": {"like": None}}, "like None: there is no such row"),
        ({"a": {"like": ["b"]}, "b": None}, r"like \['b'\]: there is no such row"),
        ({"a": {"like": "a"}}, "like goes in a circle: a -> a"),
        ({"a": {"like": "b"}, "b": {"like": "c"}, "c": {"like": "b"}}, "circle: a -> b -> c -> b"),
        ({"a": {"like": "b"}, "b": {"like": "c"}}, "row b: like 'c'"),
    ],
)
def test_like_must_lead_somewhere(rows, told, resolve):
    with pytest.raises(ValueError, match=told):
        resolve(rows)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({}, "p.yaml: rows: a mapping"),
        ({"rows": []}, "p.yaml: rows: a mapping"),
        ({"rows": {"a": None}, "base": {"epoch": 3}}, "base: no kind of row has a epoch; did you"),
        ({"rows": {"a": None}, "base": {"recipe": "p/x"}}, "base: no kind of row has a recipe"),
        ({"rows": {"a": None}, "base": {"like": "a"}}, "base: no kind of row has a like"),
        ({"rows": {"a": None}, "base": ["epochs"]}, r"base: fields are needed \(got \['epochs'\]"),
        ({"rows": {"a": None}, "base": 5}, "base: fields are needed"),
        ({"rows": {"a": "alphanet_v4"}}, r"row a: fields are needed \(got 'alphanet_v4'\)"),
        ({"rows": {"a": None}, "bases": {}}, "p.yaml: a paper has no bases; did you mean base"),
    ],
)
def test_a_paper_that_says_nothing_of_use_is_refused(content, told):
    with pytest.raises(ValueError, match=told):
        recipes.checked_paper(content, "p.yaml")


# --set -------------------------------------------------------------------------------------------


def test_set_takes_yaml_values():
    texts = [
        "epochs=2",
        "data.size=72",
        "augment=null",
        "keep=last",
        "optimizer.learning_rate=1e-4",
    ]
    assert recipes.parse_set([*texts, "note=yes", "title=a=b", " seed = 3", "expect="]) == {
        "epochs": 2,
        "data.size": 72,
        "augment": None,
        "keep": "last",
        "optimizer.learning_rate": 1e-4,
        "note": "yes",
        "title": "a=b",
        "seed": 3,
        "expect": None,
    }


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["epochs"], "--set 'epochs': write FIELD=VALUE"),
        (["=2"], "write FIELD=VALUE"),
        (["data..size=2"], "write FIELD=VALUE"),
        ([".size=2"], "write FIELD=VALUE"),
        (["epochs=2", "epochs=3"], "--set epochs is given twice"),
        (["epochs=2", "epochs =2"], "--set epochs is given twice"),
        (["model={name: x"], "--set 'model={name: x': not valid YAML"),
        (["model={a: 1, a: 2}"], "'a' stands twice"),
    ],
)
def test_set_that_cannot_be_read_is_named(texts, told):
    with pytest.raises(ValueError, match=told):
        recipes.parse_set(texts)


def test_set_replaces_a_field_inside_and_a_whole_mapping():
    row = recipes.load(ROW, {"optimizer.learning_rate": 0.5, "model.dense": 64, "data.size": 72})
    assert row.optimizer.model_dump(exclude_none=True) == {"name": "adam", "learning_rate": 0.5}
    assert row.model == {"name": "alphanet_v4", "dense": 64}
    assert (row.data.name, row.data.size) == ("tiny_imagenet", 72)
    row = recipes.load(ROW, {"optimizer": {"name": "sgd"}, "early_stop": None})
    assert row.optimizer.model_dump(exclude_none=True) == {"name": "sgd", "learning_rate": 0.001}
    assert row.early_stop is None
    row = recipes.load("quickstart/member_a", {"model": {"name": "alphanet_v4"}})
    assert row.model == {"name": "alphanet_v4"}  # nothing of the recipe's own filters is left


def test_set_leaves_the_paper_as_it_is():
    before = recipes.load(ROW)
    recipes.load(ROW, {"model.dense": 64, "optimizer.learning_rate": 0.5})
    assert recipes.load(ROW) == before


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"optimizer": {}, "optimizer.name": "sgd"}, "--set optimizer and --set optimizer.name"),
        ({"epochs.x": 2}, "--set epochs.x: epochs is 300, which has no fields"),
        ({"model.name.x": 2}, "--set model.name.x: name is 'alphanet_v4'"),
        ({"epoch": 2}, "alphanet.yaml, row alphanet_v4:\n  epoch: .*did you mean epochs"),
        ({"data.holdout": 0.1}, "data.holdout: .*; it is share.holdout"),
        ({"holdout": 0.1}, "holdout: .*; it is share.holdout"),
        ({"epochs": 0}, "alphanet.yaml, row alphanet_v4:\n  epochs: .*1 .got 0"),
        ({"epochs": True}, "epochs: .*got True"),
        ({"epochs": 2.0}, "epochs: .*got 2.0"),
        ({"epochs": "2"}, "epochs: .*got '2'"),
        ({"optimizer.learning_rate": True}, "optimizer.learning_rate: .*got True"),
        ({"optimizer.learning_rate": -1}, "optimizer.learning_rate"),
        ({"data.size": "big"}, "data.size"),
        ({"jit": "yes"}, "jit"),
        ({"seed": 2**32}, "seed"),
        ({"kind": "votes"}, "no kind of row 'votes'; did you mean vote"),
    ],
)
def test_set_that_does_not_fit_names_file_row_and_field(overrides, told):
    with pytest.raises(ValueError, match=told):
        recipes.load(ROW, overrides)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    "field",
    [
        "optimizer.learning_rate",
        "optimizer.momentum",
        "model.dropout",
        "share.holdout",
        "expect.top1",
    ],
)
def test_numbers_are_finite(field, value):
    with pytest.raises(ValueError, match=rf"row alphanet_v4(.*\n)* *{field}.*(nan|inf)"):
        recipes.load(ROW, {field: value})


def test_numbers_in_lists_are_finite():
    with pytest.raises(ValueError, match="model.filters"):
        recipes.load(ROW, {"model.filters": [8, [float("nan")]]})
