"""Recipes, the feed, exact resuming, stacks of runs and the command line."""

import csv
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml

from experiments import recipe
from experiments.rows import Distill

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROWS = [row.recipe for paper in recipe.papers() for row in recipe.rows(paper).values()]

# A network and a data set small enough that an epoch takes a second.
SMALL = {
    "data": {"name": "digits", "holdout": 0.2},
    "model": {"name": "alphanet_v4", "filters": [8, 8, 8, 8, 16], "dense": 16},
    "augment": "C",
    "batch_size": 256,
    "epochs": 4,
    "optimizer": {"name": "adam", "learning_rate": 0.01},
    "early_stop": {"patience": 3},
    "plateau": {"patience": 1, "factor": 0.5},
}


# Recipes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ROWS)
def test_a_resolved_row_is_itself_a_recipe(name, tmp_path):
    row = recipe.load(name)
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.dump(row))
    assert recipe.load(str(path)) == row


@pytest.mark.parametrize("name", ROWS)
def test_a_row_names_what_exists(name):
    from experiments import datasets

    row = recipe.load(name)
    assert row.data.name in datasets.names()
    if row.kind == "stack":
        assert set(row.members) <= recipe.rows(name.partition("/")[0]).keys()


@pytest.mark.parametrize(
    ("name", "overrides", "told"),
    [
        ("alphanet/alphanet_v9", {}, "did you mean alphanet_v4"),
        ("alphanets/alphanet_v4", {}, "did you mean alphanet"),
        ("alphanet_v4", {}, "PAPER/ROW"),
        ("missing.yaml", {}, "no recipe file"),
        ("alphanet/alphanet_v4", {"epoch": 2}, "epoch: .*did you mean epochs"),
        ("alphanet/alphanet_v4", {"epochs": 0}, "alphanet.yaml, row alphanet_v4:\n  epochs"),
        ("alphanet/alphanet_v4", {"data.size": "big"}, "data.size"),
        ("alphanet/alphanet_v4", {"optimizer.learning_rate": -1}, "optimizer.learning_rate"),
        ("alphanet/alphanet_v4", {"model.name": "alphanet_v9"}, "model: .*alphanet_v4"),
        ("alphanet/alphanet_v4", {"augment": "Z"}, "augment: "),
        ("alphanet/alphastack", {"members": []}, "members"),
    ],
)
def test_a_recipe_that_does_not_fit_names_file_row_and_field(name, overrides, told):
    with pytest.raises(ValueError, match=told):
        recipe.load(name, overrides)


def test_set_takes_yaml_values():
    assert recipe.parse_set(["epochs=2", "data.size=72", "augment=null", "keep=last"]) == {
        "epochs": 2,
        "data.size": 72,
        "augment": None,
        "keep": "last",
    }
    with pytest.raises(ValueError, match="FIELD=VALUE"):
        recipe.parse_set(["epochs"])


def test_differences_name_each_field():
    old, new = recipe.load("alphanet/alphanet_v4"), recipe.load("alphanet/alphanet_v4b")
    changed = recipe.differences(old, new)
    assert "seed: 0 -> 1" in changed
    assert not recipe.differences(old, old)


# Clocks and files --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("monitor", "values", "exhausted"),
    [
        ("val_top1", [1, 2, 2, 2, 3, 3, 3], [0, 0, 0, 1, 0, 0, 1]),
        ("val_loss", [3, 2, 2, 2, 1, 1, 1], [0, 0, 0, 1, 0, 0, 1]),
    ],
)
def test_patience_counts_epochs_without_a_better_value(monitor, values, exhausted):
    from experiments.state import Patience

    clock = Patience(monitor, 2)
    assert [clock.exhausted(value) for value in values] == [bool(e) for e in exhausted]


def test_an_atomic_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    from experiments._files import atomic

    path = tmp_path / "metrics.json"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


# The feed ----------------------------------------------------------------------------------------


def test_each_epoch_sees_each_image_once_in_an_order_of_its_own():
    from experiments import feed

    orders = [feed.order(seed, epoch, 100) for seed in (0, 1) for epoch in (0, 1)]
    for order in orders:
        assert sorted(order) == list(range(100))
    assert len({tuple(order) for order in orders}) == 4
    assert np.array_equal(orders[3], feed.order(1, 1, 100))


