"""A run's folder, read when it is asked for: what is missing, damaged, old or of other images."""

import copy
import dataclasses
import shutil

import numpy as np
import pytest
import yaml

from experiments import recipes, runs
from experiments._files import read_json, write_json, write_text
from experiments.datasets import Dataset, Split
from experiments.runs import Run, names, outputs

# Property -> the file that it reads.
READS = {
    "row": names.RECIPE,
    "dataset": names.DATASET,
    "environment": names.ENVIRONMENT,
    "history": names.HISTORY,
    "probs": names.PREDICTIONS,
    "samples": names.SAMPLES,
}


@pytest.fixture(scope="session")
def _run(make_run, tmp_path_factory) -> Run:
    return Run(make_run(tmp_path_factory.mktemp("whole") / "alphanet_v4", images=40, epochs=5))


@pytest.fixture
def run(_run, tmp_path) -> Run:
    """A finished run, to be damaged."""
    return Run(shutil.copytree(_run.path, tmp_path / "alphanet_v4"))


def _edit(file, **fields) -> None:
    write_json(file, read_json(file) | fields)


# Reading --------------------------------------------------------------------------------------


def test_a_whole_run_is_read_and_checked(run):
    assert run.check() is run and run.begun and run.finished
    assert (run.name, run.folder, run.classes) == ("alphanet_v4", "alphanet_v4", 10)
    assert run.metrics["top1"] == 100 * np.mean(run.probs.argmax(axis=1) == run.labels)
    assert run.confusion.sum() == 40 and run.class_accuracy.mean() == run.metrics["top1"]
    assert run.kind is recipes.KINDS["train"] and run.has_samples
    assert run.expect["top1"] == recipes.load("alphanet/alphanet_v4").expect.top1


def test_a_run_is_read_only_when_it_is_asked(tmp_path):
    run = Run(tmp_path / "nowhere")
    assert (run.begun, run.finished, run.has_samples) == (False, False, False)
    assert run.state.parent == run.log.parent == run.plots.parent == run.path
    assert (str(run), repr(run)) == (str(run.path), f"Run({str(run.path)!r})")
    for name in READS:
        with pytest.raises(ValueError, match="is missing: the run has not finished"):
            getattr(run, name)
    with pytest.raises(ValueError, match="nowhere is no finished run; make it first: .*/nowhere$"):
        _ = run.metrics
    with pytest.raises(ValueError, match="is not a folder: give the folder of a finished run"):
        run.check()


@pytest.mark.parametrize("name", READS)
def test_a_missing_file_is_told_when_it_is_asked_for(name, run):
    (run.path / READS[name]).unlink()
    for other in READS.keys() - {name} - ({"history"} if name == "row" else set()):
        assert getattr(run, other) is not None
    with pytest.raises(ValueError, match=f"{READS[name]} is missing: .* was not copied whole"):
        getattr(run, name)
    with pytest.raises(ValueError, match=READS[name]):
        run.check()


DAMAGE = {
    names.RECIPE: ("kind: [", "recipe.yaml cannot be read"),
    names.DATASET: ("{}", "no value for name, class_names"),
    names.ENVIRONMENT: ("{}", "no value for backend"),
    names.METRICS: ('{"recipe": "x"}', "no value for kind, model, dataset"),
    names.HISTORY: ("epoch,loss\n1,2\n", "no column top1, val_loss, val_top1"),
    names.PREDICTIONS: ("PK", "predictions.npz cannot be used"),
    names.SAMPLES: ("", "samples.npz cannot be used"),
}


@pytest.mark.parametrize("file", DAMAGE)
@pytest.mark.parametrize("cut", [False, True])
def test_a_damaged_file_is_named_with_what_to_do(file, cut, run):
    path = run.path / file
    if cut and file == names.HISTORY:
        path.write_bytes(path.read_bytes()[:40])
    elif cut:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        write_text(path, DAMAGE[file][0])
    with pytest.raises(ValueError, match=file) as caught:
        run.check()
    assert cut or DAMAGE[file][1] in str(caught.value)
    assert file == names.RECIPE or "run it again, or leave the folder out" in str(caught.value)


