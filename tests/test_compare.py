"""Votes of finished runs, and the comparison of all of them, on members made by hand."""

import dataclasses
import json
import pathlib
import shutil
import types

import numpy as np
import pytest
import yaml
from rich.console import Console

from experiments import _ensembles, recipe
from experiments.cli import app
from experiments.cli._options import finished
from experiments.rows import Stack, Train
from stacking.vote import RULES

HOLDOUT = 0.2
DATA = {"name": "digits", "holdout": HOLDOUT}
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def digits():
    from experiments import datasets

    return datasets.load("digits")


def write_member(folder: pathlib.Path, digits, name: str, **changes) -> pathlib.Path:
    """Write the run of a member: a linear network that knows only some columns of the images."""
    import keras

    from experiments import evaluate, train
    from experiments._files import write_json

    row = Train(
        **{"recipe": f"test/{name}", "data": DATA, "model": {"name": "alphanet_v4"}, "epochs": 1}
        | changes
    )
    seen = train.training_part(row.data, digits)
    x = inputs = keras.Input(digits.image_shape)
    x = keras.layers.Flatten(name="pooled")(x)
    logits = keras.layers.Dense(len(digits.class_names), name="logits")(x)
    model = keras.Model(inputs, keras.layers.Softmax(name="probs")(logits))
    model.get_layer("logits").set_weights(_centroids(seen.train, column=int(name[-1])))
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(recipe.dump(row))
    model.save(folder / "model.keras")
    train.begin(folder, seen)
    scores = evaluate.write_outputs(folder, model, seen)
    line = {"epoch": 1, "seconds": 1.0, "images_per_second": 1.0, "val_top1": scores["top1"]}
    line |= dict.fromkeys(("loss", "top1", "val_loss"), 1.0)
    train.write_history(folder / "history.csv", [line])
    write_json(folder / "metrics.json", train.summary(row, model, [line], seen, scores))
    return folder


