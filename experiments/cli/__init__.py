"""The command line. Keras is imported inside commands: help and lists stay instant."""

import os
import sys

import typer
from rich.console import Console
from rich.markup import escape

from experiments.cli import bench, ensemble, lists, runs

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    help="Small-image networks: run the papers' experiments, or your own.",
)
app.add_typer(lists.app)
app.add_typer(runs.app)
app.add_typer(ensemble.app, name="ensemble")
app.add_typer(bench.app, name="bench")


def main() -> None:
    """Run the command line; what the user can mend is told in one line, not as a traceback."""
    try:
        app()
    except ValueError as error:
        if os.environ.get("SMALLZOO_DEBUG"):
            raise
        Console(stderr=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False)
        sys.exit(2)
