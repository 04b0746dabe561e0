"""Rows beside others: what differs, and what earlier versions wrote."""

import pytest

from experiments import recipes

ROWS = [row.recipe for paper in recipes.papers() for row in recipes.rows(paper).values()]


def test_differences_name_each_field():
    old, new = recipes.load("alphanet/alphanet_v4"), recipes.load("alphanet/alphanet_v4b")
    changed = recipes.differences(old, new)
    assert "seed: 0 -> 1" in changed
    assert "model.name: alphanet_v4 -> alphanet_v4b" in changed
    assert not recipes.differences(old, old)


@pytest.mark.parametrize("name", ROWS)
def test_a_paper_s_own_row_is_unchanged(name):
    row = recipes.load(name)
    assert recipes.changes(row) == []
    assert recipes.changes(recipes.parse(recipes.read(recipes.dump(row)), "dumped")) == []


@pytest.mark.parametrize(
    ("name", "overrides", "changed"),
    [
        ("laptop/ghostnet", {"epochs": 2, "seed": 9, "jit": False}, ["epochs: 30 -> 2"]),
        ("laptop/ghostnet", {"data.size": 32}, ["data.size: None -> 32"]),
        ("laptop/ghostnet", {"precision": "float32"}, []),
        (
            "laptop/ghostnet",
            {"precision": "mixed_bfloat16"},
            ["precision: auto -> mixed_bfloat16"],
        ),
        ("laptop/ghostnet", {"title": "x", "note": "y", "expect": {"top1": 3}}, []),
        ("laptop/ghostnet", {"test_views": "mirror"}, []),
        ("laptop/mode", {"members": ["r/ghostnet", "alphanet", "/q/simplenet"]}, []),
        (
            "laptop/mode",
            {"members": ["r/ghostnet", "alphanet", "r/other"]},
            ["members: ['ghostnet', 'alphanet', 'simplenet'] -> ['ghostnet', 'alphanet', 'other']"],
        ),
        ("laptop/distilled", {"distill.teacher": "runs/laptop/stack"}, []),
        ("laptop/experts", {"member": "runs/laptop/ghostnet"}, []),
        ("laptop/experts", {"member": "simplenet"}, ["member: ghostnet -> simplenet"]),
    ],
)
def test_changes_are_those_that_matter(name, overrides, changed):
    assert recipes.changes(recipes.load(name, overrides)) == changed


@pytest.mark.parametrize("recipe", ["laptop/none", "nowhere/ghostnet", "ghostnet"])
def test_a_row_of_no_paper_has_none_to_differ_from(recipe):
    assert recipes.changes(recipes.load("laptop/ghostnet", {"recipe": recipe})) is None


# What earlier versions wrote ---------------------------------------------------------------------


def _earlier(row: recipes.Row) -> dict:
    """Return a row's content as it was written when `data` held the share, and `plateau` a rate."""
    content = row.model_dump(exclude_none=True)
    content["data"] |= content.pop("share", {})
    schedule = content.get("schedule", {"name": "constant"})
    # The others are of today, as a plateau whose least gain is a share is.
    earlier = schedule["name"] in ("constant", "plateau") and not schedule.get("relative")
    if earlier:
        content.pop("schedule", None)
    if earlier and schedule["name"] == "plateau":
        content["plateau"] = {k: schedule[k] for k in ("patience", "factor", "monitor", "min_lr")}
    if "early_stop" in content:
        content["early_stop"] = {k: content["early_stop"][k] for k in ("patience", "monitor")}
    return content


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_earlier_versions_are_those_of_today(name):
    row = recipes.load(name)
    assert recipes.parse(_earlier(row), "earlier") == row
    assert recipes.changes(recipes.parse(_earlier(row), "earlier")) == []


def test_a_fold_of_earlier_versions_is_a_share_and_a_stack_has_none():
    content = _earlier(recipes.load("laptop/ghostnet"))
    content["data"] |= {"folds": 3, "fold": 1}
    share = recipes.parse(content, "earlier").share
    assert (share.holdout, share.folds, share.fold) == (0.1, 3, 1)
    content = _earlier(recipes.load("laptop/stack"))
    content["data"]["holdout"] = 0.1
    assert recipes.parse(content, "earlier") == recipes.load("laptop/stack")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"share": {"holdout": 0.1}, "data": {"name": "digits", "holdout": 0.2}}, "data.holdout"),
        ({"schedule": {"name": "constant"}, "plateau": {"patience": 3, "factor": 0.5}}, "plateau"),
        ({"plateau": 5}, "plateau"),
    ],
)
def test_old_and_new_do_not_mix(more, told):
    content = {"recipe": "p/a", "data": {"name": "digits"}, "model": {"name": "alphanet_v4"}}
    with pytest.raises(ValueError, match=told):
        recipes.parse({**content, "epochs": 1, **more}, "mixed")


def test_a_plateau_that_was_none_is_a_constant_rate():
    content = {"recipe": "p/a", "data": {"name": "digits"}, "model": {"name": "alphanet_v4"}}
    assert recipes.parse({**content, "epochs": 1, "plateau": None}, "x").schedule.name == "constant"
