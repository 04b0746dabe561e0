"""What a run keeps: history and outputs, read as they were written, and its metrics."""

import types

import numpy as np
import pytest

from experiments import recipes
from experiments._files import write_text
from experiments.runs import history, metrics, outputs, scores, short_names


def test_a_history_is_read_as_it_was_written(tmp_path):
    lines = [
        {"epoch": 1, "loss": 2.0, "top1": 10.0, "val_loss": 1.234567891, "val_top1": 20.0},
        {"epoch": 2, "loss": 1.0, "top1": 15.0, "val_loss": 1e-7, "val_top1": 25.0},
    ]
    history.write(tmp_path / "history.csv", lines)
    found = history.read(tmp_path / "history.csv")
    assert list(found) == list(lines[0])
    # Six digits are kept.
    assert found["val_loss"] == pytest.approx([1.234567891, 1e-7], rel=1e-5)
    assert (found["epoch"] == [1, 2]).all() and found["loss"].dtype == float


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no column epoch, loss"),
        ("epoch,loss,top1,val_loss,val_top1\n", "no lines"),
        ("epoch,loss,top1,val_loss,val_top1\n1,2,3,4\n", "line 2: could not broadcast"),
        ("epoch,loss,top1,val_loss,val_top1\n1,2,3,4,5\n2,2,x,4,5\n", "line 3: .*'x'"),
    ],
)
def test_a_history_of_no_use_is_told_by_its_line(text, told, tmp_path):
    write_text(tmp_path / "history.csv", text)
    with pytest.raises(ValueError, match=told):
        history.read(tmp_path / "history.csv")


@pytest.mark.parametrize(
    ("columns", "best"),
    [
        ({"val_top1": [1, 3, 3, 2]}, 1),
        ({"val_top1": [np.nan, 0]}, 1),
        ({"val_top1": [9, 3, 4, 4], "size": [32, 64, 64, 64]}, 2),
        ({"val_top1": [5, 9, 4], "size": [64, 32, 64]}, 0),
    ],
)
def test_the_best_epoch_is_the_first_of_equals_of_the_last_size(columns, best):
    assert history.best(columns) == best


def test_an_empty_cell_of_a_history_is_no_number(tmp_path):
    write_text(tmp_path / "h.csv", "epoch,loss,top1,val_loss,val_top1\n1,2,3,4,\n")
    assert np.isnan(history.read(tmp_path / "h.csv")["val_top1"]).all()


def test_outputs_are_read_as_they_were_written(tmp_path):
    arrays = {"probs": np.eye(3, dtype=np.float32), "labels": np.arange(3)}
    outputs.write(tmp_path / "p.npz", **arrays)
    found = outputs.read(tmp_path / "p.npz", outputs.PREDICTIONS)
    assert all((found[key] == value).all() for key, value in arrays.items())
    with pytest.raises(ValueError, match="no array wrong_images"):
        outputs.read(tmp_path / "p.npz", outputs.SAMPLES)
    np.save(tmp_path / "x.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(ValueError, match="pickle"):
        outputs.read(tmp_path / "x.npy", ())


def test_the_most_confident_mistakes_are_kept():
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (100, 2, 2, 1), np.uint8), np.zeros(100, int)
    probs = rng.dirichlet(np.ones(4), 100)
    found = outputs.mistakes(images, probs, labels)
    wrong = np.flatnonzero(probs.argmax(axis=1) != 0)
    assert len(found["wrong_images"]) == outputs.MISTAKES < len(wrong)
    assert found["wrong_confidence"].min() == np.sort(probs[wrong].max(axis=1))[-24]
    assert (np.diff(found["wrong_confidence"]) <= 0).all()
    none = outputs.mistakes(images, np.eye(4)[labels], labels)
    assert none["wrong_images"].shape == (0, 2, 2, 1)


# metrics.json ---------------------------------------------------------------------------------

FITTED = {
    "train_top1",
    "epochs",
    "best_epoch",
    "keep",
    "last_top1",
    "seconds",
    "seconds_per_epoch",
    "images_per_second",
}
ROWS = {
    "alphanet/alphanet_v4": ("train", "alphanet_v4", FITTED | {"seed"}),
    "quickstart/stack": ("stack", "member_a+member_b+member_c", FITTED | {"seed"}),
    "laptop/mode": ("vote", "ghostnet+alphanet+simplenet", set()),
    "laptop/experts": ("experts", recipes.load("laptop/experts").member, {"seed"}),
}


@pytest.mark.parametrize("name", ROWS)
def test_metrics_of_every_kind_are_built_alike(name):
    row = recipes.load(name)
    kind, model, own = ROWS[name]
    lines = [
        {"epoch": e, "top1": t, "val_top1": v, "seconds": s, "images_per_second": 10.0 * s}
        for e, t, v, s in ((1, 1.0, 2.0, 5.0), (2, 2.0, 9.0, 1.0), (3, 3.0, 9.0, 2.0))
    ]
    scored = scores.accuracy(np.eye(3), np.arange(3))
    cost = {"parameters": 7, "macs": 8}
    fitted = row.kind in ("train", "stack")
    described = {"name": "noise", "validation": 3}
    found = metrics.build(
        row, described, scored, cost, history=lines if fitted else (), members=["x"]
    )
    assert found.keys() == own | scored.keys() | cost.keys() | {
        *("recipe", "kind", "model", "dataset", "n"),
        *("backend", "device", "date", "command", "expect", "members"),
    }
    assert set(metrics.REQUIRED) <= found.keys()
    assert (found["kind"], found["model"], found["n"]) == (kind, model, 3)
    assert found["expect"] == (row.expect and row.expect.model_dump(exclude_none=True))
    if fitted:
        assert (found["best_epoch"], found["last_top1"], found["train_top1"]) == (2, 9.0, 2.0)
        assert (found["seconds"], found["seconds_per_epoch"]) == (8.0, 2.0)
        assert found["images_per_second"] == 20.0 and found["keep"] == row.keep


def test_a_member_is_told_by_what_it_scored():
    kept = {"top1": 1.0, "top3": 2.0, "top5": 3.0, "parameters": 4}
    found = metrics.of_member("a", types.SimpleNamespace(), kept | {"loss": 5}, weight=0.5)
    assert found == {"name": "a", "run": "namespace()", **kept, "weight": 0.5}


def test_names_are_short_and_told_apart():
    given = ["goldfish, Carassius", "crane, bird", "crane, machine", "x" * 30]
    assert short_names(given, ["n1", "n2", "n3", "n4"]) == [
        *("goldfish", "crane (n2)", "crane (n3)"),
        "x" * 21 + "…",
    ]
    assert short_names(["a", "a"]) == ["a (0)", "a (1)"]
