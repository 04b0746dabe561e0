"""The command for people with pictures of their own."""

import pathlib
from typing import Annotated

import typer
from rich.markup import escape

from experiments.cli._options import Backend, CacheDir, console, place
from experiments.cli.listener import Console

app = typer.Typer()


@app.command()
def fit(
    pictures: Annotated[
        pathlib.Path,
        typer.Argument(
            metavar="DIR",
            help="class folders, with train/ and val/ or test/ above them or without, an archive "
            "of them, or a CSV file of paths and labels",
        ),
    ],
    minutes: Annotated[float, typer.Option(help="all of it, about")] = 20,
    best: Annotated[
        bool, typer.Option("--best", help="several networks and their stack, if there is time")
    ] = False,
    small: Annotated[bool, typer.Option("--small", help="few weights, for a phone")] = False,
    out: Annotated[
        pathlib.Path | None, typer.Option(help="folder (default: runs/fit and DIR's name)")
    ] = None,
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="leave out, and name, what cannot be read")
    ] = False,
    seed: Annotated[int, typer.Option(help="of weights and order")] = 0,
    cache_dir: CacheDir = None,
    backend: Backend = None,
) -> None:
    """Learn to tell your own pictures apart in a given time; begun again, it goes on.

    It looks at the pictures, measures this machine, chooses and writes a recipe that you may edit,
    trains, evaluates, and writes a page about how good it is and where it fails.

    Example: python -m experiments fit photos --minutes 20

    Example: python -m experiments fit photos.csv --small --out runs/fit/phone
    """
    if best and small:
        raise ValueError("--best and --small: give one of them")
    place(None, cache_dir, backend=backend)  # refuses a backend that there is not
    from experiments import auto
    from experiments.cli import _runs

    listener = Console(console)
    aim = "best" if best else "small" if small else "balanced"
    options = {"out": out, "skip_unreadable": skip_unreadable, "seed": seed}
    options |= {"cache_dir": cache_dir, "backend": backend}
    done = auto.fit(pictures, minutes=minutes, aim=aim, **options, listener=listener)
    listener.close()
    for part in _runs.shown([run.metrics for run in done.runs]):
        console.print(part)
    lines = (
        f"page: {done.page.resolve()}",
        f"recipes: {', '.join(map(str, done.recipes))}",
        f"try it: python -m experiments predict {done.run} PICTURE...",
    )
    for line in lines:
        console.print(escape(line), soft_wrap=True, highlight=False)
