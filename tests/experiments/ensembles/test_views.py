"""Stacks and comparisons with views: every answer plain and with the mirror image."""

import numpy as np
import pytest

import stacking
import zoo
from experiments import cli
from experiments.ensembles import compare as comparisons
from experiments.ensembles import stack as stacks
from experiments.ensembles import vote as votes
from experiments.reports.sections import ensembles
from experiments.runs import Run, scores, tables
from experiments.studies.evaluate import of_run
from experiments.training.predict import predict_probs


@pytest.fixture(scope="module")
def seen(place, members, a_row) -> Run:
    """The finished run of a stack that was scored with the mirror image as well."""
    fields = {"members": ["m0", "m1", "m2"], "head": [16], "epochs": 2, "test_views": "mirror"}
    row = a_row("seen", kind="stack", **fields)
    stacks.run(row, place.folder(row), place)
    return Run(place.folder(row))


@pytest.fixture(scope="module")
def mirrored(digits):
    """Return a run's probabilities averaged over the images and their mirror images."""

    def ask(run: Run) -> np.ndarray:
        model, images = zoo.load(run.model_file), digits.validation.images
        both = [predict_probs(model, np.ascontiguousarray(x)) for x in (images, images[:, :, ::-1])]
        return (both[0] + both[1]) / 2

    return ask


def test_a_stack_with_views_asks_the_whole_model(seen, mirrored, digits):
    told = dict(seen.check().metrics["with_views"])
    assert told.pop("views") == "mirror"
    expected = scores.accuracy(mirrored(seen), digits.validation.labels)
    assert told == pytest.approx(expected, rel=1e-5)
    assert told["top1"] != seen.metrics["top1"]
    assert seen.metrics["top1"] == 100 * np.mean(seen.probs.argmax(axis=1) == seen.labels)


def test_evaluation_gives_the_numbers_that_the_run_wrote(seen, place):
    found = of_run(seen, place, views="mirror")
    told = dict(seen.metrics["with_views"])
    assert found.views == told.pop("views") == "mirror"
    assert found.with_views == pytest.approx(told, rel=1e-5)
    plain = {key: seen.metrics[key] for key in ("top1", "top3", "top5", "loss")}
    assert found.scores == pytest.approx(plain, rel=1e-5)
    assert found.by_class_with_views.keys() == found.by_class.keys()
    assert found.by_class_with_views != found.by_class
    assert of_run(seen, place).with_views == {}


@pytest.fixture(scope="module")
def compared(members, seen, tmp_path_factory) -> dict[str, dict]:
    """Lines of compare.csv as the command with --views writes it."""
    out = tmp_path_factory.mktemp("compared")
    folders = [str(run.path) for run in (*members, seen)]
    command = ["compare", *folders, "--views", "mirror", "--out", str(out), "--repeats", "0"]
    cli.app(command, standalone_mode=False)
    return {row["ensemble"]: row for row in ensembles.read(out / tables.COMPARISON)}


def test_every_line_of_a_comparison_has_both(compared, members, seen, mirrored, digits, place):
    labels, held = digits.validation.labels, digits.holdout(0.2)[1]
    models = {member.name: zoo.load(member.model_file) for member in members}
    said = stacking.member_outputs(models, held.images)  # weights: of plain, held-out images
    plain = np.stack([member.probs for member in members], axis=1)
    several = np.stack([mirrored(member) for member in members], axis=1)
    for rule in comparisons.RULES:
        weights = votes.WEIGHTS[rule.weights](said, held.labels) if rule.weights else None
        for key, probs in (("top1", plain), ("top1_mirror", several)):
            voted = stacking.vote(probs, rule.rule, weights)
            top1 = 100 * np.mean(voted.argmax(axis=1) == labels)
            assert compared[rule.name][key] == pytest.approx(top1), (rule, key)
    for run in (*members, seen):
        top1 = scores.accuracy(mirrored(run), labels)["top1"]
        assert compared[run.name]["top1_mirror"] == pytest.approx(top1)
        assert compared[run.name]["top1"] == pytest.approx(run.metrics["top1"])
    # The test can fail: the mirror image changes what is decided.
    assert any(row["top1_mirror"] != row["top1"] for row in compared.values())
    assert compared["seen"]["top1_mirror"] == pytest.approx(seen.metrics["with_views"]["top1"])


def test_what_is_plain_of_a_comparison_is_as_without_views(
    compared, members, seen, place, tmp_path
):
    rows = comparisons.compare([*members, seen], place, tmp_path, repeats=0)
    for row in rows:
        assert "top1_mirror" not in row
        for key in ("top1", "top5", "loss", "calibration_error", "weights", "disagreement"):
            assert compared[row["ensemble"]][key] == row[key], (row["ensemble"], key)


def test_members_that_held_nothing_out_are_compared_with_views(write_member, place, tmp_path):
    share = {"share": {"holdout": 0.0}}
    runs = [write_member(tmp_path / name, name, **share) for name in ("m0", "m1")]
    rows = comparisons.compare(runs, place, tmp_path / "cache", views="shifts", repeats=0)
    assert all(0 < row["top1_shifts"] <= 100 and row["fitted_on"] == 0 for row in rows)
    with pytest.raises(ValueError, match="no views 'flip'; there are none, mirror, shifts"):
        comparisons.compare(runs, place, tmp_path / "cache", views="flip")
