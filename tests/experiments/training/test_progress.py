"""Accuracy within the epochs: measured in passing, kept, and taken up again."""

import numpy as np
import pytest

import zoo
from experiments.runs import Run, images_until, names
from experiments.runs.history import reached_in_training
from experiments.training import budget

# Of four steps an epoch: two within the first, one within the second, the third's own last.
EVERY = 3
WITHIN = {"augment": "C", "validate_every": EVERY}
# On JAX it trains in blocks, on the others as Keras chooses.
ODD = {"augment": "C", "batch_size": 20, "jit": "auto"}
SIZES = np.array([20, 20, 20, 4] * 3)


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
    assert list(Run(tmp_path / "run").progress["step"]) == [1, 2, 3, 4, 5, 6, 7, 8]
    train(row, tmp_path / "run", stripes, cut=2)
    assert list(Run(tmp_path / "run").progress["step"]) == [1, 2, 3, 4, 5]
    run = train(row, tmp_path / "run", stripes)
    assert_same(run, unbroken)
    assert list(run.progress["step"]) == list(range(1, 11))
    for key in ("epoch", "step", "images", "train_top1", "val_loss", "val_top1"):
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


@pytest.fixture(scope="module")
def by_batch(parse, train, stripes, tmp_path_factory) -> Run:
    """A run with a line for every batch; three batches of 20 images and one of 4 make an epoch."""
    return train(parse(**ODD, progress_every=1), tmp_path_factory.mktemp("by_batch"), stripes)


@pytest.mark.backend
def test_accuracy_in_training_is_that_of_every_batch(by_batch, parse, train, stripes, tmp_path):
    """Batches of an epoch together have its accuracy; six digits of each are kept."""
    lines, history = by_batch.progress, by_batch.history
    assert list(lines["step"]) == list(range(1, 13))
    right = lines["train_top1"] * SIZES / 100
    np.testing.assert_allclose(right, right.round(), atol=1e-3)
    of_epochs = right.reshape(3, 4).sum(axis=1) / 64
    np.testing.assert_allclose(100 * of_epochs, history["top1"], rtol=1e-5)
    # Validation is measured where an epoch ends, which costs nothing.
    ends = list(range(3, 12, 4))
    assert list(np.flatnonzero(~np.isnan(lines["val_top1"]))) == ends
    assert list(lines["val_top1"][ends]) == list(history["val_top1"])


@pytest.mark.backend
@pytest.mark.parametrize("more", [{}, {"validate_every": 10}], ids=["training", "validation too"])
def test_a_line_is_of_the_batches_since_the_last_one(
    more, by_batch, parse, train, assert_same, stripes, tmp_path
):
    """Across the borders of epochs, and where a run was cut off between two lines."""
    row = parse(**ODD, progress_every=5, **more)
    train(row, tmp_path, stripes, cut=2)
    run = train(row, tmp_path, stripes)
    one, five = by_batch.progress, run.progress
    assert list(five["step"]) == [5, 10] and list(five["images"]) == [64 + 20, 2 * 64 + 40]
    right = (one["train_top1"] * SIZES)[:10].reshape(2, 5).sum(axis=1)
    expected = right / SIZES[:10].reshape(2, 5).sum(axis=1)
    np.testing.assert_allclose(five["train_top1"], expected, rtol=1e-5)
    assert list(np.isnan(five["val_top1"])) == [True, not more]
    weights = [zoo.load(each.model_file).get_weights() for each in (run, by_batch)]
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))
    assert run.metrics["images_to_30_window"] == 5
    learned = five["images"][five["train_top1"] >= 30]
    assert run.metrics["images_to_30"] == (learned[0] if len(learned) else None)


@pytest.mark.parametrize(
    ("top1", "found"),
    [
        ([], {}),
        ([None, None], {}),
        ([29.9], {"images_to_30": None, "images_to_30_window": 20}),
        ([None, 29, 30, 10], {"images_to_30": 900, "images_to_30_window": 20}),
    ],
    ids=["none", "of an earlier version", "never", "in the third"],
)
def test_images_until_training_itself_reached_30_percent(top1, found):
    lines = [
        {"step": 20 * number, "images": 300 * number, "train_top1": one}
        for number, one in enumerate(top1, start=1)
    ]
    assert reached_in_training(lines) == found


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
