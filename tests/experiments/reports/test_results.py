"""The table of results, and what the page says of each run."""

import json

import numpy as np
import pytest

from experiments import recipes
from experiments.reports.sections.runs import confused_pairs
from experiments.reports.words import between
from experiments.runs import Run, scores


def text(page) -> str:
    """All text of a page, white space collapsed."""
    return " ".join(" ".join(page.text).replace("\N{NO-BREAK SPACE}", " ").split())


def test_the_results_name_every_run_and_member(stacked):
    assert stacked.row(1, "alphanet_v4")[0] == "alphanet_v4 member of alphastack"
    assert stacked.row(1, "alphanet_v4c")[0].endswith("its run is not in this report")
    assert stacked.row(1, "alphanet_v4c")[1:6] == ["49.4", "60.0", "70.0", "–", "–"]
    assert stacked.row(1, "alphanet_v4c")[7] == "11,255,496"
    stack = stacked.row(1, "alphastack")
    assert stack[0] == "alphastack stack of 3, 1.6 points above its best member"
    assert stack[8:] == ["211.0", "3", "95.3", "–", "0:04:46"]


def test_each_accuracy_has_its_interval(make_run, page_of, tmp_path):
    found = page_of(make_run(tmp_path / "run", images=359, top1=96.1, epochs=2)).source
    top1 = 100 * round(359 * 0.961) / 359
    low, high = scores.interval(top1, 359)
    assert f">{low:.1f}–{high:.1f}<" in found and "95 % interval" in found


def test_runs_of_other_papers_are_no_members(make_run, page_of, tmp_path):
    member = {"name": "ghostnet", "run": "runs/laptop/ghostnet", "top1": 40.0, "parameters": 10}
    other = make_run(tmp_path / "other" / "ghostnet", "laptop/ghostnet", top1=60.0, epochs=1)
    vote = make_run(tmp_path / "laptop" / "mode", "laptop/mode", members=[member])
    page = page_of(other, vote)
    names = [" ".join(row[0].split()) for row in page.tables[0][1:]]
    assert names[:2] == ["ghostnet", "ghostnet member of mode, its run is not in this report"]


def test_a_heads_speed_is_told_apart_from_those_of_networks(make_run, page_of, tmp_path):
    network = make_run(tmp_path / "ghostnet", "laptop/ghostnet", epochs=2)
    stack = make_run(tmp_path / "stack", "laptop/stack", epochs=2, members=[])
    page = page_of(network, stack)
    assert page.row(0, "ghostnet")[11] == "1,123"
    assert page.row(0, "stack")[11] == "–"
    assert text(page).count("Head 1,123 images/s on cached outputs") == 1


def test_the_epoch_that_validation_images_chose_is_told(make_run, page_of, tmp_path):
    run = make_run(tmp_path / "run", epochs=30)
    metrics = json.loads((run / "metrics.json").read_text())
    last = f"{metrics['last_top1']:.1f}"
    assert float(last) < 47.7
    page = page_of(run)
    told = f"best of 30 epochs on these images, the last {last}"
    assert page.row(1, "alphanet_v4")[1] == f"47.7 {between(metrics)} {told}"
    assert f"Best epoch 24 of 30, chosen on these images; the last: {last} %" in text(page)
    # A run of an earlier version did not note it; the recipe and the history know.
    content = json.loads((run / "metrics.json").read_text())
    old = {key: value for key, value in content.items() if key not in ("keep", "last_top1")}
    (run / "metrics.json").write_text(json.dumps(old))
    assert page_of(run).tables == page.tables and page_of(run).text == page.text


def test_the_sizes_of_images_over_time_are_told(make_run, page_of, tmp_path):
    sizes = {"data.size": 64, "sizes": [[1, 32], [1, 64]], "epochs": 2}
    row = recipes.load("laptop/ghostnet", sizes)
    run = make_run(tmp_path / "run", row, epochs=2)
    assert "Epochs by size 1 x 32 px, 1 x 64 px" in text(page_of(run))


def test_an_epoch_that_nothing_chose_needs_no_note(make_run, page_of, tmp_path):
    row = recipes.load("alphanet/alphanet_v4", {"keep": "last"})
    for folder, options in (
        (tmp_path / "last", {"row": row, "epochs": 5}),
        (tmp_path / "single", {"epochs": 1}),
        (tmp_path / "vote", {"row": "laptop/mode", "members": []}),
    ):
        page = page_of(make_run(folder, **options))
        assert " on these images" not in text(page)
        assert page.source.count("the last is reported") == (folder.name == "last")


