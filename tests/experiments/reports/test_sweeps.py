"""The section of sweeps: its table of trials, its figures, and what is published beside them."""

import random

import pytest

from experiments import recipes
from experiments.reports import report
from experiments.reports.search_plots import axis
from experiments.runs import Run, names, trials

SPACE = {
    "optimizer.name": ["adam", "sgd"],
    "optimizer.learning_rate": {"min": 0.0001, "max": 0.01, "sampling": "log"},
    "optimizer.momentum": {"choices": [0.0, 0.9], "when": {"optimizer.name": "sgd"}},
    "augment": [None, "C", {"horizontal_flip": 0.5}],
}


@pytest.fixture
def searched(make_run):
    """Return a function that leaves the folder of a finished sweep of 24 trials, two failed."""

    def make(folder, **fields):
        row = recipes.load("alphanet/bravonet_v3_sgd_search", {"space": SPACE, "trials": 24})
        row = row.model_copy(update=fields)
        rng, lines = random.Random(0), []
        for number in range(1, 25):
            values = {"optimizer.name": rng.choice(["adam", "sgd"])}
            values["optimizer.learning_rate"] = 10 ** rng.uniform(-4, -2)
            if values["optimizer.name"] == "sgd":
                values["optimizer.momentum"] = rng.choice([0.0, 0.9])
            values["augment"] = rng.choice(SPACE["augment"])
            failed = number in (5, 17)
            reason = "its process ended by signal SIGKILL (log: 005/log.txt)" if failed else ""
            score = (
                None if failed else 30 + rng.gauss(0, 3) + 1000 * values["optimizer.learning_rate"]
            )
            status = "failed" if failed else "finished"
            seconds = None if failed else 61.5
            lines.append(trials.Line(number, status, score, None, None, 1, seconds, reason, values))
        best = trials.best(lines, False)
        found = {
            "objective": "val_top1",
            "best": best.trial,
            "score": best.score,
            "values": best.values,
            "trials": 24,
            "failed": 2,
            "retrained": {"top1": 44.1, "epochs": 96},
        }
        make_run(
            folder, row, classes=200, images=10000, top1=best.score, sweep=found, seconds=1353.0
        )
        trials.write(folder / names.TRIALS_TABLE, lines, list(SPACE))
        return Run(folder), lines

    return make


def test_trials_stand_in_the_order_of_their_scores(searched, tmp_path, page_of):
    run, lines = searched(tmp_path / "run")
    page = page_of(run.path)
    table = next(t for t in page.tables if t[0][0] == "Trial")
    assert table[0] == ["Trial", "val_top1", *SPACE, "Time h:mm:ss"]
    scored = sorted((one for one in lines if one.finished), key=lambda one: -one.score)
    assert [row[0].split()[0] for row in table[1:]] == [
        *(str(one.trial) for one in scored),
        *("5", "17"),
    ]
    assert [row[1].strip() for row in table[1:23]] == [f"{one.score:.4g}" for one in scored]
    assert "failed" in table[23][0] and "signal SIGKILL" in table[23][0]
    assert "Published top-1 40.8 %" in " ".join(" ".join(page.text).split())
    assert "44.1 % top-1 after 96 epochs" in " ".join(page.text)
    assert "24, 2 of them failed" in " ".join(page.text)
    assert 'augment no. 3: {"horizontal_flip": 0.5}' in "".join(page.text)
    assert "best so far" in page.source and "published" in page.source


def test_figures_are_kept_as_files(searched, tmp_path):
    run, _ = searched(tmp_path / "run")
    report([run.path], tmp_path / "page.html", plots=True)
    kept = {path.stem for path in run.plots.glob("*.png")}
    assert {"order", "parallel", *(f"field{number}" for number in range(4))} <= kept


def test_a_damaged_table_is_named(searched, tmp_path):
    run, _ = searched(tmp_path / "run")
    (run.path / names.TRIALS_TABLE).write_text("trial,status\n1,finished\n")
    with pytest.raises(ValueError, match="trials.csv cannot be used"):
        report([run.path], tmp_path / "page.html")


def test_scales_of_fields(searched, tmp_path):
    run, lines = searched(tmp_path / "run")
    by_name = {one.name: one for one in run.row.dimensions}
    rate = axis(by_name["optimizer.learning_rate"], lines)
    assert [text for _, text in rate.ticks] == ["0.0001", "0.001", "0.01"]
    assert ((rate.places >= 0) & (rate.places <= 1)).all()
    momentum = axis(by_name["optimizer.momentum"], lines)
    varied = [line.values["optimizer.name"] == "sgd" for line in lines]
    assert (momentum.places == momentum.places).tolist() == varied
    augment = axis(by_name["augment"], lines)
    assert [text for _, text in augment.ticks] == ["none", "C", "no. 3"]


def test_the_table_comes_back_as_it_was_written(searched, tmp_path):
    run, lines = searched(tmp_path / "run")
    assert trials.read(run.path / names.TRIALS_TABLE) == lines
