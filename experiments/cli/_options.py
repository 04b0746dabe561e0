"""What several commands take, and the folders that they mean."""

import pathlib
from typing import Annotated

import typer
from rich.console import Console

from experiments.rows import Row

console = Console()
# Kind of a row -> the command that runs it.
COMMANDS = {
    "train": "train",
    "stack": "stack",
    "vote": "ensemble vote",
    "experts": "ensemble experts",
}

Recipe = Annotated[str, typer.Argument(help="PAPER/ROW, or a recipe file such as RUN/recipe.yaml")]
Set = Annotated[list[str], typer.Option("--set", help="FIELD=VALUE over the recipe, repeatable")]
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
Run = Annotated[pathlib.Path, typer.Argument(help="a finished run's folder")]
Members = Annotated[
    list[pathlib.Path] | None,
    typer.Argument(help="finished runs (default: the recipe's members under RUNS)"),
]
Csv = Annotated[pathlib.Path | None, typer.Option(help="CSV file to write")]
Repeats = Annotated[int, typer.Option(help="turns of each case")]
Backend = Annotated[
    str | None, typer.Option(help="tensorflow, jax or torch (default: KERAS_BACKEND)")
]


def check_kind(row: Row, kind: str, name: str) -> None:
    """Raise ValueError with the right command for a row of another kind."""
    if row.kind != kind:
        raise ValueError(
            f"{name} is of kind {row.kind}: python -m experiments {COMMANDS[row.kind]} {name}"
        )


def run_dir_of(runs: pathlib.Path, row: Row) -> pathlib.Path:
    return runs / row.recipe


def member_dir(runs: pathlib.Path, row: Row, member: str) -> pathlib.Path:
    """Run folder of a member or teacher: a row of the same paper, or a folder as it stands."""
    if "/" in member:
        return pathlib.Path(member)
    return runs / row.recipe.rpartition("/")[0] / member


def finished(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return the folder itself if it is a run, else those within it but not within a run."""
    found = sorted(
        path.parent
        for path in folder.rglob("metrics.json")
        if not any(
            (parent / "recipe.yaml").exists()
            for parent in path.parent.parents
            if parent.is_relative_to(folder)
        )
    )
    if not found:
        raise ValueError(f"{folder} holds no finished run (a folder with metrics.json)")
    return found


def numbers(option: str, text: str) -> list[float]:
    """Read numbers with commas between them."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{option} {text!r}: give numbers, as 1,2,4,8") from None
