"""Accuracy within the epochs: measured in passing, kept, and taken up again."""

import numpy as np
import pytest

import zoo
from experiments.runs import Run, images_until, names
from experiments.training import budget

# Of four steps an epoch: two within the first, one within the second, the third's own last.
EVERY = 3
WITHIN = {"augment": "C", "validate_every": EVERY}


@pytest.mark.backend
def test_measuring_within_epochs_changes_nothing_else(
    parse, train, stripes, tmp_path, listening, monkeypatch
):
    """Dropout is in the network, and draws on as if nothing had been measured."""
    plain = train(parse(augment="C"), tmp_path / "plain", stripes)
    run = train(parse(**WITHIN), tmp_path / "run", stripes, listener=listening)
    weights = [zoo.load(one.model_file).get_weights() for one in (plain, run)]
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))
    for key in ("loss", "top1", "val_loss", "val_top1", "images"):
        assert np.array_equal(plain.history[key], run.history[key]), key
    lines = run.progress
    assert list(lines["step"]) == [3, 6, 9, 12] and list(lines["epoch"]) == [1, 2, 3, 3]
    assert list(lines["images"]) == [48, 96, 144, 192]
    assert (np.diff(lines["seconds"]) > 0).all()
    assert lines["val_loss"][-1] == run.history["val_loss"][-1]
    told = [f"after {16 * step} images: top-1 {top1:.1f} %" for step, top1 in _first(lines, 3)]
    assert [text for text in listening.said if text.startswith("after")] == told
    assert plain.progress == {} and not (plain.path / names.PROGRESS).exists()


def _first(lines: dict, count: int) -> list[tuple[int, float]]:
    return [(int(lines["step"][i]), lines["val_top1"][i]) for i in range(count)]


@pytest.mark.backend
def test_a_line_is_that_of_the_weights_of_its_moment(parse, train, stripes, tmp_path):
    run = train(parse(**WITHIN), tmp_path / "run", stripes)
    short = train(parse(augment="C", max_steps=2 * EVERY), tmp_path / "short", stripes)
    assert run.progress["val_top1"][1] == short.history["val_top1"][-1]
    # Cross entropies of probabilities and of logits, six digits of them.
    assert run.progress["val_loss"][1] == pytest.approx(short.history["val_loss"][-1], rel=1e-4)


@pytest.mark.backend
def test_lines_of_a_run_that_was_cut_off_are_those_of_an_unbroken_one(
    parse, train, assert_same, stripes, tmp_path, monkeypatch
):
    row = parse(**WITHIN | {"validate_every": 1, "max_steps": 10})
    unbroken = train(row, tmp_path / "unbroken", stripes)
    with monkeypatch.context() as patch:
        patch.setattr(budget.Budget, "on_epoch_end", _raise_in_the_second)
        with pytest.raises(RuntimeError, match="cut"):
            train(row, tmp_path / "run", stripes)
    # Lines of the second epoch were written, its state was not: they are measured again.
    assert list(Run(tmp_path / "run").progress["step"]) == [1, 2, 3, 4, 5, 6, 7]
    train(row, tmp_path / "run", stripes, cut=2)
    assert list(Run(tmp_path / "run").progress["step"]) == [1, 2, 3, 4, 5]
    run = train(row, tmp_path / "run", stripes)
    assert_same(run, unbroken)
    assert list(run.progress["step"]) == list(range(1, 11))
    for key in ("epoch", "step", "images", "val_loss", "val_top1"):
        assert np.array_equal(run.progress[key], unbroken.progress[key]), key


def _raise_in_the_second(kept: budget.Budget, epoch: int, logs=None) -> None:
    if epoch == 1:
        raise RuntimeError("cut")


def test_time_of_measuring_is_none_of_training(parse, train, stripes, tmp_path, monkeypatch):
    """An hour passes in every measurement; speed is told without it."""
    from experiments.training import callbacks, progress

    class Hours:
        gone = 0.0

        def perf_counter(self) -> float:
            Hours.gone += 1
            return Hours.gone

    def slow(*_):
        Hours.gone += 3600
        return {"loss": 1.0, "top1": 50.0}

    monkeypatch.setattr(callbacks, "time", Hours())
    monkeypatch.setattr("experiments.training.fit.measured", slow)
    assert progress.measured is not slow
    run = train(parse(validate_every=1, epochs=1), tmp_path, stripes)
    assert run.history["seconds"][0] > 3 * 3600
    assert run.history["images_per_second"][0] > 1


@pytest.mark.parametrize(
    ("top1", "images"), [(0, 1000), (12, 1500), (20, 1500), (21, 2000), (40, 4000), (41, None)]
)
def test_the_first_number_of_images_at_which_an_accuracy_was_reached(top1, images, tmp_path):
    run = _Lines()
    run.history = {"images": np.array([2000, 4000]), "val_top1": np.array([30.0, 40.0])}
    run.progress = {"images": np.array([1000, 1500, 2000]), "val_top1": np.array([11, 20.0, 30])}
    assert images_until(run, top1) == images


def test_runs_of_earlier_versions_do_not_know_their_images():
    run = _Lines()
    run.history = {"epoch": np.array([1.0]), "val_top1": np.array([30.0])}
    assert images_until(run, 1) is None


class _Lines:
    progress: dict = {}
    history: dict = {}
