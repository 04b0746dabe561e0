"""Runs that an ensemble may be made of: of the same images, finished, and none of it fitted on."""

import dataclasses
import shutil

import numpy as np
import pytest

import zoo
from experiments import executor, plan, recipes
from experiments._files import read_json, write_json
from experiments.datasets import Split
from experiments.ensembles import members as ensembles
from experiments.ensembles.compare import compare
from experiments.place import Place
from experiments.runs import Run, names
from experiments.studies import robust

KINDS = {
    "held_out": {"kind": "stack"},
    "out_of_fold": {"kind": "stack", "fit_on": "out_of_fold"},
    "train": {"kind": "stack", "fit_on": "train"},
    "vote": {"kind": "vote"},
    "weighted": {"kind": "vote", "rule": "weighted_mode", "weights": "accuracy"},
}
FITTED = [name for name in KINDS if name != "vote"]


@pytest.fixture
def ensemble(a_row, place, tmp_path, monkeypatch):
    """Plan an ensemble of m0 and another run: its kind, and the run or its folder."""
    monkeypatch.setattr(Place, "dataset", lambda *_: pytest.fail("data was decoded"))

    def make(kind: str, *others, **fields):
        given = [str(other) for other in others]
        row = a_row("made", members=["m0", *given], **KINDS[kind] | fields)
        step = plan.one(row, tmp_path / "made", place)
        return executor.carry_out(step, place)

    yield make
    assert not (tmp_path / "made").exists()


# The same images ---------------------------------------------------------------------------------


def combine_rows(**fields):
    def combine(a_row, place, one, other):
        row = a_row("made", **fields)
        needed = {"members": [str(one), str(other)]}
        if "distill" in fields:
            needed = {"distill": row.distill.model_copy(update={"teacher": str(other)})}
        if "member" in fields:
            needed = {"member": str(other)}
        plan.one(row.model_copy(update=needed), place.runs / "made", place)

    return combine


COMBINED = {
    **{name: combine_rows(members=["x"], **fields) for name, fields in KINDS.items()},
    "experts": combine_rows(kind="experts", member="x"),
    "distillation": combine_rows(distill={"teacher": "x"}),
    "compare": lambda a_row, place, *runs: compare(runs, place, place.runs / "made", repeats=0),
    "robust": lambda a_row, place, *runs: robust.of_runs(runs, place, place.runs / "made"),
}


@pytest.fixture(scope="session")
def resampled(write_member, tmp_path_factory) -> Run:
    """A member whose images differ in the filter alone, which here changes no pixel."""
    data = {"name": "digits", "resample": "nearest"}
    return write_member(tmp_path_factory.mktemp("other") / "m1", "m1", data=data)


@pytest.mark.parametrize("combine", COMBINED.values(), ids=COMBINED)
def test_images_are_the_same_by_one_definition(combine, a_row, place, members, resampled):
    """Whatever combines runs compares their `Images`, before anything is read or made."""
    assert resampled.dataset["digest"] == members[0].dataset["digest"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Place, "dataset", lambda *_: pytest.fail("data was decoded"))
        with pytest.raises(ValueError, match="same images|other images"):
            combine(a_row, place, members[0], resampled)
    assert not (place.runs / "made").exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "changes", [{"name": "mnist"}, {"size": 40}, {"resample": "nearest"}], ids=str
)
def test_an_ensemble_is_about_its_members_images(kind, changes, ensemble):
    with pytest.raises(ValueError, match="needs the same images .every field of data"):
        ensemble(kind, "m1", data={"name": "digits"} | changes)


def turned(content):
    content["class_names"].append(content["class_names"].pop(0))


def fewer(content):
    content["class_names"].pop()


def other_pixels(content):
    content["digest"]["train"] = "0" * 32


def other_count(content):
    content["validation"] -= 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (turned, r"class 0 is '\d' and '\d'"),
        (fewer, "9 classes and 10"),
        (other_pixels, "the train images or labels are others"),
        (other_count, "validation images: 358 and 359"),
    ],
)
def test_members_of_other_classes_and_pixels_are_refused(
    kind, change, told, a_row, place, members, tmp_path
):
    other = shutil.copytree(members[1].path, tmp_path / "m1")
    content = read_json(other / names.DATASET)
    change(content)
    write_json(other / names.DATASET, content)
    row = a_row("made", members=["m0", str(other)], **KINDS[kind])
    with pytest.raises(ValueError, match=told):
        executor.carry_out(plan.one(row, tmp_path / "made", place), place)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("what", ["images", "labels"])