def test_every_batch_ends_in_extra_images_taken_in_turn():
    from experiments import feed

    plan = feed.Plan(images=100, batch_size=32, seed=3, extra=7, per_batch=2)
    epochs = [list(plan.epoch(number)) for number in range(3)]
    assert [len(batch) for batch in epochs[0]] == [32, 32, 32, 12]
    assert plan.steps == 4 and plan.seen == 108
    for batches in epochs:
        assert sorted(np.concatenate([batch[:-2] for batch in batches])) == list(range(100))
    extra = np.concatenate([batch[-2:] for batches in epochs for batch in batches])
    rounds = [extra[start : start + 7] for start in (0, 7, 14)]
    assert [sorted(part) for part in rounds] == [list(range(100, 107))] * 3
    assert len({tuple(part) for part in rounds}) == 3
    with pytest.raises(ValueError, match="32 extra images in batches of 32"):
        feed.Plan(images=100, batch_size=32, seed=3, extra=7, per_batch=32)


@pytest.mark.backend
def test_the_feed_is_the_same_from_any_epoch_on():
    import keras

    import augment
    from experiments import datasets, feed

    split = datasets.load("digits").train.take(np.arange(100))
    plan = feed.Plan(len(split), batch_size=32, seed=3)
    whole = feed.batches(split, plan, augment.C, epoch=0)
    batches = [next(whole) for _ in range(8)]
    later = feed.batches(split, plan, augment.C, epoch=1)
    for images, labels in batches[4:]:
        expected, numbers = next(later)
        assert np.array_equal(labels, numbers)
        assert np.array_equal(
            keras.ops.convert_to_numpy(images), keras.ops.convert_to_numpy(expected)
        )
    assert [len(labels) for _, labels in batches[:4]] == [32, 32, 32, 4]


# Runs --------------------------------------------------------------------------------------------


def _write_recipe(folder: pathlib.Path, **changes) -> pathlib.Path:
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({"recipe": "test/small", **SMALL, **changes}))
    return path


def _command(recipe_file: pathlib.Path, run: pathlib.Path) -> list[str]:
    arguments = ["train", str(recipe_file), "--run-dir", str(run)]
    return [sys.executable, "-m", "experiments", *arguments]


def _finish(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def _weights(run: pathlib.Path) -> list[np.ndarray]:
    import zoo

    return zoo.load(run / "model.keras").get_weights()


def _history(run: pathlib.Path) -> list[list[str]]:
    """Rows of history.csv without the two columns of wall-clock time."""
    lines = [line.split(",") for line in (run / "history.csv").read_text().splitlines()]
    clock = {lines[0].index("seconds"), lines[0].index("images_per_second")}
    return [[cell for i, cell in enumerate(line) if i not in clock] for line in lines]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> pathlib.Path:
    """A finished run of the small recipe."""
    folder = tmp_path_factory.mktemp("unbroken")
    _finish(_command(_write_recipe(folder), folder / "run"))
    return folder / "run"


@pytest.mark.backend
def test_a_killed_run_resumes_to_bit_equal_weights_and_history(unbroken, tmp_path):
    command = _command(_write_recipe(tmp_path), tmp_path / "run")
    history = tmp_path / "run" / "history.csv"
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    # Killed in the middle of the third epoch: after the second was recorded.
    for _ in range(2400):
        if history.exists() and len(history.read_text().splitlines()) >= 3:
            break
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "run" / "metrics.json").exists()

    _finish(command)
    assert _history(tmp_path / "run") == _history(unbroken)
    for ours, theirs in zip(_weights(tmp_path / "run"), _weights(unbroken), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.backend
def test_a_run_folder_holds_what_its_readers_expect(unbroken):
    metrics = json.loads((unbroken / "metrics.json").read_text())
    assert metrics["recipe"] == "test/small"
    assert metrics["n"] == json.loads((unbroken / "dataset.json").read_text())["validation"]
    lines = _history(unbroken)
    assert len(lines) - 1 == metrics["epochs"]
    best = max(float(line[lines[0].index("val_top1")]) for line in lines[1:])
    # The saved model is the best epoch's; 0.1 % leaves room for one image in float32.
    assert abs(metrics["top1"] - best) < 0.4
    assert 10 < metrics["top1"] <= metrics["top3"] <= metrics["top5"] <= 100
    names = {path.name for path in unbroken.iterdir()}
    assert {"recipe.yaml", "environment.json", "model.keras", "predictions.npz"} <= names
    assert "state" not in names
    with np.load(unbroken / "predictions.npz", allow_pickle=False) as outputs:
        right = outputs["probs"].argmax(1) == outputs["labels"]
    assert abs(100 * right.mean() - metrics["top1"]) < 1e-3


def test_a_finished_run_is_not_repeated(unbroken):
    before = (unbroken / "model.keras").stat().st_mtime_ns
    row = recipe.load(str(unbroken / "recipe.yaml"))
    from experiments import datasets, train

    train.train(row, unbroken, datasets.load("digits"))
    assert (unbroken / "model.keras").stat().st_mtime_ns == before


def test_a_run_folder_of_another_recipe_is_refused(unbroken):
    from experiments import datasets, train

    row = recipe.load(str(unbroken / "recipe.yaml"), {"epochs": 7})
    with pytest.raises(ValueError, match="epochs: 4 -> 7"):
        train.train(row, unbroken, datasets.load("digits"))


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("environment.json", {"backend": "abacus"}, "begun on abacus"),
        ("dataset.json", {"name": "digits", "train": 7}, "other images"),
    ],
)
def test_a_run_goes_on_only_where_it_began(tmp_path, file, content, told):
    from experiments import datasets, train

    data = datasets.load("digits")
    train.begin(tmp_path, data)
    train.begin(tmp_path, data)
    (tmp_path / file).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=told):
        train.begin(tmp_path, data)


