"""Commands that make runs: `run` for rows and all that they need, and one for each kind of row.

What runs them is imported inside the commands: help stays instant.
"""

import pathlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from experiments import recipes
from experiments.cli._options import (
    RUNS,
    Backend,
    CacheDir,
    DataDir,
    Recipe,
    RunDir,
    Runs,
    Set,
    console,
    place,
)
from experiments.cli.listener import Console
from experiments.recipes import KINDS
from experiments.recipes.kinds import Kind, needed, with_needed

if TYPE_CHECKING:
    from experiments.place import Place
    from experiments.plan import Step

app = typer.Typer()


@app.command()
def run(
    names: Annotated[
        list[str], typer.Argument(metavar="PAPER[/ROW]...", help="papers, rows or recipe files")
    ],
    set_: Set = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="tell the plan and what it costs, run nothing")
    ] = False,
    jobs: Annotated[
        int, typer.Option(help="rows at once, each in a process with its share of the cores")
    ] = 1,
    data_dir: DataDir = None,
    cache_dir: CacheDir = None,
    runs: Runs = RUNS,
    backend: Backend = None,
) -> None:
    """Run rows of the papers' tables, after all that they need; begun again, it goes on.

    Finished rows are skipped. --set changes the rows that are named, of a whole paper those that
    have the field. A row that fails is told at the end, the others go on.

    Example: python -m experiments run laptop --data-dir ~/data --dry-run
    """
    from experiments import plan
    from experiments.cli import _runs

    where, listener = place(data_dir, cache_dir, runs, backend), Console(console)
    steps = plan.make(names, where, recipes.parse_set(set_ or []))
    if dry_run:
        listener.close()
        console.print(_runs.plan(plan.estimates(steps, where, listener)))
        return
    _finish(steps, where, listener, jobs)


def _finish(steps: "list[Step]", where: "Place", listener: Console, jobs: int) -> None:
    """Run steps, print their table, and leave with 1 where some failed."""
    from experiments import executor, progress
    from experiments.cli import _runs

    # Trials of a search are ended by deadlines, and may die: not in this process.
    apart = jobs != 1 or any(KINDS[step.row.kind].search for step in steps)
    hands = executor.Spawned(jobs, listener=listener) if apart else executor.Here(listener)
    outcome = progress.run(steps, hands, where, listener)
    listener.close()
    if outcome.runs:
        for part in _runs.shown([done.metrics for done in outcome.runs]):
            console.print(part)
        for done in outcome.runs:
            if "sweep" in done.metrics:
                console.print(_runs.sweep(done.metrics["sweep"]), markup=False, soft_wrap=True)
        console.print(f"run folders: [bold]{escape(str(where.runs))}[/]", soft_wrap=True)
    for folder, reason in outcome.failed.items():
        console.print(f"[bold red]failed:[/] {escape(str(folder))}: ", end="", soft_wrap=True)
        console.print(reason, markup=False, highlight=False, soft_wrap=True)
    if outcome.failed:
        raise typer.Exit(1)


def _command(name: str, kind: Kind) -> Callable:
    """Return the command that runs a single row of a kind."""

    def one(
        recipe_name: Recipe,
        folders: Annotated[
            list[pathlib.Path] | None,
            typer.Argument(help="finished runs, in the place of those that the recipe needs"),
        ] = None,
        set_: Set = None,
        data_dir: DataDir = None,
        cache_dir: CacheDir = None,
        runs: Runs = RUNS,
        run_dir: RunDir = None,
        backend: Backend = None,
    ) -> None:
        from experiments import executor, plan

        where, listener = place(data_dir, cache_dir, runs, backend), Console(console)
        row = _row(recipe_name, set_, kind)
        if folders:
            row = with_needed(row, where.names(row, folders))
        step = plan.one(row, run_dir or where.folder(row), where)
        metrics = executor.carry_out(step, where, listener)
        listener.close()
        _show(step, where, metrics)

    one.__doc__ = _about(name, kind)
    return one


def _about(name: str, kind: Kind) -> str:
    return f"""{kind.about}, as a row of a paper's table says; begun again, it goes on.

    Example: python -m experiments {name} {kind.example}
    """


def _row(recipe: str, changes: list[str] | None, kind: Kind) -> recipes.Row:
    """Return a row of a kind; ValueError for one of another."""
    row = recipes.load(recipe, recipes.parse_set(changes or []))
    if not isinstance(row, kind.schema):
        raise ValueError(
            f"{recipe} is of kind {row.kind}: python -m experiments {row.kind} {recipe}"
        )
    return row


def _search_command(name: str, kind: Kind) -> Callable:
    """Return the command that runs a single row of a kind that searches."""

    def one(
        recipe_name: Recipe,
        set_: Set = None,
        workers: Annotated[
            int, typer.Option(help="trials at once, each in a process with its share of the cores")
        ] = 1,
        data_dir: DataDir = None,
        cache_dir: CacheDir = None,
        runs: Runs = RUNS,
        run_dir: RunDir = None,
        backend: Backend = None,
    ) -> None:
        from experiments import plan

        if workers < 1:
            raise ValueError(f"--workers {workers}: give 1 or more")
        where, listener = place(data_dir, cache_dir, runs, backend), Console(console)
        row = _row(recipe_name, set_, kind)
        step = plan.one(row, run_dir or where.folder(row), where)
        _finish([step], where, listener, workers)

    one.__doc__ = _about(name, kind)
    return one


for _name, _kind in KINDS.items():
    app.command(_name)((_search_command if _kind.search else _command)(_name, _kind))


def _show(step: "Step", where: "Place", metrics: dict) -> None:
    """Print a run's result, after those of the runs that it is made of."""
    from experiments.cli import _runs
    from experiments.runs import Run

    others = [Run(where.named(step.row, name)) for name in needed(step.row)]
    for part in _runs.shown([*(other.metrics for other in others), metrics]):
        console.print(part)
    if "clean" in metrics:
        console.print(_runs.experts(metrics))
    console.print(f"run folder: [bold]{escape(str(step.folder))}[/]", soft_wrap=True)


@app.command()
def quickstart(runs: Runs = RUNS, jobs: int = 1, backend: Backend = None) -> None:
    """Train three small AlphaNets on digits, stack them and report: a minute on a laptop.

    The same as `run quickstart` and `report RUNS/quickstart`.

    Example: python -m experiments quickstart
    """
    from experiments import plan, reports

    began = time.perf_counter()
    where, listener = place(None, None, runs, backend), Console(console)
    _finish(plan.make(["quickstart"], where), where, listener, jobs)
    page = reports.report([runs / "quickstart"], runs / "quickstart" / "report.html").page
    console.print(
        f"{time.perf_counter() - began:.0f} s in all. Open [bold]{escape(str(page))}[/] in a "
        "browser; the next step is in the README: the same on Tiny ImageNet.",
        soft_wrap=True,
    )
