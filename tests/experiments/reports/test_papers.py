"""The papers' table: the status of each row, and what takes it away."""

import json

import pytest

from experiments import recipes
from experiments.runs import metrics

FULL = {"classes": 200, "images": 10_000, "epochs": 2}
SMALL = {"classes": 3, "images": 60, "epochs": 2}


def test_the_papers_table_tells_each_rows_status(stacked):
    found = [row[0].split()[0] for row in stacked.tables[0][2:]]
    # Of the other papers nothing was run, so none of their rows appears.
    rows = recipes.rows("alphanet")
    assert found == [name for name, row in rows.items() if row.expect or row.note]
    assert stacked.row(0, "alphanet_v1")[1:4] == ["36.0", "–", "○ not run"]
    assert stacked.row(0, "alphanet_v4")[1:4] == ["47.7", "48.0", "✓ reproduced top-1 +0.3 points"]
    assert stacked.row(0, "alphanet_v4b")[1:4] == ["47.6", "46.0", "▼ below top-1 −1.6 points"]
    assert stacked.row(0, "alphastack")[1:4] == ["50.7", "51.0", "✓ reproduced top-1 +0.3 points"]
    # No training accuracy of these is published; ours is shown.
    assert stacked.row(0, "alphanet_v4")[4:8] == ["48.0", "+0.0", "102", "30"]


CHANGES = {
    "model.name": "alphanet_v1",
    "augment": None,
    "epochs": 1,
    "data.size": 32,
    "share.holdout": 0.5,
}


@pytest.mark.parametrize("field", CHANGES)
def test_a_changed_row_is_marked_and_not_judged(make_run, page_of, tmp_path, field):
    row = recipes.load("alphanet/alphanet_v4", {field: CHANGES[field]})
    found = page_of(make_run(tmp_path / "run", row, top1=90.0, **SMALL))
    told = "; ".join(recipes.changes(row))
    assert f"{field}: " in told
    assert found.row(0, "alphanet_v4")[3] == f"Δ changed {told}"
    assert f"Changed {told}" in " ".join(" ".join(found.text).split())


def test_an_unchanged_row_says_nothing_of_changes(stacked):
    assert "Δ" not in "".join(stacked.text)


def members(*folders, **more):
    """Say of members what an ensemble's metrics say."""
    told = [(folder, json.loads((folder / "metrics.json").read_text())) for folder in folders]
    return [metrics.of_member(folder.name, folder, found, **more) for folder, found in told]


@pytest.mark.parametrize("known", ["told", "in the report", "beside it", "where it was"])
def test_an_ensemble_of_a_changed_member_is_marked(make_run, page_of, tmp_path, known):
    row = recipes.load("alphanet/alphanet_v4", {"epochs": 2})
    place = "elsewhere" if known == "where it was" else "runs"
    member = make_run(tmp_path / place / "alphanet_v4", row, **SMALL)
    found = members(member, **({"changed": ["epochs: 300 -> 2"]} if known == "told" else {}))
    if known != "where it was":
        found[0]["run"] = "lost/alphanet_v4"
    if known == "told":
        found[0]["name"] = "v4"
    stack = make_run(tmp_path / "runs" / "stack", "alphanet/alphastack", members=found, **SMALL)
    page = page_of(stack, *([member] if known == "in the report" else []))
    assert page.row(0, "alphastack")[3] == (
        f"Δ changed its member {found[0]['name']} was changed: epochs: 300 -> 2"
    )


def test_a_folder_that_is_another_run_says_nothing_of_a_member(make_run, page_of, tmp_path):
    row = recipes.load("alphanet/alphanet_v4", {"epochs": 2})
    found = members(make_run(tmp_path / "alphanet_v4", row, **SMALL))
    found[0]["top1"] += 1  # that run was made again since
    stack = make_run(tmp_path / "stack", "alphanet/alphastack", top1=51, members=found, **FULL)
    assert page_of(stack).row(0, "alphastack")[3].startswith("✓ reproduced")
    (tmp_path / "alphanet_v4" / "recipe.yaml").write_text("recipe: [")
    assert page_of(stack).row(0, "alphastack")[3].startswith("✓ reproduced")