def _centroids(split, column: int) -> list[np.ndarray]:
    """Weights of the classifier by the nearest class mean, blind to an eighth of the width."""
    images = np.asarray(split.images, np.float32) / 255
    width = images.shape[2]
    seen = np.ones(images.shape[1:], np.float32)
    seen[:, column * width // 8 : (column + 3) * width // 8] = 0
    pixels = (images * seen).reshape(len(images), -1)
    means = np.stack([pixels[split.labels == label].mean(axis=0) for label in range(10)], axis=1)
    return [0.2 * means / 255, -0.1 * (means**2).sum(axis=0)]


@pytest.fixture(scope="module")
def runs(digits, tmp_path_factory) -> pathlib.Path:
    """A folder with the runs of three members that held images out, and of a stack of them."""
    from experiments import ensemble

    root = tmp_path_factory.mktemp("runs")
    folders = [write_member(root / f"m{i}", digits, f"m{i}") for i in range(3)]
    row = Stack(
        **{"recipe": "test/stack", "kind": "stack", "data": DATA, "epochs": 2},
        members=[str(folder) for folder in folders],
        head=[16],
    )
    members = ensemble.find_members(row, folders)
    ensemble.stack(row, root / "stack", members, digits, console=QUIET)
    return root


@pytest.fixture(scope="module")
def compared(runs, tmp_path_factory) -> list[dict]:
    """Lines of compare.csv as the command writes it."""
    out = tmp_path_factory.mktemp("compared")
    _run("ensemble", "compare", str(runs), "--out", str(out), "--repeats", "1")
    return _ensembles.read(out / "compare.csv")


def _run(*arguments: str) -> None:
    app(list(arguments), standalone_mode=False)


def _compare(folders, data, cache_dir, **options) -> dict[str, dict]:
    from experiments import compare

    members, stacks = compare.find_runs(folders)
    options = {"repeats": 0, "console": QUIET, "cache_dir": cache_dir} | options
    rows = compare.compare(members, stacks, data, **options)
    return {row["ensemble"]: row for row in rows}


def write_made_up(folder: pathlib.Path, probs, labels, **metrics) -> pathlib.Path:
    """Write what the comparison reads of a run without a model."""
    row = {"recipe": f"test/{folder.name}", "data": {"name": "digits"}, "epochs": 1}
    row = Train(**row, model={"name": "alphanet_v4"})
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(recipe.dump(row))
    (folder / "metrics.json").write_text(json.dumps({"parameters": 10, "macs": 100} | metrics))
    (folder / "dataset.json").write_text(json.dumps({"name": "digits", "train": 9}))
    np.savez(folder / "predictions.npz", probs=np.asarray(probs, np.float32), labels=labels)
    return folder


# The table ---------------------------------------------------------------------------------------

LABELS = np.array([0, 1, 2, 2])
SURE, TORN = 0.8, 0.5


def _decisions(classes, confidence: float) -> np.ndarray:
    """Probabilities of members that give their decision `confidence`, the others equal shares."""
    probs = np.full((len(classes), 3), (1 - confidence) / 2)
    probs[np.arange(len(classes)), classes] = confidence
    return probs


def test_known_answers_on_made_up_predictions(tmp_path):
    a = write_made_up(tmp_path / "a", _decisions([0, 1, 2, 0], TORN), LABELS)
    b = write_made_up(tmp_path / "b", _decisions([0, 0, 1, 0], SURE), LABELS, macs=50)
    c = write_made_up(tmp_path / "c", _decisions([0, 1, 2, 2], TORN), LABELS, parameters=7)
    rows = _compare([a, b, c], None, tmp_path)
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
    assert (rows["mode"]["parameters"], rows["mode"]["macs"]) == (27, 250)
    assert (rows["b"]["parameters"], rows["b"]["macs"]) == (10, 50)
    assert {row["n"] for row in rows.values()} == {4}


def test_every_rule_has_a_line(compared):
    from experiments import compare

    assert {rule.rule for rule in compare.RULES} == set(RULES)
    members = ["m0", "m1", "m2"]
    assert [row["ensemble"] for row in compared] == [
        *members,
        *(rule.name for rule in compare.RULES),
        "stack",
    ]
    assert all(40 < row["top1"] <= 100 for row in compared if row["kind"] == "member")


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
    stack = rows["stack"]
    # The head: 3 x 10 probabilities, 16 hidden units, 10 classes, with biases.
    assert stack["parameters"] == rows["mean"]["parameters"] + 31 * 16 + 17 * 10
    assert stack["disagreement"] == rows["mean"]["disagreement"]


def test_a_comparison_tells_where_it_comes_from(compared, digits):
    held_out = digits.holdout(HOLDOUT)[1]
    for row in compared:
        assert row["n"] == len(digits.validation) and row["fitted_on"] == len(held_out)
        assert row["device"] and row["date"] and row["command"].startswith("python -m experiments")


def test_without_held_out_images_weighted_rules_are_left_out_and_that_is_said(
    digits, tmp_path, capsys
):
    data = {"name": "digits"}
    for i in range(2):
        write_member(tmp_path / f"m{i}", digits, f"m{i}", data=data)
    _run("ensemble", "compare", str(tmp_path), "--repeats", "0")
    told = " ".join(capsys.readouterr().out.split())
    assert "--set data.holdout=0.1" in told
    rows = _ensembles.read(tmp_path / "compare" / "compare.csv")
    rules = [row["rule"] for row in rows if row["kind"] == "vote"]
    assert rules == [rule for rule, facts in RULES.items() if facts.weights != "needed"]
    assert all(row["weights"] == "" and row["fitted_on"] == 0 for row in rows)


def _relabelled(runs: pathlib.Path, folder: pathlib.Path, labels: np.ndarray) -> list[pathlib.Path]:
    """Copy the members as if they had been evaluated on images of other labels."""
    folders = [shutil.copytree(runs / f"m{i}", folder / f"m{i}") for i in range(3)]
    for run in folders:
        with np.load(run / "predictions.npz") as kept:
            probs = kept["probs"]
        np.savez(run / "predictions.npz", probs=probs, labels=labels)
    return folders


def test_what_is_fitted_never_sees_validation_labels(runs, digits, tmp_path):
    cache, members = tmp_path / "cache", [runs / f"m{i}" for i in range(3)]
    rows = _compare(members, digits, cache)
    weights = {name: row["weights"] for name, row in rows.items()}
    assert len(set(weights.values())) > 3

    labels = np.random.default_rng(0).permutation(digits.validation.labels)
    split = dataclasses.replace(digits.validation, labels=labels)
    shuffled = dataclasses.replace(digits, validation=split)
    again = _compare(_relabelled(runs, tmp_path, labels), shuffled, cache)
    assert {name: row["weights"] for name, row in again.items()} == weights
    assert all(again[name]["top1"] < row["top1"] for name, row in rows.items())

    # The test can fail: other labels of the held-out images do change what is fitted.
    _, held_out = digits.holdout(HOLDOUT)
    hard = held_out.labels.copy()
    hard[::2] = 0
    other = types.SimpleNamespace(
        holdout=lambda share: (None, dataclasses.replace(held_out, labels=hard)),
        validation=digits.validation,
    )
    changed = _compare(members, other, cache)
    assert changed["weighted mode (accuracy)"]["weights"] != weights["weighted mode (accuracy)"]


def test_members_outputs_are_computed_once(runs, digits, tmp_path):
    members = [runs / f"m{i}" for i in range(3)]
    _compare(members[:2], digits, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    _compare(members, digits, tmp_path)
    assert len(before) == 2 and len(list(tmp_path.iterdir())) == 3
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_runs_that_do_not_fit_are_refused(runs, digits, tmp_path):
    from experiments import compare

    with pytest.raises(ValueError, match="1; an ensemble has two members"):
        compare.find_runs([runs / "m0", runs / "m0", runs / "stack"])
    with pytest.raises(ValueError, match="stack with the member .*m2, which is not among"):
        compare.find_runs([runs / "m0", runs / "m1", runs / "stack"])
    other = write_member(tmp_path / "m1", digits, "m1", data={"name": "digits"})
    with pytest.raises(ValueError, match="need the same images"):
        compare.find_runs([runs / "m0", other])
    folders = _relabelled(runs, tmp_path / "copies", digits.validation.labels[::-1])
    with pytest.raises(ValueError, match="on other validation images"):
        _compare([runs / "m0", folders[1]], None, tmp_path)
    with pytest.raises(ValueError, match="other validation images than those of digits"):
        _compare(folders, digits, tmp_path)


def test_a_run_within_a_run_is_not_listed(tmp_path):
    for folder in ("a", "a/folds/0/m", "b", "c/experts/1"):
        write_made_up(tmp_path / folder, np.eye(3), np.arange(3))
    (tmp_path / "c" / "recipe.yaml").touch()
    assert finished(tmp_path) == [tmp_path / "a", tmp_path / "b"]
    assert finished(tmp_path / "a") == [tmp_path / "a"]
    assert finished(tmp_path / "a" / "folds") == [tmp_path / "a" / "folds" / "0" / "m"]


# Rows of kind vote -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"rule": "modes"}, "no rule 'modes'; did you mean mode"),
        ({"rule": "mode", "weights": "accuracy"}, "weighted_mode does"),
        ({"rule": "weighted_mean"}, "needs weights: accuracy, boosted or selected"),
        ({"weights": "best"}, "weights: .*'accuracy'"),
        ({"epochs": 2}, "epochs: .*Extra"),
        ({"members": []}, "members"),
    ],
)
def test_a_vote_that_does_not_fit_is_refused(tmp_path, changes, told):
    with pytest.raises(ValueError, match=told):
        recipe.load(str(_vote_recipe(tmp_path, ["a/b"], **changes)))


