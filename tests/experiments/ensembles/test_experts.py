"""Class experts: the sets that they learn, their rows, their vote, and what is refused at once."""

import json
import shutil
import types

import numpy as np
import pytest
import yaml

import stacking
import zoo
from experiments import executor, plan, recipes, reports
from experiments.cli import _runs
from experiments.datasets import Dataset, Split
from experiments.ensembles import experts as class_experts
from experiments.ensembles import parts
from experiments.place import Place
from experiments.runs import Run, find, names
from experiments.training import adversarial, attack

FIELDS = {
    "kind": "experts",
    "member": "clean",
    "experts": 2,
    "partition": "confusion",
    "attack": {"images": 60, "epsilon": 24},
    "per_batch": 24,
    "epochs": 2,
    "seed": 7,
}
# What another run of the same row has of its own: clocks.
CLOCKS = (
    "date",
    "seconds",
    "seconds_per_epoch",
    "images_per_second",
    "wall_seconds",
    "command",
)


@pytest.fixture(scope="module")
def place(clean) -> Place:
    """Where the clean run lies."""
    return Place(runs=clean.path.parent.parent)


@pytest.fixture(scope="module")
def row(a_row):
    """The row of two experts."""
    return a_row("experts", **FIELDS)


@pytest.fixture(scope="module")
def made(row, place) -> Run:
    """Their finished run."""
    folder = place.folder(row)
    executor.carry_out(plan.one(row, folder, place), place)
    return Run(folder)


def experts_of(run: Run) -> list[Run]:
    return [Run(run.path / "experts" / name) for name in ("01", "02")]


def without_clocks(metrics: dict) -> dict:
    return {key: value for key, value in metrics.items() if key not in CLOCKS}


# What is made ------------------------------------------------------------------------------------


def test_both_sets_and_the_blocks_are_made_first(made, digits):
    blocks = json.loads((made.path / "blocks.json").read_text())
    assert sorted(sum(blocks, [])) == list(range(10))
    for name, split in (("attack", "train"), ("attack_validation", "validation")):
        content = adversarial.settings(made.path / name)
        assert content["attack"]["split"] == split and content["attack"]["epsilon"] == 24
        assert len(adversarial.read(made.path / name, digits)) == content["images"] == 60
        assert content["share"] == {"holdout": 0.2}


@pytest.mark.parametrize("images", [100, 10_000])
def test_the_validation_set_has_as_many_images_as_every_class(images, digits):
    spec = recipes.Attack(images=images, epsilon=24)
    least = np.bincount(digits.validation.labels).min()
    found = class_experts._of_validation(spec, digits)
    assert found.images == min(images, 10 * least)
    assert found.model_copy(update={"images": images, "split": "train"}) == spec


def test_experts_are_rows_with_the_classes_of_their_blocks(made, clean):
    blocks = parts.read_blocks(made.path)
    for number, (run, block) in enumerate(zip(experts_of(made), blocks, strict=True), start=1):
        row = run.check().row
        assert row.recipe == f"test/experts_{number:02}" and row.seed == 7 + number
        assert row.adversarial.classes == block and row.adversarial.per_batch == 24
        assert row.adversarial.folder == str(made.path / "attack")
        assert row.model == {**clean.row.model, "weights": str(clean.model_file)}
        assert (row.share, row.data, row.epochs) == (clean.row.share, clean.row.data, 2)
        assert row.optimizer == clean.row.optimizer and row.expect is None


def test_experts_begin_with_the_clean_weights_or_with_the_recipe_alone(made, row, place, clean):
    for start, given in (("clean", {"weights": str(clean.model_file)}), ("fresh", {})):
        sgd = recipes.fitting.Optimizer(name="sgd")
        asked = row.model_copy(update={"start": start, "optimizer": sgd})
        (_, (second, folder)) = parts.experts(asked, made.path, place)
        assert second.model == clean.row.model | given
        assert (second.seed, second.epochs, second.optimizer.name) == (9, 2, "sgd")
        assert folder == made.path / "experts" / "02"