def test_experts_of_a_changed_clean_run_are_marked(make_run, page_of, tmp_path):
    row = recipes.load("laptop/ghostnet", {"epochs": 2})
    scores = {"adversarial": 20.0, "adversarial_validation": 21.0}
    clean = members(make_run(tmp_path / "ghostnet", row, epochs=2))[0] | scores
    # The experts themselves differ from the row that they began as; that is what they are.
    expert = clean | {"name": "expert 1", "run": str(tmp_path / "experts" / "experts" / "01")}
    made = {"members": [expert], "clean": clean, "expect": {"top1": 40.0}, **scores}
    page = page_of(make_run(tmp_path / "experts", "laptop/experts", **made))
    assert page.row(0, "experts")[3] == "Δ changed its member ghostnet was changed: epochs: 30 -> 2"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"classes": 10}, "10 of 200 classes"),
        ({"classes": 200, "images": 400}, "400 of 10,000 validation images"),
        (FULL | {"train": 400}, "400 of 100,000 training images"),
    ],
)
def test_another_task_is_not_compared(make_run, page_of, tmp_path, changes, reason):
    page = page_of(make_run(tmp_path / "run", **{"epochs": 2, **changes}))
    assert page.row(0, "alphanet_v4")[3] == f"≠ not comparable {reason}"


def own(**fields):
    """Return a row of no paper."""
    row = {"recipe": "own/alphanet_v4", "data": {"name": "tiny_imagenet"}, "epochs": 2}
    return recipes.parse(row | {"model": {"name": "alphanet_v4"}} | fields, "test")


def test_another_data_set_is_not_compared(make_run, page_of, tmp_path):
    row = own(data={"name": "digits"}, expect={"top1": 40.0, "dataset": "tiny_imagenet"})
    page = page_of(make_run(tmp_path / "run", row, epochs=2))
    told = "≠ not comparable run on digits, published on tiny_imagenet"
    assert page.row(0, "alphanet_v4")[3] == told


@pytest.mark.parametrize(
    ("share", "train", "status"),
    [
        ({"holdout": 0.1}, 90_000, "✓"),
        ({"holdout": 0.1, "folds": 5, "fold": 1}, 72_000, "✓"),
        ({"holdout": 0.1}, 89_900, "✓"),  # a share is rounded for each of 200 classes
        ({"holdout": 0.1}, 45_000, "≠"),
        ({}, 99_999, "≠"),
    ],
)
def test_the_recipes_own_share_of_the_images_is_no_other_task(
    make_run, page_of, tmp_path, share, train, status
):
    row = own(share=share, expect={"top1": 47.7})
    page = page_of(make_run(tmp_path / "run", row, train=train, **FULL))
    assert page.row(0, "alphanet_v4")[3][0] == status


def test_a_run_brings_its_own_published_values(make_run, page_of, tmp_path):
    run = make_run(tmp_path / "run", own(data={"name": "folder"}), epochs=2, expect={"top1": 48.1})
    page = page_of(run, title="My own title")
    assert page.row(0, "alphanet_v4")[3] == "✓ reproduced top-1 −0.4 points"
    assert "<title>My own title</title>" in page.source


def seen(views, top1):
    """Say in metrics what was scored with views."""
    return {"with_views": {"views": views, "top1": top1, "top3": 70.0, "top5": 80.0, "loss": 1.0}}