def _vote_recipe(folder: pathlib.Path, runs, **changes) -> pathlib.Path:
    path = folder / "vote.yaml"
    row = {"recipe": "test/vote", "kind": "vote", "data": {"name": "digits"}}
    path.write_text(yaml.safe_dump(row | {"members": [str(run) for run in runs]} | changes))
    return path


@pytest.fixture(scope="module")
def voted(runs, tmp_path_factory) -> pathlib.Path:
    """The run of a vote with weights, as the command makes it."""
    folder = tmp_path_factory.mktemp("voted")
    options = {"rule": "weighted_mode", "weights": "accuracy", "expect": {"top1": 60.9}}
    path = _vote_recipe(folder, [runs / f"m{i}" for i in range(3)], **options)
    _run("ensemble", "vote", str(path), "--run-dir", str(folder / "vote"))
    return folder / "vote"


def test_a_vote_is_a_run_without_model_and_history(voted, compared):
    files = {"recipe.yaml", "environment.json", "dataset.json", "metrics.json"}
    found = {path.name for path in voted.iterdir()} - {".lock"}
    assert found == files | {"predictions.npz", "samples.npz"}
    metrics = json.loads((voted / "metrics.json").read_text())
    line = next(row for row in compared if row["ensemble"] == "weighted mode (accuracy)")
    for key in ("top1", "top3", "top5", "loss", "parameters", "macs", "n"):
        assert metrics[key] == pytest.approx(line[key]), key
    assert metrics["kind"] == "vote" and metrics["expect"]["top1"] == 60.9
    assert sum(member["weight"] for member in metrics["members"]) == pytest.approx(1)
    assert recipe.load(str(voted / "recipe.yaml")).weights == "accuracy"