def test_experts_of_a_network_that_saw_several_sizes_see_the_last_one(row, tmp_path):
    fields = {"sizes": [[3, 32], [4, 64]], "sizes_resample": "box", "model": {"name": "resnet18"}}
    content = {"recipe": "test/clean", "data": {"name": "x", "size": 64}} | fields
    clean = types.SimpleNamespace(row=recipes.parse(content, "test"), model_file=tmp_path)
    expert = parts._expert(row, clean, tmp_path, 1, [0])
    assert (expert.sizes, expert.sizes_resample, expert.epochs) == (None, None, 2)
    assert recipes.parse(expert.model_dump(exclude_none=True), "test") == expert


def test_classes_are_divided_by_number(row, clean, digits):
    asked = row.model_copy(update={"partition": "number", "experts": 3})
    blocks = class_experts.divide(asked, clean, digits)
    assert blocks == [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]


@pytest.mark.parametrize("holdout", [0.2, 0.0])
def test_what_is_confused_is_seen_on_held_out_images_where_there_are_any(
    holdout, row, clean, digits, monkeypatch
):
    asked, predict = [], class_experts.predict_probs
    monkeypatch.setattr(
        class_experts, "predict_probs", lambda model, x: asked.append(x) or predict(model, x)
    )
    share = recipes.Share(holdout=holdout)
    blocks = class_experts.divide(row.model_copy(update={"share": share}), clean, digits)
    split = digits.holdout(0.2)[1] if holdout else digits.train
    assert len(asked) == 1 and np.array_equal(np.asarray(asked[0]), np.asarray(split.images))
    decided = predict(zoo.load(clean.model_file), split.images).argmax(axis=1)
    confusion = np.zeros((10, 10), int)
    np.add.at(confusion, (split.labels, decided), 1)
    assert blocks == stacking.partition_by_confusion(confusion, 2)


# What it scores ----------------------------------------------------------------------------------


def test_accuracies_are_those_of_the_vote_and_of_each(made, clean, digits):
    metrics, runs = made.metrics, [clean, *experts_of(made)]
    models = [zoo.load(run.model_file) for run in runs]
    for key, name in parts.SETS.items():
        split = adversarial.read(made.path / name, digits)
        probs = np.stack(
            [class_experts.predict_probs(model, split.images) for model in models], axis=1
        )
        voted = stacking.vote(probs[:, 1:], "mode").argmax(axis=1)
        assert metrics[key] == pytest.approx(100 * np.mean(voted == split.labels))
        assert metrics[f"{key}_n"] == len(split)
        for place, told in enumerate((metrics["clean"], *metrics["members"])):
            right = probs[:, place].argmax(axis=1) == split.labels
            assert told[key] == pytest.approx(100 * right.mean())
    expected = stacking.vote(np.stack([run.probs for run in runs[1:]], axis=1), "mode")
    np.testing.assert_array_equal(made.probs, expected)
    # They have learned images on which the clean run fails.
    assert metrics["adversarial"] > metrics["clean"]["adversarial"]


def test_metrics_tell_of_the_experts_and_of_the_clean_run(made, clean):
    metrics, runs = made.metrics, experts_of(made)
    assert metrics["kind"] == "experts" and metrics["model"] == "alphanet_v4"
    own = {"name", "run", "top1", "top3", "top5", "parameters", *parts.SETS}
    assert metrics["clean"].keys() == own
    assert metrics["clean"]["name"] == "clean" and metrics["clean"]["run"] == str(clean)
    assert metrics["clean"]["top1"] == clean.metrics["top1"]
    for number, (member, run) in enumerate(zip(metrics["members"], runs, strict=True), start=1):
        assert member.keys() == own | {"classes"}
        assert (member["name"], member["run"]) == (f"expert {number}", str(run))
        assert member["top1"] == run.metrics["top1"]
    assert [member["classes"] for member in metrics["members"]] == parts.read_blocks(made.path)
    assert metrics["epochs"] == 2 and metrics["seed"] == 7
    for key in ("parameters", "macs", "seconds"):
        assert metrics[key] == pytest.approx(sum(run.metrics[key] for run in runs))


def test_a_run_of_experts_has_no_model_and_is_shown(made, tmp_path):
    assert find([made.path.parent / "experts"])[0].path == made.path
    assert made.check().labels.shape == (359,)
    with pytest.raises(ValueError, match="has no model"):
        _ = made.model_file
    metrics = made.metrics
    page = reports.report([made.path], tmp_path / "report.html").page.read_text()
    assert f"{metrics['adversarial']:.1f} % of images learned" in page
    table = _runs.experts(metrics)
    names = list(table.columns[0].cells)
    assert names == ["clean", "expert 1", "expert 2", "experts, vote"]


