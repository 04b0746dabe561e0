"""The report's section on robustness."""

import numpy as np
import pytest

import augment
from experiments.reports.sections import robustness
from experiments.runs import tables

MODELS = ("one", "two", "vote: mean", "vote: mode")


def card() -> list[dict]:
    """Rows as `experiments.studies.robust` makes them, of seeded accuracies."""
    measures = [("clean", 0.0)] + [(what, eps) for eps in (8.0, 60.0) for what in ("fgsm", "pgd")]
    measures += [(kind, float(s)) for kind in augment.CORRUPTIONS for s in range(1, 6)]
    rng = np.random.default_rng(0)
    return [
        {"model": model, "measure": what, "strength": strength, "n": 60, "seed": 0}
        | {"top1": float(rng.integers(0, 101))}
        for model in MODELS
        for what, strength in measures
    ]


def scores(rows, model):
    return {(r["measure"], r["strength"]): r["top1"] for r in rows if r["model"] == model}


def test_the_report_reads_the_card(tmp_path):
    rows = card()
    tables.write(rows, tmp_path / tables.ROBUSTNESS)
    read = robustness.Card(robustness.read(tmp_path / tables.ROBUSTNESS))
    found = scores(rows, "two")
    assert (read.n, read.models) == (60, ["one", "two", "vote: mean", "vote: mode"])
    assert read.clean("two") == found["clean", 0.0]
    assert read.attacked("two", "pgd", 8.0) == found["pgd", 8.0]
    severities = [found["jpeg", float(severity)] for severity in range(1, 6)]
    assert read.corrupted("two", "jpeg") == pytest.approx(np.mean(severities))
    axes = robustness.figure(read).axes[0]
    assert len(axes.lines) == 8  # FGSM and PGD of four
    assert axes.lines[0].get_ydata().tolist() == [
        scores(rows, "one")[key] for key in (("clean", 0.0), ("fgsm", 8.0), ("fgsm", 60.0))
    ]


def test_a_damaged_card_is_named(tmp_path):
    (tmp_path / tables.ROBUSTNESS).write_text("model,measure\none,clean\n")
    with pytest.raises(ValueError, match=r"robustness.csv cannot be used \(no n, strength, top1\)"):
        robustness.read(tmp_path / tables.ROBUSTNESS)