def test_two_runs_never_share_a_folder(tmp_path):
    from experiments import state

    row = recipe.load("quickstart/member_a")
    with state.run_folder(tmp_path, row), pytest.raises(ValueError, match="in use"):
        with state.run_folder(tmp_path, row):
            pass


def test_state_of_another_network_is_refused(tmp_path):
    import keras

    from experiments.state import Checkpoint, Progress

    def compiled(units: int, layers: int) -> keras.Model:
        dense = [keras.layers.Dense(units) for _ in range(layers)]
        model = keras.Sequential([keras.Input((4,)), *dense])
        model.compile("adam", "mse")
        model.optimizer.build(model.trainable_variables)
        return model

    checkpoint, model = Checkpoint(tmp_path), compiled(3, 1)
    checkpoint.save(Progress(epoch=1, best_epoch=1), model, model.optimizer)
    for other in (compiled(5, 1), compiled(3, 2)):
        with pytest.raises(ValueError, match="another recipe"):
            checkpoint.restore(other, other.optimizer)


# Stacks ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stacked(unbroken, tmp_path_factory) -> pathlib.Path:
    """A stack of two small runs."""
    folder = tmp_path_factory.mktemp("stacked")
    second = _write_recipe(folder, seed=1, recipe="test/second")
    _finish(_command(second, folder / "second"))
    content = {
        "recipe": "test/stack",
        "kind": "stack",
        "data": {"name": "digits"},
        "augment": "C",
        "members": [str(unbroken), str(folder / "second")],
        "head": [16],
        "views": 2,
        "epochs": 4,
    }
    (folder / "stack.yaml").write_text(yaml.safe_dump(content))
    arguments = ["stack", str(folder / "stack.yaml"), "--run-dir", str(folder / "stack")]
    _finish([sys.executable, "-m", "experiments", *arguments])
    return folder


def test_a_stack_leaves_its_members_bit_equal(stacked, unbroken):
    import stacking
    import zoo

    stack = zoo.load(stacked / "stack" / "model.keras")
    inside = stacking.members_of(stack)
    for run, member in zip((unbroken, stacked / "second"), inside.values(), strict=True):
        for ours, theirs in zip(member.get_weights(), _weights(run), strict=True):
            assert np.array_equal(ours, theirs)


def test_a_stack_is_a_run_like_any_other(stacked):
    metrics = json.loads((stacked / "stack" / "metrics.json").read_text())
    assert metrics["kind"] == "stack"
    assert [member["name"] for member in metrics["members"]] == ["small", "second"]
    assert metrics["top1"] > 10
    assert not (stacked / "stack" / "state").exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"members": ["nowhere/run"]}, "no finished run"),
        ({"data.size": 40}, "set data.name and data.size"),
        ({"data.name": "mnist"}, "set data.name and data.size"),
    ],
)
def test_members_that_do_not_fit_are_refused_before_any_work(stacked, changes, told):
    from experiments import ensemble

    row = recipe.load(str(stacked / "stack.yaml"), changes)
    with pytest.raises(ValueError, match=told):
        ensemble.find_members(row, [pathlib.Path(member) for member in row.members])


def test_members_that_saw_every_image_need_consent(stacked, tmp_path):
    from experiments import ensemble

    seen = tmp_path / "seen"
    seen.mkdir()
    row = recipe.load("alphanet/alphanet_v4")
    (seen / "recipe.yaml").write_text(recipe.dump(row))
    (seen / "metrics.json").write_text("{}")
    held_out = recipe.load("alphanet/alphastack", {"fit_on": "held_out"})
    with pytest.raises(ValueError, match="fit_on=train"):
        ensemble.find_members(held_out, [seen])
    assert ensemble.find_members(recipe.load("alphanet/alphastack"), [seen])


