"""What several commands take, and the place that they mean."""

import os
import pathlib
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console as Screen

if TYPE_CHECKING:
    from experiments.place import Place

console = Screen()

Recipe = Annotated[str, typer.Argument(help="PAPER/ROW, or a recipe file such as RUN/recipe.yaml")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="FIELD=VALUE over the recipe, repeatable")
]
DataDir = Annotated[
    pathlib.Path | None, typer.Option(help="the data set's folder or archive, or its parent")
]
CacheDir = Annotated[
    pathlib.Path | None, typer.Option(help="decoded images (default: ~/.cache/smallzoo)")
]
Runs = Annotated[pathlib.Path, typer.Option(help="folder that holds the run folders")]
RunDir = Annotated[
    pathlib.Path | None, typer.Option(help="this run's folder (default: RUNS/PAPER/ROW)")
]
RunFolder = Annotated[pathlib.Path, typer.Argument(help="a finished run's folder")]
RunFolders = Annotated[
    list[pathlib.Path], typer.Argument(help="run folders, or folders that hold some")
]
Backend = Annotated[
    str | None, typer.Option(help="tensorflow, jax or torch (default: KERAS_BACKEND)")
]
Views = Annotated[
    str,
    typer.Option(
        help="ask with several views of an image: mirror, the mean with its mirror image; shifts, "
        "also of both moved by a pixel"
    ),
]
RUNS = pathlib.Path("runs")


def place(
    data_dir: pathlib.Path | None,
    cache_dir: pathlib.Path | None,
    runs: pathlib.Path = RUNS,
    backend: str | None = None,
) -> "Place":
    """Return the place that options name; `ValueError` for a backend that there is not."""
    from experiments.place import Place

    if backend or os.environ.get("KERAS_BACKEND"):
        from experiments.backend import choose

        choose(backend)
    return Place(data_dir, cache_dir, runs, backend)


def numbers(option: str, text: str) -> list[float]:
    """Read numbers with commas between them."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{option} {text!r}: give numbers, as 1,2,4,8") from None
