"""Commands on several runs together. Keras is imported inside them."""

import pathlib
from typing import Annotated

import typer

from experiments import backend as backends
from experiments import recipe
from experiments.cli._options import (
    Backend,
    CacheDir,
    DataDir,
    Members,
    Recipe,
    RunDir,
    Runs,
    Set,
    check_kind,
    console,
    finished,
    member_dir,
    run_dir_of,
)

app = typer.Typer(
    no_args_is_help=True,
    help="What finished runs are together: votes, and a table of everything they can be.",
)


@app.command()
def vote(
    recipe_name: Recipe,
    members: Members = None,
    set_: Set = [],  # noqa: B006
    data_dir: DataDir = None,
    cache_dir: CacheDir = None,
    runs: Runs = pathlib.Path("runs"),
    run_dir: RunDir = None,
    backend: Backend = None,
) -> None:
    """Let finished runs vote, as a row of a paper's table says.

    Example: python -m experiments ensemble vote laptop/mode --data-dir ~/data
    """
    row = recipe.load(recipe_name, recipe.parse_set(set_))
    check_kind(row, "vote", recipe_name)
    backends.load(backend)
    from experiments import commands

    folders = members or [member_dir(runs, row, member) for member in row.members]
    commands.vote(row, run_dir or run_dir_of(runs, row), folders, data_dir, cache_dir, console)


@app.command()
def compare(
    runs: Annotated[list[pathlib.Path], typer.Argument(help="run folders, or folders of them")],
    out: Annotated[
        pathlib.Path | None, typer.Option(help="folder (default: compare, beside the first run)")
    ] = None,
    data_dir: DataDir = None,
    cache_dir: CacheDir = None,
    repeats: Annotated[
        int, typer.Option(min=0, help="turns of each timed model; 0: no times")
    ] = 10,
    backend: Backend = None,
) -> None:
    """Compare every vote of trained members, and the stacks among the runs: accuracy and cost.

    All trained runs given are members; runs of votes and of class experts are left out.

    Example: python -m experiments ensemble compare runs/laptop --data-dir ~/data
    """
    folders = [found for run in runs for found in finished(run)]
    backends.load(backend)
    from experiments import commands

    target = out or folders[0].parent / "compare"
    commands.compare(folders, target, data_dir, cache_dir, repeats, console)


@app.command()
def experts(
    recipe_name: Recipe,
    set_: Set = [],  # noqa: B006
    data_dir: DataDir = None,
    cache_dir: CacheDir = None,
    runs: Runs = pathlib.Path("runs"),
    run_dir: RunDir = None,
    backend: Backend = None,
) -> None:
    """Attack a finished run, train experts for its classes on what comes of it, let them vote.

    Example: python -m experiments ensemble experts laptop/experts --data-dir ~/data
    """
    row = recipe.load(recipe_name, recipe.parse_set(set_))
    check_kind(row, "experts", recipe_name)
    backends.load(backend)
    from experiments import commands

    member = member_dir(runs, row, row.member)
    commands.experts(row, run_dir or run_dir_of(runs, row), member, data_dir, cache_dir, console)
