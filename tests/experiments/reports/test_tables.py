"""Comparisons of ensembles and robustness cards, as the page shows them."""

import csv

import pytest

from experiments.reports import report
from experiments.reports.sections import ensembles, robustness

PLACE = {"device": "cpu", "date": "2026-11-21T10:00:00", "command": "python -m experiments"}


def write(path, rows):
    """Write rows as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(row | PLACE for row in rows)


def choice(name, kind, top1, rule="", **with_views):
    """Return a line of a comparison."""
    told = {"ensemble": name, "kind": kind, "rule": rule, "weights": "", "n": 500, "fitted_on": 0}
    columns = [one for one in ensembles.COLUMNS if one not in ensembles.OPTIONAL]
    numbers = dict.fromkeys((column.key for column in columns), 1.0)
    timed = {"latency_ms": "", "images_per_second": ""}
    return told | numbers | {"top1": top1, "macs": 1e6} | with_views | timed | PLACE


@pytest.fixture
def comparison(tmp_path):
    """Comparison of a member that is called like a rule, a vote, and the rule that is none."""
    path = tmp_path / "compare.csv"
    write(
        path,
        [
            choice("meaningless net", "member", 48.0),
            choice("mean", "vote", 50.5, "mean"),
            choice("mean of numbers", "vote", 8.0, ensembles.NOT_DRAWN),
        ],
    )
    return path


def test_what_is_left_out_of_the_figure_is_known_by_its_rule(comparison):
    figure = ensembles.figure(ensembles.read(comparison))
    names = {text.get_text() for text in figure.axes[0].texts}
    assert names == {"meaningless net", "mean"}


def test_the_page_shows_a_comparison(make_run, page_of, comparison, tmp_path):
    make_run(tmp_path / "runs", epochs=1)
    page = page_of(tmp_path)
    heads = [" ".join(cell.split()) for cell in page.tables[2][0]]
    assert heads[:2] == ["Decided by", "top-1 %"] and "latency ms" not in heads
    assert page.row(2, "mean")[:2] == ["mean vote", "50.50"]
    assert "The members held no images out" in page.source
    assert page.source.count('class="n ours">50.50') == 1


def test_a_comparison_with_views_shows_both(make_run, page_of, tmp_path):
    lines = [
        choice("net", "member", 48.0, top1_mirror=49.0),
        choice("mean", "vote", 50.5, "mean", top1_mirror=50.25),
    ]
    write(tmp_path / "compare.csv", lines)
    make_run(tmp_path / "runs", epochs=1)
    page = page_of(tmp_path)
    heads = [" ".join(cell.split()) for cell in page.tables[2][0]]
    assert heads[:4] == ["Decided by", "top-1 %", "with mirror %", "top-3 %"]
    assert page.row(2, "net")[:3] == ["net member", "48.00", "49.00"]
    assert page.row(2, "mean")[:3] == ["mean vote", "50.50", "50.25"]
    for best in ("50.50", "50.25"):  # each of its own column
        assert page.source.count(f'class="n ours">{best}') == 1
    assert "with mirror, the mean over 2 views of an image" in page.source
    assert "shifts" not in page.source


def test_a_damaged_comparison_is_refused_by_name(tmp_path):
    path = tmp_path / "compare.csv"
    for text in ("", "ensemble,kind\na,member\n"):
        path.write_text(text)
        with pytest.raises(ValueError, match="compare.csv cannot be used"):
            ensembles.read(path)


def test_the_best_values_are_those_that_look_best():
    row = dict.fromkeys((column.key for column in ensembles.COLUMNS), 1.0)
    rows = [row | {"top1": 50.001, "loss": 0.5}, row | {"top1": 50.004}, row | {"top1": 49.9}]
    best = ensembles.best(rows)
    assert {i for i, key in best if key == "top1"} == {0, 1}
    assert {i for i, key in best if key == "loss"} == {0}
    assert not {key for _, key in best} & {"macs", "parameters", "disagreement"}


@pytest.fixture
def card(tmp_path):
    """Card of two models, two epsilons and one corruption of two severities."""
    path, rows = tmp_path / "robustness.csv", []
    measures = [("clean", 0), ("fgsm", 1), ("pgd", 1), ("fgsm", 8), ("pgd", 8), ("jpeg", 1)]
    for start, model in ((90, "one"), (80, "vote: mean")):
        for less, (measure, strength) in enumerate([*measures, ("jpeg", 2)]):
            told = {"model": model, "measure": measure, "strength": strength, "n": 60, "seed": 3}
            rows.append(told | {"top1": start - 5 * less} | PLACE)
    write(path, rows)
    return path


def test_a_card_knows_models_by_measure(card):
    read = robustness.Card(robustness.read(card))
    assert (read.n, read.models) == (60, ["one", "vote: mean"])
    assert (read.clean("one"), read.attacked("one", "pgd", 8.0)) == (90, 70)
    assert read.corrupted("one", "jpeg") == read.mean_corrupted("one") == 62.5
    axes = robustness.figure(read).axes[0]
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--"] * 2
    assert axes.lines[0].get_ydata().tolist() == [90, 85, 75]


def test_the_page_shows_a_card(make_run, page_of, card, tmp_path):
    make_run(tmp_path / "run", epochs=1)
    page = page_of(tmp_path)
    assert [" ".join(c.split()) for c in page.tables[2][0]][1:4] == ["Clean", "FGSM 1", "PGD 1"]
    assert page.row(2, "one")[1:] == ["90.0", "85.0", "80.0", "75.0", "70.0", "62.5"]
    assert page.row(3, "jpeg")[1:] == ["62.5", "52.5"]
    assert "2026-11-21, seed 3:" in page.source


def test_figures_of_tables_are_kept_beside_the_page(make_run, comparison, card, tmp_path):
    make_run(tmp_path / "run", epochs=1)
    written = report([tmp_path], tmp_path, plots=True)
    assert tmp_path / "plots" in written.plots
    names = {path.name for path in (tmp_path / "plots").iterdir()}
    assert names == {"ensembles0.png", "robustness0.png"}


def test_a_folder_may_hold_a_study_alone(make_run, page_of, card, tmp_path):
    run, alone = make_run(tmp_path / "run", epochs=1), tmp_path / "robust"
    alone.mkdir()
    card.rename(alone / card.name)
    assert "robustness" in page_of(run, alone).ids
    assert "robustness" in page_of(alone).ids
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no finished run"):
        page_of(tmp_path / "empty")


def test_a_damaged_card_is_named(tmp_path):
    (tmp_path / "robustness.csv").write_text("model,measure\none,clean\n")
    with pytest.raises(ValueError, match=r"robustness.csv cannot be used \(no n, strength, top1\)"):
        robustness.read(tmp_path / "robustness.csv")