def test_what_the_previous_version_left_is_read(made, tmp_path):
    """Its share stood among the fields of data; it kept neither digests nor blocks."""
    old = shutil.copytree(made.path, tmp_path / "experts")
    (old / "blocks.json").unlink()
    for folder in (old, old / "experts" / "01", old / "experts" / "02"):
        content = yaml.safe_load((folder / names.RECIPE).read_text())
        content["data"] |= content.pop("share")
        content.pop("schedule", None)
        (folder / names.RECIPE).write_text(yaml.safe_dump(content))
        described = json.loads((folder / names.DATASET).read_text())
        del described["digest"]
        (folder / names.DATASET).write_text(json.dumps(described))
        metrics = json.loads((folder / names.METRICS).read_text())
        for key in ("keep", "last_top1"):
            metrics.pop(key, None)
        (folder / names.METRICS).write_text(json.dumps(metrics))
    run = Run(old).check()
    assert run.row == made.row and run.metrics == made.metrics
    assert [run.check().row for run in experts_of(run)] == [e.row for e in experts_of(made)]
    page = reports.report([old], tmp_path / "report.html").page.read_text()
    assert f"{run.metrics['adversarial']:.1f} % of images learned" in page


# Cut and resumed ---------------------------------------------------------------------------------


def in_the_second_expert(texts: list[str]) -> bool:
    begun = "test/experts_02 on digits: Expert 2 of 2" in texts
    return (
        begun and "epoch 2 of 2" in texts[texts.index("test/experts_02 on digits: Expert 2 of 2") :]
    )


STAGES = {
    "between the sets": lambda texts: "adversarial validation images" in texts[-1],
    "in the second expert": in_the_second_expert,
    "before the vote": lambda texts: texts[-1] == "2 experts vote",
}


def test_cut_in_each_of_its_stages_it_ends_equal(made, row, place, told, tmp_path, monkeypatch):
    """Below one folder, since rows of experts and metrics tell where their parts lie."""
    whole = made.path.rename(tmp_path / "whole")
    try:
        step = plan.one(row, place.folder(row), place)
        for stage in STAGES.values():
            with pytest.raises(RuntimeError, match="cut"):
                executor.carry_out(step, place, told(stage))
            assert not step.run.finished
        for name in ("train", "run"):
            monkeypatch.setattr(f"experiments.training.train.{name}", lambda *_: pytest.fail())
        metrics = executor.carry_out(step, place)
        kept = Run(whole)
        # Equal in all that is told, but for clocks.
        assert without_clocks(metrics) == without_clocks(kept.metrics)
        np.testing.assert_array_equal(Run(step.folder).probs, kept.probs)
        for ours, theirs in zip(experts_of(Run(step.folder)), experts_of(kept), strict=True):
            assert without_clocks(ours.metrics) == without_clocks(theirs.metrics)
            pairs = zip(
                *(zoo.load(run.model_file).get_weights() for run in (ours, theirs)), strict=True
            )
            assert all(np.array_equal(a, b) for a, b in pairs)
        for name in parts.SETS.values():
            sets = [np.load(root / name / adversarial.IMAGES) for root in (step.folder, whole)]
            np.testing.assert_array_equal(*sets)
    finally:
        shutil.rmtree(place.folder(row), ignore_errors=True)
        whole.rename(made.path)


def test_finished_sets_and_experts_are_not_repeated(made, row, place, monkeypatch):
    before = Run(made.path).metrics
    files = [*made.path.glob("attack*/*"), *made.path.glob("experts/*/*")]
    times = {file: file.stat().st_mtime_ns for file in files}
    (made.path / names.METRICS).unlink()
    again = executor.carry_out(plan.one(row, made.path, place), place)
    assert without_clocks(again) == without_clocks(before)
    assert {file: file.stat().st_mtime_ns for file in files} == times
    monkeypatch.setattr(attack, "make", lambda *_: pytest.fail("attacked again"))
    assert executor.carry_out(plan.one(row, made.path, place), place) == again


