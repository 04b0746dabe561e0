"""Tables of measurements, and where they were made."""

import shlex

import pytest

from experiments import runs
from experiments._files import write_text
from experiments.runs import tables

COLUMNS = ("top1",), ("ensemble", "device")


def test_tables_say_where_and_when_they_were_measured(tmp_path):
    rows = [{"ensemble": "mean", "top1": 51.5}, {"ensemble": "mode", "top1": ""}]
    tables.write(rows, tmp_path / tables.COMPARISON)
    found = tables.read(tmp_path / tables.COMPARISON, *COLUMNS, "redo it")
    assert [row["top1"] for row in found] == [51.5, ""]
    assert [row["ensemble"] for row in found] == ["mean", "mode"]
    here = runs.environment()
    assert {row["device"] for row in found} == {here["device"]}
    assert all(f"keras {here['versions']['keras']}" in row["versions"] for row in found)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ensemble\nmean\n", "no device, top1"),
        ("", "no device, ensemble, top1"),
        ("ensemble,device,top1\nmean,cpu,half\n", "could not convert string to float: 'half'"),
    ],
)
def test_a_damaged_table_is_told_with_the_way_to_a_new_one(text, told, tmp_path):
    write_text(tmp_path / "cut.csv", text)
    with pytest.raises(ValueError, match=rf"cut.csv cannot be used \({told}\): redo it"):
        tables.read(tmp_path / "cut.csv", *COLUMNS, "redo it")


def test_a_run_tells_the_command_that_made_it(monkeypatch):
    monkeypatch.setattr("sys.argv", ["x", "run", "a b"])
    monkeypatch.delenv("SMALLZOO_COMMAND", raising=False)
    assert runs.environment()["command"] == "python -m experiments run 'a b'"
    told = shlex.join(["python", "-m", "experiments", "run", "laptop", "--jobs", "2"])
    monkeypatch.setenv("SMALLZOO_COMMAND", told)  # what a spawned process is given
    assert runs.environment()["command"] == told
    assert runs.environment()["cores"] > 0


def test_what_is_not_installed_or_no_checkout_is_left_out(monkeypatch):
    def missing(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr("subprocess.run", missing)
    found = runs.environment()
    assert found["commit"] is None and "keras" in found["versions"]
