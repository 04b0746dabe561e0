"""The section on models as a phone runs them."""

import csv
import json

import pytest

from experiments import recipes
from experiments.reports.context import Context
from experiments.reports.sections import phone
from experiments.runs import Run, tables

PLACE = {"device": "cpu", "date": "2026-11-21T10:00:00", "command": "python -m experiments bench"}


def timed(name, ms, run=None, **more):
    """Return a line of what was timed: of a run, or of a network with random weights."""
    metrics = json.loads((run / "metrics.json").read_text()) if run else {}
    told = {key: metrics.get(key, "") for key in ("recipe", "dataset", "top1", "top5")}
    told |= {
        "run": f"elsewhere/{run.name}" if run else "",
        "weights": "trained" if run else "random",
    }
    cost = {"parameters": 3_041_412, "macs": 161_394_496, "file_mb": 12.13, "load": 1.25}
    facts = {"case": name, "network": "ghostnet_cars", "input": "227x227x3", "ms_per_image": ms}
    return facts | told | cost | PLACE | more


def write(folder, *rows):
    """Write what was timed where a report looks for it."""
    with (folder / tables.PHONE).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def row(name, data="digits"):
    """Return a row of no paper."""
    given = {"recipe": f"own/{name}", "data": {"name": data}, "epochs": 2}
    return recipes.parse(given | {"model": {"name": "alphanet_v4"}}, "test")


SMALL = {"classes": 10, "images": 50, "epochs": 2}


def test_time_and_size_stand_beside_accuracy(make_run, page_of, tmp_path):
    run = make_run(tmp_path / "moved" / "a", row("net"), top1=62.0, **SMALL)
    write(tmp_path, timed("runs/net", 15.25, run), timed("squeezenet1_1", 7.456))
    page = page_of(tmp_path)
    heads = [" ".join(cell.split()) for cell in page.tables[1][0]]
    assert heads[:5] == ["Model", "Top-1 %", "Top-5 %", "Time ms an image", "File MB"]
    # The run is called as in the rest of the page, wherever it lay when it was timed.
    ours = page.row(1, "net")
    assert ours[0] == "net ghostnet_cars" and ours[1] == "62.0"
    assert ours[3:] == ["15.2", "12.1", "3.04", "161.4", "227x227x3"]
    other = page.row(1, "squeezenet1_1")
    assert other[0].endswith("random weights") and other[1:4] == ["–", "–", "7.46"]
    assert "2026-11-21, at a load of 1.2" in page.source


def test_accuracy_is_drawn_by_cost_for_each_data_set(make_run, tmp_path):
    runs, rows = [], []
    for data, names in {"digits": "ab", "mnist": "cd", "cifar10": "e"}.items():
        for name in names:
            runs.append(Run(make_run(tmp_path / name, row(name, data), top1=50.0, **SMALL)))
            rows.append(timed(name, 10.0, runs[-1].path))
    write(tmp_path, *rows, timed("of no run", 5.0))
    context = Context(
        runs=runs,
        labels=[run.name for run in runs],
        rows={},
        phones=[tmp_path / tables.PHONE],
        plots=tmp_path / "plots",
    )
    shown = phone.show(context)
    assert shown.links == [("phone", "On a phone")]
    [(folder, drawn)] = shown.plots
    # Of cifar10 a single point would say nothing.
    assert drawn.keys() == {"phone0_ms0", "phone0_macs0", "phone0_ms1", "phone0_macs1"}
    titles = [figure._suptitle.get_text() for figure in drawn.values()]
    assert titles == ["Top-1, %, on digits"] * 2 + ["Top-1, %, on mnist"] * 2
    assert {text.get_text() for text in drawn["phone0_ms1"].axes[0].texts} == {"c", "d"}


def test_a_damaged_table_is_named(tmp_path):
    (tmp_path / tables.PHONE).write_text("case,ms_per_image\na,1\n")
    with pytest.raises(ValueError, match=r"phone.csv cannot be used \(no command, .*measure again"):
        phone.read(tmp_path / tables.PHONE)
