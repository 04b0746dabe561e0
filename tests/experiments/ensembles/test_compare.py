"""The table of all that finished runs can be together, on members made by hand."""

import dataclasses
import io
import shutil

import numpy as np
import pytest
from rich.console import Console

import stacking
from experiments import cli, reports
from experiments._files import read_json, write_json
from experiments.cli import _runs
from experiments.ensembles import compare as comparisons
from experiments.ensembles import vote as votes
from experiments.place import Place
from experiments.reports.sections import ensembles
from experiments.runs import Run, find, names, outputs, scores, tables
from stacking.vote import RULES


@pytest.fixture
def compare(place, tmp_path):
    """Compare runs without times: (runs, **options) -> rows by name, in their order."""

    def make(runs, **options):
        options = {"repeats": 0} | options
        rows = comparisons.compare(runs, place, tmp_path / "cache", **options)
        return {row["ensemble"]: row for row in rows}

    return make


@pytest.fixture(scope="module")
def compared(members, stack, tmp_path_factory) -> list[dict]:
    """Lines of compare.csv as the command writes it, with times."""
    out = tmp_path_factory.mktemp("compared")
    folders = [str(run.path) for run in (*members, stack)]
    command = ["compare", *folders, "--out", str(out), "--repeats", "1"]
    cli.app(command, standalone_mode=False)
    return ensembles.read(out / tables.COMPARISON)


# Known answers -----------------------------------------------------------------------------------

LABELS = np.array([0, 1, 2, 2])
SURE, TORN = 0.8, 0.5


def decisions(classes, confidence: float) -> np.ndarray:
    """Probabilities of members that give their decision `confidence`, the others equal shares."""
    probs = np.full((len(classes), 3), (1 - confidence) / 2)
    probs[np.arange(len(classes)), classes] = confidence
    return probs


@pytest.fixture
def made_up(make_run, a_row, tmp_path):
    """Write a run with these probabilities of four images, and no model."""

    def write(name: str, probs: np.ndarray, **metrics) -> Run:
        cost = {"parameters": 10, "macs": 100}
        row = a_row(name, share={"holdout": 0.0})
        folder = make_run(tmp_path / name, row, classes=3, images=4, **cost | metrics)
        outputs.write(folder / names.PREDICTIONS, probs=probs.astype(np.float32), labels=LABELS)
        return Run(folder)

    return write


def test_known_answers_on_made_up_predictions(made_up, compare):
    a = made_up("a", decisions([0, 1, 2, 0], TORN))
    b = made_up("b", decisions([0, 0, 1, 0], SURE), macs=50)
    c = made_up("c", decisions([0, 1, 2, 2], TORN), parameters=7)
    rows = compare([a, b, c])
    top1 = {name: row["top1"] for name, row in rows.items()}
    # By the mean b, which is sure, outweighs both others (0.8 + 2 x 0.25 against 0.1 + 2 x 0.5).
    # Rounded means of class numbers: 0, round(2/3) = 1, round(5/3) = 2, round(2/3) = 1.
    expected = {"a": 75, "b": 25, "c": 100, "mode": 75, "mean": 25}
    assert top1 == expected | {"meaningless class mean": 75}
    # a and b differ on two of four images, a and c on one, b and c on three.
    apart = {name: row["disagreement"] for name, row in rows.items()}
    assert apart["a"] == 37.5 and apart["b"] == 62.5 and apart["mean"] == 50
    assert rows["b"]["loss"] == pytest.approx(-np.log([SURE, 0.1, 0.1, 0.1]).mean())
    # b is right on one image of four at confidence 0.8, all in one bin.
    assert rows["b"]["calibration_error"] == pytest.approx(55, abs=1e-4)
    # c is the best member, right on all four; b is wrong on three of them: p = 2 / 2**3.
    told = {name: row["p_best_member"] for name, row in rows.items()}
    assert (told["b"], told["a"], told["c"]) == (0.25, 1.0, "")
    assert (rows["a"]["top1_low"], rows["a"]["top1_high"]) == scores.interval(75, 4)
    assert (rows["mode"]["parameters"], rows["mode"]["macs"]) == (27, 250)
    assert (rows["b"]["parameters"], rows["b"]["macs"]) == (10, 50)
    assert {row["n"] for row in rows.values()} == {4}
    assert {row["latency_ms"] for row in rows.values()} == {""}


def test_nothing_held_out_leaves_weighted_rules_out_and_that_is_said(made_up, compare, told):
    listener = told()
    runs = [made_up(name, decisions([0, 1, 2, 0], TORN)) for name in "ab"]
    rows = compare(runs, listener=listener)
    assert listener.texts == [comparisons.NOTHING_HELD_OUT]
    assert "--set share.holdout=0.1" in comparisons.NOTHING_HELD_OUT
    rules = [row["rule"] for row in rows.values() if row["kind"] == "vote"]
    assert rules == [rule for rule, facts in RULES.items() if facts.weights != "needed"]
    assert all(row["weights"] == "" and row["fitted_on"] == 0 for row in rows.values())