def test_a_stack_out_of_fold_trains_its_members_without_each_fold(stacked, tmp_path):
    from rich.console import Console

    from experiments import commands

    member, console = stacked / "second", Console(quiet=True)
    changes = {"fit_on": "out_of_fold", "folds": 2, "members": [str(member)]}
    row = recipe.load(str(stacked / "stack.yaml"), changes)
    metrics = commands.stack(row, tmp_path / "run", [member], None, None, console)
    seen = json.loads((member / "dataset.json").read_text())["train"]
    parts = []
    for fold in range(2):
        run = tmp_path / "run" / "folds" / f"second_{fold}"
        part = recipe.load(str(run / "recipe.yaml"))
        assert (part.data.folds, part.data.fold, part.data.holdout) == (2, fold, 0.2)
        parts.append(json.loads((run / "dataset.json").read_text())["train"])
    assert sum(parts) == seen and abs(parts[0] - parts[1]) <= 10  # each fold is the other's part
    assert metrics["top1"] > 10
    with pytest.raises(ValueError, match="rows that learn from labels alone"):
        commands.stack(row, tmp_path / "other", [stacked / "stack"], None, None, console)


# Distillation ------------------------------------------------------------------------------------


@pytest.mark.backend
def test_the_loss_of_distillation_is_the_formula_of_its_paper():
    import keras
    from scipy.special import log_softmax

    from experiments import distill

    rng = np.random.default_rng(0)
    teacher, student = rng.normal(0, 3, (2, 6, 4)).astype("float32")
    labels = rng.integers(0, 4, 6)
    targets = np.column_stack([labels, teacher]).astype("float32")
    hard = -log_softmax(student, axis=1)[np.arange(6), labels].mean()
    soft, ours = log_softmax(teacher / 2, axis=1), log_softmax(student / 2, axis=1)
    divergence = (np.exp(soft) * (soft - ours)).sum(axis=1).mean()
    loss = distill.loss(Distill(teacher="x", temperature=2.0, alpha=0.7))

    def value(targets, logits):
        return float(
            loss(keras.ops.convert_to_tensor(targets), keras.ops.convert_to_tensor(logits))
        )

    # Sums of a few float32 numbers.
    assert value(targets, student) == pytest.approx(0.7 * 4 * divergence + 0.3 * hard, rel=1e-5)
    assert value(labels.astype("float32"), student) == pytest.approx(hard, rel=1e-5)
    accuracy = distill.TopK(1)
    accuracy.update_state(targets, student)
    assert float(accuracy.result()) == pytest.approx(np.mean(student.argmax(axis=1) == labels))


def test_a_network_learns_from_a_stack(stacked, tmp_path):
    from rich.console import Console

    from experiments import commands

    row = recipe.load(str(_write_recipe(tmp_path, distill={"teacher": str(stacked / "stack")})))
    arguments = (None, None, Console(quiet=True), stacked / "stack")
    metrics = commands.train(row, tmp_path / "run", *arguments)
    with open(tmp_path / "run" / "history.csv") as file:
        best = list(csv.DictReader(file))[metrics["best_epoch"] - 1]
    # Of validation images the loss and the accuracy are those by the labels, as in every run.
    assert float(best["val_loss"]) == pytest.approx(metrics["loss"], abs=1e-4)
    assert float(best["val_top1"]) == pytest.approx(metrics["top1"], abs=1e-3)
    assert float(best["loss"]) != pytest.approx(float(best["val_loss"]), rel=0.05)
    with pytest.raises(ValueError, match="teacher= do not go together"):
        commands.train(row, tmp_path / "alone", *arguments[:3])
    wide = _write_recipe(tmp_path, distill={"teacher": "x"}, data={"name": "digits", "size": 40})
    with pytest.raises(ValueError, match=r"takes images \(32, 32, 3\), the network \(40, 40, 3\)"):
        commands.train(recipe.load(str(wide)), tmp_path / "wide", *arguments)


# The command line --------------------------------------------------------------------------------


def _cli(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "experiments", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )


def test_every_command_has_an_example():
    from experiments.cli import app

    commands = [c for g in app.registered_groups for c in g.typer_instance.registered_commands]
    assert len(commands) > 15
    for command in commands:
        assert "Example: python -m experiments" in command.callback.__doc__


def test_a_mistake_is_told_in_a_line_and_not_as_a_traceback():
    done = _cli("train", "alphanet/alphanet_v9")
    assert done.returncode == 2
    assert "alphanet_v4" in done.stderr
    assert "Traceback" not in done.stderr


def test_lists_are_for_programs_too():
    rows = json.loads(_cli("list", "--recipes", "--json").stdout)
    assert {row["recipe"] for row in rows} == set(ROWS)
    networks = json.loads(_cli("list", "alphanet*", "--json").stdout)
    assert {"alphanet_v1", "alphanet_v4c"} <= {network["name"] for network in networks}


def test_the_readme_shows_the_networks_that_there_are():
    from experiments import catalog

    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 200
    table = text.split("<!-- networks: ")[1].split("-->\n", 1)[1].split("\n<!-- end")[0]
    assert table == catalog.markdown(catalog.networks())