# Refused at once ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"attack": {"step": 2}}, "attack.*fgsm is one step"),
        ({"attack": {"split": "validation"}}, "attack.split must be train"),
        ({"rule": "weighted_mode"}, "takes no weights"),
        ({"experts": 0}, "experts: .*greater than or equal to 1"),
    ],
)
def test_a_row_that_does_not_fit_says_why(a_row, changes, told):
    with pytest.raises(ValueError, match=told):
        a_row("experts", **FIELDS | changes)


@pytest.fixture
def refused(a_row, place, tmp_path):
    """Begin experts with other fields, which must leave nothing behind."""
    folder = tmp_path / "experts"

    def begin(told: str, **changes):
        with pytest.raises(ValueError, match=told):
            step = plan.one(a_row("experts", **FIELDS | changes), folder, place)
            executor.carry_out(step, place)
        assert not folder.exists()

    return begin


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"share": {"holdout": 0.0}}, "set the fields of share that differ"),
        ({"data": {"name": "digits", "size": 40}}, "needs the same images"),
        ({"experts": 11}, "10 classes for 11 experts"),
        ({"per_batch": 128}, "128 adversarial images in batches of 128"),
    ],
)
def test_experts_that_do_not_fit_are_refused_before_data_is_read(
    changes, told, refused, monkeypatch
):
    monkeypatch.setattr(Place, "dataset", lambda *_: pytest.fail("data was decoded"))
    refused(told, **changes)


def test_more_experts_than_classes_are_refused_before_the_clean_run_is_made(a_row, tmp_path):
    row = recipes.load("quickstart/member_a").model_copy(update={"recipe": "test/clean"})
    where = Place(runs=tmp_path / "runs")
    path = tmp_path / "rows.yaml"
    path.write_text(recipes.dump(row))
    experts = tmp_path / "experts.yaml"
    fields = FIELDS | {"experts": 11, "partition": "number"}
    experts.write_text(recipes.dump(a_row("experts", **fields)))
    with pytest.raises(ValueError, match="10 classes for 11 experts"):
        plan.make([str(path), str(experts)], where)
    assert not where.runs.exists()


@pytest.mark.parametrize("learned", ["distill", "adversarial", "stack"])
def test_experts_come_from_a_run_on_clean_images_alone(learned, refused, make_run, a_row, tmp_path):
    more = {
        "distill": {"distill": {"teacher": "x"}},
        "adversarial": {"adversarial": {"folder": "x"}},
        "stack": {"kind": "stack", "members": ["x"]},
    }
    other = make_run(tmp_path / "other", a_row("other", **more[learned]))
    refused("one network that was trained on clean images", member=str(other))


@pytest.mark.parametrize(
    ("images", "experts", "told"),
    [
        (5000, 2, r"class '\d' has \d+ train images; give images=\d+ or less"),
        (7, 5, r"none of 7 adversarial images is of the classes .* give attack.images=10 or more"),
    ],
)
def test_too_many_and_too_few_images_are_refused_before_any_is_made(
    images, experts, told, refused, monkeypatch
):
    monkeypatch.setattr(attack, "make", lambda *_: pytest.fail("attacked"))
    refused(told, attack={"images": images}, experts=experts, partition="number")


def test_the_clean_run_must_be_finished_and_of_these_images(row, digits, clean, tmp_path):
    with pytest.raises(ValueError, match="is no finished run; make it first"):
        empty = Place(runs=tmp_path)
        shutil.copytree(clean.path, tmp_path / "test" / "clean")
        (tmp_path / "test" / "clean" / names.METRICS).unlink()
        plan.one(row, tmp_path / "made", empty)
    train = Split(np.asarray(digits.train.images) // 2, digits.train.labels)
    other = Dataset(digits.name, train, digits.validation, digits.class_names, digits.class_ids)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Place, "dataset", lambda *_: other)
        with pytest.raises(ValueError, match="the train images or labels are others"):
            where = Place(runs=clean.path.parent.parent)
            class_experts.prepare(row, tmp_path / "made", where)
    assert not (tmp_path / "made").exists()


def test_a_row_with_adversarial_images_asks_for_them_first(a_row, place, tmp_path, monkeypatch):
    monkeypatch.setattr(Place, "dataset", lambda *_: pytest.fail("data was decoded"))
    row = a_row("hardened", adversarial={"folder": str(tmp_path / "none")})
    with pytest.raises(ValueError, match="python -m experiments attack RUN --out .*none"):
        plan.one(row, tmp_path / "run", place)
