"""The commands that measure speed: tables, files, refusals before the work."""

import csv
import io

import pytest
from rich.console import Console
from typer.testing import CliRunner

from experiments import backend as backends
from experiments.bench import models
from experiments.cli import bench


@pytest.fixture
def page(monkeypatch) -> io.StringIO:
    """What is printed."""
    text = io.StringIO()
    monkeypatch.setattr(bench, "console", Console(file=text, width=100))
    return text


ROWS = [{"case": f"case {n}", "batch": 2, "ms": 1234.56789 / n} for n in (1, 2)]


def test_rows_are_printed_as_they_come_and_written_together(page, tmp_path):
    def tables():
        for row in ROWS:
            yield [row]
            assert row["case"] in page.getvalue()

    bench.publish(tables(), tmp_path / "new" / "out.csv")
    with open(tmp_path / "new" / "out.csv", newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["case"] for row in found] == ["case 1", "case 2"]
    assert {"device", "cores", "date", "command", "versions"} <= found[0].keys()
    assert "1,235" in page.getvalue() and "out.csv" in page.getvalue()


@pytest.mark.parametrize("command", ["augment", "stack", "members", "models", "phone", "train"])
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--out", "taken/out.csv"], "taken"),
        (["--out", "folder"], "folder"),
        (["--repeats", "0"], "--repeats"),
        (["--repeats", "-2"], "-2"),
    ],
)
def test_what_cannot_be_written_or_counted_is_refused_before_the_work(
    command, options, told, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("")
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(backends, "load", None)
    monkeypatch.setattr(models, "process", None)
    result = CliRunner().invoke(bench.app, [command, *options])
    assert isinstance(result.exception, ValueError)
    assert told in str(result.exception)


def test_a_profile_is_a_line_for_each_part(page, tmp_path, monkeypatch):
    from experiments.bench import profile

    def run(row, place, **options) -> list[dict]:
        assert (row.epochs, place.cache_dir, options["noise"]) == (3, tmp_path, True)
        said = {"row": row.recipe, "precision": "float32"}
        values = dict(zip(profile.COLUMNS[1:], (2, 1.25, 50.0, "", ""), strict=True))
        return [{"part": part} | values | said for part in ("step", "Conv2D 3x3")]

    monkeypatch.setattr(profile, "run", run)
    options = ["--set", "epochs=3", "--noise", "--cache-dir", tmp_path, "--out", tmp_path / "p.csv"]
    command = ["profile", "laptop/ghostnet", *map(str, options)]
    CliRunner().invoke(bench.app, command, catch_exceptions=False)
    assert "row laptop/ghostnet, precision float32" in page.getvalue()
    assert "Conv2D 3x3" in page.getvalue() and "1.25" in page.getvalue()
    with open(tmp_path / "p.csv", newline="") as file:
        assert [row["part"] for row in csv.DictReader(file)] == ["step", "Conv2D 3x3"]


def test_training_is_told_what_was_asked_for(page, monkeypatch):
    from experiments.bench import train

    asked = []

    def each(only, **options) -> list[list[dict]]:
        asked.append((only, options["batch"], options["quick"], options["augmented"]))
        return [[dict.fromkeys(train.SHOWN, "") | {"case": "resnet18_32", "images_s": 12.5}]]

    monkeypatch.setattr(train, "each", each)
    command = ["train", "--only", "resnet*, wrn_16_4", "--batch", "4", "--quick", "--augment"]
    CliRunner().invoke(bench.app, command, catch_exceptions=False)
    assert asked == [(["resnet*", "wrn_16_4"], 4, True, True)]
    assert "resnet18_32" in page.getvalue() and "12.5" in page.getvalue()