def test_files_of_two_runs_are_refused(run):
    _edit(run.path / names.METRICS, top1=12.0)
    with pytest.raises(ValueError, match="top1 is 12.0, predictions.npz gives 47.50: files of two"):
        run.check()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda p, y: (p[:, :9], y), "9 classes, dataset.json has 10"),
        (lambda p, y: (p, y + 1), "labels reach 1 to 10"),
        (lambda p, y: (p * np.nan, y), "some probabilities are not finite"),
        (lambda p, y: (p[:-1], y), r"probs \(39, 10\), labels \(40,\)"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(change, told, run):
    probs, labels = change(run.probs, run.labels)
    outputs.write(run.path / names.PREDICTIONS, probs=probs, labels=labels)
    with pytest.raises(ValueError, match=f"predictions.npz cannot be used .*{told}"):
        Run(run.path).check()


def test_a_vote_has_neither_model_nor_history(make_run, tmp_path):
    vote = Run(make_run(tmp_path / "mode", "laptop/mode", images=40, members=[]))
    assert vote.history == {} and not vote.kind.has_model
    with pytest.raises(ValueError, match="has no model of its own: name one"):
        _ = vote.model_file


def test_a_model_is_found_by_its_folder_or_its_file(run, tmp_path):
    with pytest.raises(ValueError, match="model.keras does not exist: give a finished run"):
        runs.of_model(run.path)
    file = run.path / names.MODEL
    file.write_bytes(b"")
    for given in (run.path, file):
        found, around = runs.of_model(given)
        assert found == file and around.path == run.path
    with pytest.raises(ValueError, match="nothing.keras does not exist"):
        runs.of_model(tmp_path / "nothing.keras")


# Runs of earlier versions ---------------------------------------------------------------------


def test_a_run_of_an_earlier_version_is_read(run):
    row = yaml.safe_load((run.path / names.RECIPE).read_text())
    for field in ("share", "schedule", "keep"):
        row.pop(field, None)
    row["data"]["holdout"] = 0.1
    row["plateau"] = {"patience": 3, "factor": 0.5}
    write_text(run.path / names.RECIPE, yaml.safe_dump(row))
    for file, fields in ((names.DATASET, ["digest"]), (names.METRICS, ["keep", "last_top1"])):
        content = read_json(run.path / file)
        write_json(run.path / file, {k: v for k, v in content.items() if k not in fields})
    old = Run(run.path).check()
    assert old.row.share.holdout == 0.1 and old.row.data.name == "tiny_imagenet"
    assert (old.row.schedule.name, old.row.schedule.min_delta) == ("plateau", 0.01)
    assert "keep" not in old.metrics


# Which runs there are -------------------------------------------------------------------------


def test_runs_are_found_once_and_without_their_parts(make_run, tmp_path):
    for name in ("b", "a", "a/folds/x_0", "a/experts/01", "c"):
        make_run(tmp_path / name, images=20, epochs=2)
    (tmp_path / "c" / names.METRICS).unlink()
    found = runs.find([tmp_path, tmp_path / "b"])
    assert [run.path for run in found] == [tmp_path / "a", tmp_path / "b"]
    assert [run.path.name for run in runs.find([tmp_path / "a" / "folds"])] == ["x_0"]
    below = Run.all_below(tmp_path)
    assert {run.path.name for run in below} == {"a", "b", "x_0", "01"}
    for nothing in ("c", "nowhere"):
        with pytest.raises(ValueError, match=f"{nothing} holds no finished run"):
            runs.find([tmp_path / nothing])


# The same images ------------------------------------------------------------------------------


@pytest.fixture
def data() -> Dataset:
    images = np.arange(12 * 4, dtype=np.uint8).reshape(12, 2, 2, 1)
    train, validation = (Split(images, np.arange(12) % 3) for _ in range(2))
    return Dataset("noise", train, validation, tuple("abc"), ("n0", "n1", "n2"))


@pytest.fixture
def begun(data, tmp_path) -> Run:
    """A run that was begun on the data set."""
    row = recipes.load("quickstart/member_a")
    with runs.making(tmp_path / "begun", row, data) as run:
        run.write_outputs(data, np.eye(3)[data.validation.labels])
    return Run(tmp_path / "begun")


CHANGES = {
    "order": (dict(class_names=tuple("acb")), "class 1 is 'b' and 'c'"),
    "ids": (dict(class_ids=("n0", "n2", "n1")), "class 1 is 'n1' and 'n2'"),
    "count": (dict(class_names=tuple("abcd")), "3 classes and 4"),
    "name": (dict(name="other"), "name: noise and other"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_classes_are_told(change, begun, data):
    fields, told = CHANGES[change]
    other = dataclasses.replace(data, **fields)
    with pytest.raises(ValueError, match=told) as caught:
        begun.check_data(other)
    assert "give the --data-dir that the run was made on" in str(caught.value)


def test_other_pixels_and_labels_are_told_by_their_digest(begun, data):
    begun.check_data(data)
    begun.check_data(dataclasses.replace(data, train=data.train.take(range(6))))
    images = data.validation.images.copy()
    images[3, 0, 0] += 1
    for split in (Split(images, data.validation.labels), data.validation.take(range(12)[::-1])):
        other = dataclasses.replace(data, validation=split, digest=None)
        with pytest.raises(ValueError, match="the validation images or labels are others"):
            begun.check_data(other)


def test_of_a_run_without_a_digest_the_order_of_labels_says_most(begun, data):
    content = read_json(begun.path / names.DATASET)
    content.pop("digest")
    write_json(begun.path / names.DATASET, content)
    begun.check_data(data)
    other = dataclasses.replace(data, validation=data.validation.take(range(12)[::-1]))
    with pytest.raises(ValueError, match="the validation images have other labels"):
        begun.check_data(other)


def test_of_older_runs_nobody_knows_how_their_images_were_enlarged(begun, data):
    """Their digest is of large pixels, that of today of the stored ones: neither is the other's."""
    kept = dict(begun.dataset["digest"])
    small = {key: f"{digest} enlarged from 4x4 to 8x8 by box" for key, digest in kept.items()}
    today = dataclasses.replace(data, digest=small)
    with pytest.raises(ValueError, match="the train images or labels are others"):
        begun.check_data(today)
    del begun.dataset["digest_of"]
    begun.check_data(today)
    begun.dataset["digest"] = small
    begun.check_data(data)
    other = {key: told.replace("box", "bicubic") for key, told in small.items()}
    with pytest.raises(ValueError, match="the train images or labels are others"):
        begun.check_data(dataclasses.replace(data, digest=other))


def test_two_runs_are_of_the_same_images_or_not(run, begun):
    other = copy.copy(run.dataset) | {"validation": 7}
    run.check_same(run.dataset, "other")
    with pytest.raises(ValueError, match="other have other .*validation images: 40 and 7"):
        run.check_same(other, "other")


# Making a run ---------------------------------------------------------------------------------


def test_a_run_is_begun_whole_and_held(data, tmp_path):
    row, folder = recipes.load("quickstart/member_a"), tmp_path / "run"
    with runs.making(folder, row, data) as run:
        assert run.begun and not run.finished and run.row == row
        assert run.dataset["digest"] == data.digest and run.dataset["class_ids"] == [
            "n0",
            "n1",
            "n2",
        ]
        assert run.environment["backend"] == runs.environment()["backend"]
        with pytest.raises(ValueError, match="run is in use by another run"):
            with runs.making(folder, row, data):
                pass
    with runs.making(folder, row, data) as run:
        run.state.mkdir()
        run.finish({"recipe": row.recipe})
        assert run.finished and not run.state.exists()


def test_a_file_where_the_folder_should_be_is_told(data, tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(ValueError, match="cannot be a run's folder .*another --run-dir"):
            with runs.making(folder, recipes.load("quickstart/member_a"), data):
                pass


def test_what_a_killed_process_left_is_swept(data, tmp_path, monkeypatch):
    from experiments import _files

    left = tmp_path / f".{_files._host()}-999999999-0.part.{names.METRICS}"
    left.write_text("half")
    with runs.making(tmp_path, recipes.load("quickstart/member_a"), data):
        assert not left.exists()