# The table ---------------------------------------------------------------------------------------


def test_every_rule_every_member_and_every_stack_has_a_line(compared):
    assert {rule.rule for rule in comparisons.RULES} == set(RULES)
    rules = [rule.name for rule in comparisons.RULES]
    assert [row["ensemble"] for row in compared] == ["m0", "m1", "m2", *rules, "stack"]
    assert [row["kind"] for row in compared] == ["member"] * 3 + ["vote"] * len(rules) + ["stack"]
    assert all(40 < row["top1"] <= 100 for row in compared if row["kind"] == "member")


def test_lines_are_those_of_the_runs(compare, members, stack, digits):
    """Votes read what runs kept, and weights come from the images that the members held out."""
    rows, held = compare([*members, stack]), digits.holdout(0.2)[1]
    probs = np.stack([member.probs for member in members], axis=1)
    import zoo

    models = {member.name: zoo.load(member.model_file) for member in members}
    said = stacking.member_outputs(models, held.images)
    for rule in comparisons.RULES:
        weights = votes.WEIGHTS[rule.weights](said, held.labels) if rule.weights else None
        voted = stacking.vote(probs, rule.rule, weights)
        top1 = 100 * np.mean(voted.argmax(axis=1) == members[0].labels)
        assert rows[rule.name]["top1"] == pytest.approx(top1), rule
        assert bool(rows[rule.name]["weights"]) == bool(rule.weights)
    for run in (*members, stack):
        for key in ("top1", "top3", "top5", "loss", "parameters", "macs"):
            assert rows[run.name][key] == pytest.approx(run.metrics[key]), (run, key)
    assert {row["fitted_on"] for row in rows.values()} == {len(held)}


def test_an_ensemble_costs_the_sum_of_the_members_it_asks(compared):
    rows = {row["ensemble"]: row for row in compared}
    members = [rows[name] for name in ("m0", "m1", "m2")]
    for key in ("parameters", "macs"):
        assert rows["mean"][key] == sum(member[key] for member in members)
        asked = [m for m in members if m["ensemble"] in rows["greedy selection"]["weights"]]
        assert rows["greedy selection"][key] == sum(member[key] for member in asked)
    # One file holds all digits of the times that were added.
    latency = sum(member["latency_ms"] for member in members)
    assert rows["mean"]["latency_ms"] == pytest.approx(latency)
    per_image = sum(1 / member["images_per_second"] for member in members)
    assert rows["mean"]["images_per_second"] == pytest.approx(1 / per_image)
    # The head: 3 x 10 probabilities, 16 hidden units, 10 classes, with biases.
    assert rows["stack"]["parameters"] == rows["mean"]["parameters"] + 31 * 16 + 17 * 10
    assert rows["stack"]["disagreement"] == rows["mean"]["disagreement"]


def test_a_comparison_tells_where_it_comes_from(compared, digits):
    for row in compared:
        assert row["n"] == len(digits.validation)
        assert row["fitted_on"] == len(digits.holdout(0.2)[1])
        assert row["device"] and row["date"] and row["command"].startswith("python -m experiments")


def relabeled(members, folder, labels: np.ndarray) -> list[Run]:
    """Copy the members as if they had been evaluated on images of other labels."""
    runs = [Run(shutil.copytree(run.path, folder / run.name)) for run in members]
    for run in runs:
        outputs.write(run.path / names.PREDICTIONS, probs=run.probs, labels=labels)
    return [Run(run.path) for run in runs]


def test_what_is_fitted_never_sees_validation_labels(
    members, compare, digits, tmp_path, monkeypatch
):
    rows = compare(members)
    weights = {name: row["weights"] for name, row in rows.items()}
    assert len(set(weights.values())) > 3

    labels = np.random.default_rng(0).permutation(digits.validation.labels)
    split = dataclasses.replace(digits.validation, labels=labels)
    shuffled = dataclasses.replace(digits, validation=split)
    with monkeypatch.context() as patch:
        patch.setattr(Place, "dataset", lambda *_: shuffled)
        again = compare(relabeled(members, tmp_path, labels))
    assert {name: row["weights"] for name, row in again.items()} == weights
    assert all(again[name]["top1"] < row["top1"] for name, row in rows.items())

    # The test can fail: other labels of the held-out images do change what is fitted.
    _, held = digits.holdout(0.2)
    hard = held.labels.copy()
    hard[::2] = 0
    monkeypatch.setattr(votes, "held_out", lambda *_: dataclasses.replace(held, labels=hard))
    changed = compare(members)
    assert changed["weighted mode (accuracy)"]["weights"] != weights["weighted mode (accuracy)"]