def test_the_ties_of_a_vote_survive_in_its_predictions(runs, tmp_path):
    path = _vote_recipe(tmp_path, [runs / "m0", runs / "m1"], rule="mode")
    _run("ensemble", "vote", str(path), "--run-dir", str(tmp_path / "vote"))
    metrics = json.loads((tmp_path / "vote" / "metrics.json").read_text())
    with np.load(tmp_path / "vote" / "predictions.npz") as kept:
        right = kept["probs"].argmax(axis=1) == kept["labels"]
        narrow = kept["probs"].astype(np.float32).argmax(axis=1) == kept["labels"]
    assert metrics["top1"] == pytest.approx(100 * right.mean())
    assert right.sum() > narrow.sum()  # two members tie wherever they differ


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate", "RUN"],
        ["predict", "RUN", "image.png"],
        ["export", "RUN", "--format", "keras"],
    ],
    ids=lambda command: command[0],
)
def test_what_needs_a_model_refuses_a_vote(voted, command):
    command = [str(voted) if word == "RUN" else word for word in command]
    with pytest.raises(ValueError, match="is a vote of its members and has no model"):
        _run(*command)


def test_a_command_names_the_one_for_rows_of_another_kind(tmp_path):
    path = str(_vote_recipe(tmp_path, ["a/b"]))
    for command in ("train", "stack"):
        with pytest.raises(ValueError, match="is of kind vote: python -m .* ensemble vote"):
            _run(command, path)
    with pytest.raises(ValueError, match="is of kind train: python -m experiments train"):
        _run("ensemble", "vote", "quickstart/member_a")


def test_weights_need_images_that_the_members_held_out(runs, digits, tmp_path):
    member = write_member(tmp_path / "m0", digits, "m0", data={"name": "digits"})
    path = _vote_recipe(tmp_path, [member], rule="weighted_mode", weights="boosted")
    with pytest.raises(ValueError, match="data.holdout=0.1, or vote with weights=none"):
        _run("ensemble", "vote", str(path), "--run-dir", str(tmp_path / "vote"))
    path = _vote_recipe(
        tmp_path, [runs / "m0", runs / "stack"], rule="weighted_mode", weights="boosted"
    )
    with pytest.raises(ValueError, match="stack is a stack, which was fitted on images"):
        _run("ensemble", "vote", str(path), "--run-dir", str(tmp_path / "vote"))
    assert not (tmp_path / "vote").exists()


# The report --------------------------------------------------------------------------------------


def test_a_report_shows_votes_and_comparisons(runs, voted, tmp_path):
    folder = shutil.copytree(runs, tmp_path / "runs")
    shutil.copytree(voted, folder / "vote")
    _run("ensemble", "compare", str(folder), "--repeats", "0")
    _run("report", str(folder), "--out", str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text()
    assert '<h2 id="ensembles">' in page and "vote of 3, " in page
    assert page.count("member of stack, vote") == 3
    section = page.split('<h2 id="ensembles">')[1].split("</section>")[0]
    assert section.count("greedy selection") == 2  # in the table and in the figure
    assert section.count("meaningless class mean") == 1
    assert '<th scope="row">stack' in section
    assert section.count('class="n ours"') >= 5  # the best of each column at least


def test_a_damaged_comparison_is_refused_by_name(tmp_path):
    path = tmp_path / "compare.csv"
    for text in ("", "ensemble,kind\na,member\n"):
        path.write_text(text)
        with pytest.raises(ValueError, match="compare.csv cannot be used"):
            _ensembles.section(path)


def test_the_best_values_are_those_that_look_best():
    row = dict.fromkeys((column.key for column in _ensembles.COLUMNS), 1.0)
    rows = [row | {"top1": 50.001, "loss": 0.5}, row | {"top1": 50.004}, row | {"top1": 49.9}]
    best = _ensembles.best(rows)
    assert {i for i, key in best if key == "top1"} == {0, 1}
    assert {i for i, key in best if key == "loss"} == {0}
    assert not {key for _, key in best} & {"macs", "parameters", "disagreement"}