def test_scores_with_views_stand_beside_the_plain_ones(make_run, page_of, tmp_path):
    several = {"views": "shifts", "top1": 49.1, "top3": 70.2, "top5": 80.3, "loss": 1.0}
    plain = make_run(tmp_path / "plain", "alphanet/alphanet_v4b", top1=40.0, epochs=1)
    page = page_of(make_run(tmp_path / "run", epochs=1, with_views=several), plain)
    row = page.row(1, "alphanet_v4")
    assert row[1].startswith("47.7 ") and row[1].endswith(" 49.1 with shifts")
    assert row[2].endswith(" 70.2 with shifts") and row[3].endswith(" 80.3 with shifts")
    assert "with" not in page.row(1, "alphanet_v4b")[1]
    assert "47.7 % top-1, 49.1 with shifts" in text(page)
    assert "Best top-1 47.7 % alphanet_v4 49.1 with shifts" in text(page)
    assert "Top-k with shifts, the mean over 6 views of an image" in text(page)


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ("ema", "Averaged weights 51.3 %; the weights themselves 50.2 % "),
        ("raw", "Averaged weights 51.3 %; the weights themselves 50.2 %, which are reported "),
    ],
)
def test_which_weights_are_reported_is_told(weights, told, make_run, page_of, tmp_path):
    run = make_run(tmp_path / "run", epochs=2)
    assert "Averaged weights" not in text(page_of(run))
    content = json.loads((run / "metrics.json").read_text())
    content |= {"weights": weights, "raw_top1": 50.2, "ema_top1": 51.3}
    (run / "metrics.json").write_text(json.dumps(content))
    assert told in text(page_of(run))


def test_mistakes_and_views_are_shown_as_images(make_run, page_of, tmp_path):
    run = make_run(tmp_path / "run", epochs=2)
    page = page_of(run)
    samples = Run(run).samples
    # One image inside the confusion matrix; 24 mistakes; 6 originals with 5 views each.
    assert len(page.images) == 1 + 24 + 6 * 6
    true, wrong = samples["wrong_labels"][0], samples["wrong_predictions"][0]
    confidence = f"{100 * samples['wrong_confidence'][0]:.0f}"
    assert f"animal {true} → animal {wrong}, {confidence} %" in text(page)
    assert "the 24 most confident of 523" in text(page)


def test_confused_pairs_count_both_directions():
    confusion = np.array([[5, 2, 0], [3, 5, 1], [0, 0, 5]])
    assert confused_pairs(confusion) == [(0, 1, 2, 3), (1, 2, 1, 0)]
    assert confused_pairs(confusion, limit=1) == [(0, 1, 2, 3)]
    assert confused_pairs(np.eye(3, dtype=int)) == []


def named(name, **fields):
    """Return a row of no paper."""
    given = {"recipe": f"own/{name}", "data": {"name": "digits"}, "epochs": 5}
    return recipes.parse(given | {"model": {"name": "alphanet_v4"}} | fields, "test")


def column(page, table, row, title):
    """Return the cell of a row under a title."""
    heads = [" ".join(cell.split()) for cell in page.tables[table][0]]
    return page.row(table, row)[heads.index(title)]


def test_each_data_set_has_its_own_best(make_run, page_of, tmp_path):
    options = {"classes": 10, "images": 100, "epochs": 1}
    folders = [
        make_run(tmp_path / name, named(name, data={"name": data}), top1=top1, **options)
        for name, data, top1 in (("a", "digits", 90.0), ("b", "mnist", 60.0), ("c", "mnist", 50.0))
    ]
    page = page_of(*folders)
    assert [column(page, 0, name, "Data") for name in "abc"] == ["digits", "mnist", "mnist"]
    assert page.source.count('<td class="n ours">90.0') == 1
    assert page.source.count('<td class="n ours">60.0') == 1
    assert '<td class="n ours">50.0' not in page.source
    assert "Best top-1 90.0 / 60.0 % digits: a mnist: b Data digits, mnist" in text(page)
    assert "mnist: 10 classes, 1,000 and 100 images, 64×64×3" in text(page)
    alone = page_of(folders[1])
    assert "Data" not in [" ".join(cell.split()) for cell in alone.tables[0][0]]


@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_gap_is_that_of_the_epoch_that_is_reported(make_run, page_of, tmp_path, keep):
    run = make_run(tmp_path / "run", named("net", keep=keep), top1=60.0, images=100, epochs=5)
    page = page_of(run)
    history = Run(run).history
    epoch = {"best": 4, "last": 5}[keep]  # of what the factory writes
    train = history["top1"][epoch - 1]
    assert history["val_top1"][epoch - 1] == pytest.approx(60.0)
    assert column(page, 0, "net", "Training top-1, %") == f"{train:.1f}"
    told = f"{train - 60:+.1f}".replace("-", "\N{MINUS SIGN}")
    assert column(page, 0, "net", "Gap points") == told


def test_images_to_30_percent_are_told_where_they_were_counted(make_run, page_of, tmp_path):
    options = {"classes": 10, "images": 100, "epochs": 1}
    counted = {"images_to_30": 12_800, "images_to_30_window": 50}
    folders = [
        make_run(tmp_path / "fast", named("fast"), **counted, **options),
        make_run(tmp_path / "slow", named("slow"), **counted | {"images_to_30": None}, **options),
        make_run(tmp_path / "old", named("old"), **options),
    ]
    page = page_of(*folders)
    found = [column(page, 0, name, "Images to 30 %") for name in ("fast", "slow", "old")]
    assert found == ["12,800 by 50 batches", "never by 50 batches", "–"]
    assert "Images to 30" not in page_of(folders[2]).source
