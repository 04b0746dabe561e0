"""The command line. Keras is imported inside commands: help and lists stay instant."""

import os
import sys

import typer
from rich.console import Console
from rich.markup import escape

from experiments.cli import bench, embed, explain, fit, generate, listener, lists, make, use

# The exit code that Typer gives a command which Ctrl-C has stopped.
INTERRUPTED = 130

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    help="Small-image networks: run the papers' experiments, or your own.",
)
for _part in (fit, make, use, explain, embed, generate, lists):
    app.add_typer(_part.app)
app.add_typer(bench.app, name="bench")

# As these were called before `run` was there.
_ensemble = typer.Typer(help="The commands vote, compare and experts, by their former names.")
for _command in (*make.app.registered_commands, *use.app.registered_commands):
    if (_command.name or _command.callback.__name__) in ("vote", "compare", "experts"):
        _ensemble.registered_commands.append(_command)
app.add_typer(_ensemble, name="ensemble", hidden=True)


def main() -> None:
    """Run the command line; what the user can mend is told in one line, not as a traceback."""
    try:
        app()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            _tell("stopped: the same command goes on from here")
        raise
    except (ValueError, OSError) as error:
        if os.environ.get("SMALLZOO_DEBUG"):
            raise
        _tell(str(error))
        sys.exit(2)


def _tell(text: str) -> None:
    listener.clear()
    Console(stderr=True).print(
        f"[bold red]error:[/] {escape(text)}", highlight=False, soft_wrap=True
    )
