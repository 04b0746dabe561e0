"""The command line in this process."""

import os
import sys

import pytest

from experiments.cli import main
from experiments.cli._options import console


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that runs a command: (exit code, standard output, standard error)."""
    monkeypatch.setattr(console, "_width", 200)
    monkeypatch.delenv("SMALLZOO_DEBUG", raising=False)
    before = dict(os.environ)

    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["experiments", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        return code, *capsys.readouterr()

    yield command
    # A command chooses the backend for the process.
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def fails(run):
    """Run a command that must be refused: exit code 2 and one message, which is returned."""

    def command(*arguments: object) -> str:
        code, _, told = run(*arguments)
        assert code == 2 and told.startswith("error: ") and "Traceback" not in told, told
        return told

    return command