def test_members_outputs_are_computed_once(members, compare, tmp_path):
    compare(members[:2])
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    compare(members)
    assert len(before) == 2 and len(list((tmp_path / "cache").iterdir())) == 3
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


# Rules that cannot be fitted ---------------------------------------------------------------------


def test_a_rule_that_cannot_be_fitted_says_so_and_the_others_stand(
    write_member, place, tmp_path, capsys
):
    """Members that know nothing are right about a class: shares can be told, boosting is lost."""
    runs = [write_member(tmp_path / name, name, knows=False) for name in ("m0", "m1")]
    out = tmp_path / "compare"
    command = ["compare", *(str(run) for run in runs), "--out", str(out), "--repeats", "0"]
    cli.app(command, standalone_mode=False)
    rows = {row["ensemble"]: row for row in ensembles.read(out / tables.COMPARISON)}
    boosted = {"weighted mode (boosted)", "weighted mean (boosted)"}
    assert {name for name, row in rows.items() if row["top1"] == ""} == boosted
    for name in boosted:
        assert rows[name]["weights"].startswith("not fitted: the best member is right on ")
        assert {rows[name].get(column.key, "") for column in ensembles.COLUMNS} == {""}
        assert rows[name]["kind"] == "vote" and rows[name]["n"] == rows["mean"]["n"]
    assert rows["greedy selection"]["weights"] == "m0 1.000"
    assert len(rows) == 2 + len(comparisons.RULES)

    told = " ".join(capsys.readouterr().out.split())
    assert told.count("not fitted: the best member is right on") == 2
    text = io.StringIO()
    Console(file=text, width=200).print(_runs.comparison(list(rows.values()), 200))
    (line,) = [x for x in text.getvalue().splitlines() if x.startswith(" weighted mode (boosted)")]
    assert line.split() == ["weighted", "mode", "(boosted)"]

    page = reports.report([tmp_path], tmp_path / "page.html").page.read_text()
    section = page.split('<h2 id="ensembles">')[1].split("</section>")[0]
    cells = section.split('<th scope="row">weighted mean (boosted)')[1].split("</tr>")[0]
    assert "not fitted: the best member is right on" in cells
    assert cells.count('<td class="n">–</td>') == cells.count("<td") > 0
    # Nothing is drawn of it: it stands in the table alone.
    assert section.count("weighted mean (boosted)") == 1
    assert section.count("greedy selection") == 2


# Runs that do not fit ----------------------------------------------------------------------------


def test_runs_that_do_not_fit_are_refused(
    members, stack, compare, shares_nothing, digits, tmp_path
):
    one, two, _ = members
    with pytest.raises(ValueError, match="1; an ensemble has two members"):
        compare([one, stack])
    assert len(find([one.path, one.path])) == 1
    with pytest.raises(ValueError, match="stack with the member .*m2, which is not among"):
        compare([one, two, stack])
    with pytest.raises(ValueError, match="what one held out the other has seen"):
        compare([one, shares_nothing])
    turned = relabeled(members[:2], tmp_path / "copies", digits.validation.labels[::-1])
    with pytest.raises(ValueError, match="on other validation images"):
        compare([one, turned[1]])


@pytest.fixture
def shares_nothing(write_member, tmp_path) -> Run:
    """A member that saw every training image."""
    return write_member(tmp_path / "seen" / "m1", "m1", share={"holdout": 0.0})


@pytest.mark.parametrize("which", ["m1", "stack"])
def test_classes_are_compared(which, members, stack, compare, tmp_path):
    runs = {run.name: run for run in (*members, stack)}
    runs[which] = Run(shutil.copytree(runs[which].path, tmp_path / which))
    described = read_json(runs[which].path / names.DATASET)
    described["class_names"].append(described["class_names"].pop(0))
    write_json(runs[which].path / names.DATASET, described)
    with pytest.raises(ValueError, match=f"{which} and .* other images or classes .class 0 is"):
        compare(list(runs.values()))


def test_votes_and_runs_within_runs_are_no_members(members, stack, make_run, a_row, tmp_path):
    for run in members:
        shutil.copytree(run.path, tmp_path / run.name)
        shutil.copytree(run.path, tmp_path / "m0" / "folds" / run.name)
    make_run(tmp_path / "vote", a_row("vote", kind="vote", members=["m0"]))
    found = find([tmp_path])
    assert [run.folder for run in found] == ["m0", "m1", "m2", "vote"]
    rows = comparisons.compare(found, Place(), tmp_path / "cache", repeats=0)
    assert [row["ensemble"] for row in rows if row["kind"] == "member"] == ["m0", "m1", "m2"]
    assert not [row for row in rows if row["ensemble"] == "vote"]
