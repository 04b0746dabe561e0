"""Stacks whose head learns of all training images: members trained again without each fold."""

import keras
import numpy as np
import pytest

import augment
import stacking
import zoo
from experiments import executor, plan, progress, recipes
from experiments.ensembles import parts
from experiments.place import Place
from experiments.runs import Run, names
from experiments.training import train
from experiments.training.part import seen
from experiments.training.predict import predict_probs

FOLDS = 2


@pytest.fixture(scope="module")
def place(clean) -> Place:
    """Where the trained member lies."""
    return Place(runs=clean.path.parent.parent)


@pytest.fixture(scope="module")
def path(a_row, place, tmp_path_factory):
    """The recipe of a stack of the trained member, as a file."""
    fields = {"fit_on": "out_of_fold", "folds": FOLDS, "head": [], "epochs": 2}
    fields |= {"augment": "C", "views": 2, "seed": 3}
    row = a_row("oof", kind="stack", members=["clean"], **fields)
    path = tmp_path_factory.mktemp("recipe") / "oof.yaml"
    path.write_text(recipes.dump(row))
    return path


def carry_out(path, place, listener) -> progress.Outcome:
    return progress.run(plan.make([str(path)], place), executor.Here(listener), place, listener)


def part_of(place, fold: int) -> Run:
    return Run(place.runs / "test" / "oof" / "folds" / f"clean_{fold}")


def times(run: Run) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in run.path.iterdir() if file.is_file()}


@pytest.fixture(scope="module")
def cut(path, place, told):
    """The stack, cut in the second epoch of its second part, and then before its own begin."""
    folder, own = place.runs / "test" / "oof", "test/oof on digits"
    first = carry_out(path, place, told(_in_second_part))
    assert list(first.failed) == [folder] and "cut" in first.failed[folder]
    assert part_of(place, 0).finished and not part_of(place, 1).finished
    assert not Run(folder).finished
    kept, listener = times(part_of(place, 0)), told(lambda texts: texts[-1] == own)
    assert folder in carry_out(path, place, listener).failed
    return folder, kept, listener


def _in_second_part(texts: list[str]) -> bool:
    parts = [
        number for number, text in enumerate(texts) if "test/clean on digits: without part" in text
    ]
    return len(parts) == 2 and "epoch 2 of 3" in texts[parts[1] :]


def test_parts_are_runs_of_their_own_that_are_resumed_and_not_repeated(cut, place, clean, digits):
    folder, kept, listener = cut
    assert times(part_of(place, 0)) == kept
    assert listener.texts.count("test/clean on digits: without part 2 of 2") == 1
    begun = next(text for text in listener.texts if text.startswith("epoch"))
    assert begun.startswith("epoch 2 of 3")
    counts = []
    for fold in range(FOLDS):
        part = part_of(place, fold).check()
        assert part.row.share.model_dump() == {"holdout": 0.2, "folds": FOLDS, "fold": fold}
        assert not recipes.differences(
            part.row.model_copy(update={"share": clean.row.share, "title": ""}), clean.row
        )
        assert list(part.history["epoch"]) == [1, 2, 3]
        counts.append(part.dataset["train"])
    # Each fold is the other's part.
    assert sum(counts) == clean.dataset["train"] and abs(counts[0] - counts[1]) <= 10
    assert not (folder / names.METRICS).exists()


def test_a_part_of_another_recipe_is_none(cut, path, place, told):
    """The member was made anew since: what its parts have learned is not what it has."""
    part = part_of(place, 0)
    text = recipes.dump(part.row)
    (part.path / names.RECIPE).write_text(recipes.dump(part.row.model_copy(update={"epochs": 9})))
    try:
        failed = carry_out(path, place, told()).failed
        assert "clean_0 was begun with another recipe (epochs: 9 -> 3)" in failed[cut[0]]
    finally:
        (part.path / names.RECIPE).write_text(text)


def test_the_head_learns_of_every_image_from_a_model_that_never_saw_it(
    cut, path, place, clean, digits, told, monkeypatch
):
    given = []

    def note(model, views, labels, **settings):
        given.append((views, labels))
        return fit(model, views, labels, **settings)

    fit, listener = stacking.fit_head_on, told()
    monkeypatch.setattr(stacking, "fit_head_on", note)
    for name in ("run", "train"):  # the parts are there: the stack itself trains none
        monkeypatch.setattr(train, name, lambda *_, **__: pytest.fail("a row was trained"))
    outcome = carry_out(path, place, listener)
    assert not outcome.failed and outcome.runs[-1].path == cut[0]
    (views, labels), part = given[0], seen(digits, clean.row.share)
    np.testing.assert_array_equal(labels, part.train.labels)
    assert len(views) == 2
    for fold, rows in enumerate(part.folds(FOLDS)):
        model, images = zoo.load(part_of(place, fold).model_file), part.train.batch(rows)
        for view, outputs in enumerate(views):
            shown = augment.batch(images, augment.C, seed=3, epoch=view, indices=rows)
            expected = predict_probs(model, keras.ops.convert_to_numpy(shown))
            # Batches of another size sum in another order.
            np.testing.assert_allclose(outputs[0][rows], expected, atol=1e-5)
    head = f"head on {len(part.train):,} images, each by models that never saw it"
    assert head in listener.texts

    run = Run(cut[0]).check()
    assert run.metrics["epochs"] == 2 and run.metrics["members"][0]["name"] == "clean"
    inside = stacking.members_of(zoo.load(run.model_file))["clean"].get_weights()
    trained = zoo.load(clean.model_file).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(inside, trained, strict=True))


def test_other_stacks_have_no_parts(a_row, place, tmp_path):
    for fit_on in ("held_out", "train"):
        row = a_row("x", kind="stack", members=["clean"], fit_on=fit_on)
        assert parts.folds(row, tmp_path, place) == []


def test_each_member_is_trained_without_each_fold(a_row, place, clean, tmp_path):
    row = a_row("x", kind="stack", members=["clean"], fit_on="out_of_fold", folds=3)
    found = parts.folds(row, tmp_path, place)
    assert [(part.share.fold, where.name) for part, where in found] == [
        (fold, f"clean_{fold}") for fold in range(3)
    ]
    assert {part.share.holdout for part, _ in found} == {0.2}
    assert all(part.expect is None and part.seed == clean.row.seed for part, _ in found)
