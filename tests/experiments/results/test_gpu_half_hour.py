"""The script for a rented GPU, with a stand-in for Python that keeps what it was asked to do."""

import os
import pathlib
import subprocess
import tarfile

import pytest

from experiments import recipes

SCRIPT = pathlib.Path(__file__).resolve().parents[3] / "experiments/results/gpu_half_hour.sh"
# It notes its arguments, fails for one row, and leaves a finished run, or a table.
PYTHON = """#!/usr/bin/env bash
echo "$*" >>"$NOTES"
case "$*" in *tiny_gpu_5*) echo "no such images" && exit 1 ;; esac
while [ $# -gt 0 ]; do
  case $1 in
    run) row=$2 ;;
    --runs) mkdir -p "$2/$row/state" && echo '{}' >"$2/$row/metrics.json" &&
      touch "$2/$row/model.keras" "$2/$row/state/history.json" ;;
    --out) echo a >"$2" ;;
  esac
  shift
done
"""


@pytest.fixture
def ask(tmp_path):
    """Run the script with the stand-in; return the process, and the commands it was asked for."""
    python, notes = tmp_path / "python", tmp_path / "notes"
    python.write_text(PYTHON)
    python.chmod(0o755)
    (tmp_path / "data" / "cifar10").mkdir(parents=True)

    def asked(*arguments: str, **more: str):
        notes.write_text("")
        told = {"PYTHON": str(python), "NOTES": str(notes), **more}
        done = subprocess.run(
            [SCRIPT, *arguments],
            cwd=tmp_path,
            env=os.environ | told,
            capture_output=True,
            text=True,
        )
        return done, notes.read_text().splitlines()

    return asked


def _rows(commands: list[str]) -> list[str]:
    return [words[3] for line in commands if (words := line.split())[2] == "run"]


def test_all_is_run_in_order_where_its_data_lies_and_a_failure_stops_nothing(ask, tmp_path):
    done, commands = ask("data", "runs", ROW_OPTIONS="--set epochs=1")
    assert done.returncode == 0, done.stderr
    first, data = commands[0], tmp_path / "data"
    assert first == (
        f"-m experiments run records/cifar10_gpu --data-dir {data / 'cifar10'} "
        f"--runs {tmp_path / 'runs'} --set epochs=1"
    )
    assert any(f"alphanet/alphanet_v4 --data-dir {data} " in line for line in commands)
    told = (tmp_path / "runs/gpu_half_hour.tsv").read_text()
    table = [line.split("\t") for line in told.splitlines()]
    assert len(table) == len(commands)
    failed = {name for status, _, name in table if status != "done"}
    assert failed == {"run records/tiny_gpu_5"}
    assert "no such images" in (tmp_path / "runs/logs/run_records_tiny_gpu_5.txt").read_text()
    with tarfile.open(tmp_path / "runs/results.tar.gz") as packed:
        names = packed.getnames()
    assert {"./records/cifar10_gpu/metrics.json", "./bench_augment.csv"} <= set(names)
    assert not [name for name in names if "state" in name or name.endswith(".keras")]


def test_begun_again_it_does_what_is_left(ask):
    ask("data", "runs")
    assert _rows(ask("data", "runs")[1]) == ["records/tiny_gpu_5"]


def test_without_time_and_dry_nothing_is_begun(ask, tmp_path):
    done, commands = ask("--dry-run", "data", "runs")
    assert not commands and not (tmp_path / "runs").exists()
    told = done.stdout.splitlines()
    assert all(int(line.split()[1]) < 600 for line in told)
    done, commands = ask("data", "runs", "30")
    assert not commands and done.stdout.count("no time") == len(told)


def test_its_rows_are_there_and_members_come_before_their_stack(ask):
    rows = _rows(ask("data", "runs")[1])
    assert len(set(rows)) == len(rows)
    for place, name in enumerate(rows):
        row = recipes.load(name)
        assert {f"{row.paper}/{needed}" for needed in recipes.needed(row)} <= set(rows[:place])


@pytest.mark.parametrize(
    "arguments", [(), ("data",), ("data", "runs", "soon"), ("a", "b", "1", "2")]
)
def test_wrong_arguments_are_told(ask, arguments):
    done, commands = ask(*arguments)
    assert done.returncode == 2 and done.stderr and not commands
