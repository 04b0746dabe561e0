"""Memory of searches: what is read of processes, what is told, what is refused before the work."""

import os
import subprocess
import sys

import pytest
from PIL import Image
from typer.testing import CliRunner

from experiments.bench import sweep
from experiments.cli import bench

ROWS = [
    {"case": case, "trial": trial, "seconds": 2.0 * trial, "search_mb": mb, "all_mb": most}
    for case, sizes in ((sweep.OURS, (57.5, 58.0, 57.75)), (sweep.THEIRS, (900.0, 920.0, 940.0)))
    for trial, (mb, most) in enumerate(zip(sizes, (1200.0, 1300.0, 1250.0), strict=True), start=1)
]


def test_growth_is_from_the_first_trial_to_the_last():
    ours, theirs = sweep.summary(ROWS)
    assert (ours["case"], ours["trials"], ours["seconds"]) == (sweep.OURS, 3, 6.0)
    assert ours["growth, MB"] == 0.25 and theirs["growth, MB"] == 40
    assert ours["most of all processes, MB"] == 1300


def test_the_curves_are_drawn(tmp_path):
    sweep.draw(ROWS, tmp_path / "memory.png")
    with Image.open(tmp_path / "memory.png") as drawn:
        assert drawn.size[0] > 400


def test_memory_is_that_of_a_process_and_of_all_that_it_started():
    wait = "import sys; print(flush=True); sys.stdin.read()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", wait], stdin=pipe, stdout=pipe) as child:
        child.stdout.readline()
        found = sweep._memory(os.getpid())
        child.stdin.close()
    assert {os.getpid(), child.pid} <= found.keys()
    # An interpreter takes some megabytes, this one with all that tests load more.
    assert found[os.getpid()] > found[child.pid] > 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--trials", "0"], "--trials"),
        (["--workers", "65"], "--workers"),
        (["--out", "taken/a.csv"], "taken"),
        (["--plot", "taken/a.png"], "taken"),
    ],
)
def test_what_cannot_be_done_is_refused_before_the_work(options, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("")
    monkeypatch.setattr(sweep, "run", None)
    result = CliRunner().invoke(bench.app, ["sweep", *options])
    assert isinstance(result.exception, ValueError) and told in str(result.exception)