@pytest.mark.parametrize(
    ("views", "top1", "ours", "told"),
    [
        ("mirror", 50.4, "50.4 with mirror, 48.0 plain", "✓ reproduced top-1 with mirror +0.4"),
        ("mirror", 49.0, "49.0 with mirror, 48.0 plain", "▼ below top-1 with mirror −1.0"),
        ("shifts", 50.4, "– 48.0 plain", "≠ not comparable published with mirror: run it with"),
        (None, None, "– 48.0 plain", "≠ not comparable published with mirror: run it with"),
    ],
)
def test_a_goal_with_views_is_held_against_what_was_scored_with_them(
    make_run, page_of, tmp_path, views, top1, ours, told
):
    row = own(expect={"top1": 50.0, "views": "mirror"})
    scored = seen(views, top1) if views else {}
    page = page_of(make_run(tmp_path / "run", row, top1=48.0, **scored, **FULL))
    cells = page.row(0, "alphanet_v4")
    assert cells[1:3] == ["50.0 with mirror", ours]
    assert cells[3].startswith(told)


def test_a_plain_goal_is_held_against_the_plain_score(make_run, page_of, tmp_path):
    row = own(expect={"top1": 50.0})
    page = page_of(make_run(tmp_path / "run", row, top1=48.0, **seen("mirror", 50.4), **FULL))
    told = ["50.0", "48.0 50.4 with mirror", "▼ below top-1 −2.0 points"]
    assert page.row(0, "alphanet_v4")[1:4] == told


def test_twelve_runs_of_one_row_are_told_apart(make_run, page_of, tmp_path):
    options = {"classes": 3, "images": 60, "epochs": 3}
    page = page_of(*(make_run(tmp_path / f"s{i}", seed=i, **options) for i in range(12)))
    for i in range(12):
        assert page.source.count(f'">alphanet_v4 (s{i})</a>') == 1
        assert any(row[0] == f"alphanet_v4 alphanet_v4 (s{i})" for row in page.tables[0])


@pytest.mark.parametrize(
    ("expect", "told"),
    [
        ({"top1": 46.0}, "▲ above top-1 +1.7 points"),
        ({"top1": 46.0, "tolerance": 2.0}, "✓ reproduced top-1 +1.7 points"),
        ({"top1": 46.0, "top5": 99.0}, "▼ below"),
        ({"top1": 3.9, "target": False}, "· no target"),
    ],
)
def test_above_by_more_than_the_tolerance_and_no_target(make_run, page_of, tmp_path, expect, told):
    page = page_of(make_run(tmp_path / "run", own(expect=expect), **FULL))
    assert page.row(0, "alphanet_v4")[3].startswith(told)


def test_the_gap_of_what_was_published_stands_beside_ours(make_run, page_of, tmp_path):
    row = own(expect={"top1": 47.7, "train_top1": 60.0}, keep="last")
    page = page_of(make_run(tmp_path / "run", row, **FULL))
    train = json.loads((tmp_path / "run" / "metrics.json").read_text())["train_top1"]
    assert [" ".join(cell.split()) for cell in page.tables[0][0]] == [
        *("Row", "Top-1, %", "Status", "Training top-1, %", "Gap, points")
    ]
    gap = f"{train - 47.7:+.1f}".replace("-", "\N{MINUS SIGN}")
    assert page.row(0, "alphanet_v4")[4:] == ["60.0", f"{train:.1f}", "+12.3", gap]


def test_what_a_row_says_of_itself_is_shown_whether_it_was_run_or_not(
    make_run, page_of, tmp_path, monkeypatch
):
    known = recipes.rows("alphanet")
    lacking = known["bravonet_v2"].model_copy(
        update={"note": "its weights need a download", "expect": None}
    )
    monkeypatch.setattr(recipes, "rows", lambda paper: known | {"bravonet_v2": lacking})
    page = page_of(make_run(tmp_path / "run", **FULL))
    line = page.row(0, "bravonet_v2")
    assert line[0] == "bravonet_v2 its weights need a download"
    assert line[1:4] == ["–", "–", "○ not run"]
    row = own(note="boxes and images were paired wrongly", expect={"top1": 4.0, "target": False})
    page = page_of(make_run(tmp_path / "other", row, **FULL))
    assert page.row(0, "alphanet_v4")[0].endswith("boxes and images were paired wrongly")