@pytest.mark.parametrize("kind", ["held_out", "vote"])
def test_data_of_the_same_names_and_counts_is_compared_by_its_digest(
    kind, what, a_row, place, digits, tmp_path, monkeypatch
):
    images, labels = np.asarray(digits.train.images), digits.train.labels
    images, labels = (images // 2, labels) if what == "images" else (images, labels[::-1])
    other = dataclasses.replace(digits, train=Split(images, labels), digest=None)
    row = a_row("made", members=["m0", "m1"], **KINDS[kind])
    step = plan.one(row, tmp_path / "made", place)
    monkeypatch.setattr(Place, "dataset", lambda *_: other)
    with pytest.raises(ValueError, match="m0 and digits .*train images or labels are others, by"):
        executor.carry_out(step, place)
    assert not (tmp_path / "made").exists()


def test_data_without_the_digest_is_compared_by_its_labels(members, digits, tmp_path):
    """What was trained before data sets had digests is refused by the order of its labels."""
    old = Run(shutil.copytree(members[0].path, tmp_path / "m0"))
    described = read_json(old.path / names.DATASET)
    del described["digest"]
    write_json(old.path / names.DATASET, described)
    Run(old.path).check_data(digits)
    turned = dataclasses.replace(digits.validation, labels=digits.validation.labels[::-1])
    with pytest.raises(ValueError, match="the validation images have other labels"):
        Run(old.path).check_data(dataclasses.replace(digits, validation=turned))


# What nothing was fitted on ----------------------------------------------------------------------


@pytest.fixture(scope="session")
def shares(write_member, tmp_path_factory) -> dict[float, Run]:
    """Members that held out another share of the training images."""
    folder = tmp_path_factory.mktemp("shares")
    return {
        holdout: write_member(folder / f"m{number}", share={"holdout": holdout})
        for number, holdout in enumerate((0.0, 0.3))
    }


@pytest.mark.parametrize("kind", FITTED)
@pytest.mark.parametrize("holdout", [0.0, 0.3])
def test_what_is_fitted_needs_one_share(kind, holdout, ensemble, shares):
    with pytest.raises(ValueError, match="what one held out the other has seen"):
        ensemble(kind, shares[holdout])


def test_a_vote_that_fits_nothing_takes_any_share(a_row, place, shares, tmp_path):
    row = a_row("vote", members=["m0", str(shares[0.3])], kind="vote", rule="mean")
    assert executor.carry_out(plan.one(row, tmp_path / "vote", place), place)["top1"] > 60


@pytest.mark.parametrize("kind", ["held_out", "weighted"])
def test_members_that_saw_every_image_need_consent(kind, a_row, place, shares, tmp_path):
    row = a_row("made", members=[str(shares[0.0])], **KINDS[kind])
    fix = r"share.holdout=0.1.* (fit_on=train|weights=none)"
    with pytest.raises(ValueError, match=fix):
        plan.one(row, tmp_path / "made", place)
    consent = {"held_out": {"fit_on": "train"}, "weighted": {"weights": "none", "rule": "mode"}}
    assert plan.one(row.model_copy(update=consent[kind]), tmp_path / "made", place)


@pytest.mark.parametrize("kind", ["held_out", "out_of_fold", "weighted"])
def test_members_that_are_no_networks_leave_nothing_to_fit_on(kind, ensemble, stack):
    with pytest.raises(ValueError, match="stack is a stack, which was fitted on images that its"):
        ensemble(kind, stack)


def test_a_stack_among_the_members_is_taken_by_consent(a_row, place, stack, tmp_path):
    """It has no share of its own, so none that could differ from the others'."""
    row = a_row("made", members=["m0", str(stack)], **KINDS["train"])
    assert plan.one(row, tmp_path / "made", place)


def test_out_of_fold_needs_rows_that_learn_from_labels_alone(ensemble, make_run, a_row, tmp_path):
    for name, more in {
        "taught": {"distill": {"teacher": "m0"}},
        "hardened": {"adversarial": {"folder": "x"}},
    }.items():
        make_run(tmp_path / name, a_row(name, **more))
        with pytest.raises(
            ValueError, match=f"trains .*{name} again without each fold: that needs"
        ):
            ensemble("out_of_fold", tmp_path / name)


# Finished ----------------------------------------------------------------------------------------


def test_members_that_are_not_finished_are_named_with_their_command(a_row, place, tmp_path):
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / names.RECIPE).write_text((place.runs / "test" / "m1" / names.RECIPE).read_text())
    row = a_row("made", members=["m0", str(begun)], kind="stack")
    with pytest.raises(ValueError, match=r"begun is no finished run; make .* experiments run test"):
        plan.one(row, tmp_path / "made", place)
    row = a_row("made", members=["m0", str(tmp_path / "nowhere")], kind="stack")
    with pytest.raises(ValueError, match="nowhere is no run's folder: there is no recipe in it"):
        plan.one(row, tmp_path / "made", place)
    with pytest.raises(ValueError, match=f"experiments run {tmp_path.name}/nowhere"):
        ensembles.named([Run(tmp_path / "nowhere")])


def test_rows_of_a_paper_that_were_not_run_are_named_as_run_takes_them(place, tmp_path):
    row = recipes.load("quickstart/stack")
    with pytest.raises(ValueError, match="python -m experiments run quickstart/member_a$"):
        plan.one(row, tmp_path / "made", place)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("paper", recipes.papers())
def test_ensembles_of_the_papers_fit_their_members(paper, tmp_path, monkeypatch):
    """All that can be told before anything is run: needs, images, shares, classes, weights."""

    def check(name, weights=None, **_):
        """Fetching weights needs a package; that there are such does not."""
        assert weights is None or weights in zoo.info(name).weights

    monkeypatch.setattr(zoo, "check", check)
    where = Place(runs=tmp_path / "runs")
    steps = plan.make([paper], where)
    assert [step.row.name for step in steps if step.row.paper == paper]
    assert not where.runs.exists()
