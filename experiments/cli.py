"""The command line. Keras is imported inside commands: help and lists stay instant."""

import dataclasses
import json
import logging
import os
import pathlib
import sys
import tempfile
from typing import Annotated

import typer
from rich.console import Console

import zoo
from experiments import catalog, recipe

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    help="Small-image networks: run the papers' experiments, or your own.",
)
console = Console()

Recipe = Annotated[str, typer.Argument(help="PAPER/ROW, or a recipe file such as RUN/recipe.yaml")]
Set = Annotated[list[str], typer.Option("--set", help="FIELD=VALUE over the recipe, repeatable")]
DataDir = Annotated[
    pathlib.Path | None, typer.Option(help="the data set's folder or archive, or its parent")
]
CacheDir = Annotated[
    pathlib.Path | None, typer.Option(help="decoded images  [default: ~/.cache/smallzoo]")
]
Runs = Annotated[pathlib.Path, typer.Option(help="folder that holds the run folders")]
RunDir = Annotated[
    pathlib.Path | None, typer.Option(help="this run's folder  [default: RUNS/PAPER/ROW]")
]
Run = Annotated[pathlib.Path, typer.Argument(help="a finished run's folder")]
Backend = Annotated[
    str | None, typer.Option(help="tensorflow, jax or torch  [default: KERAS_BACKEND]")
]


@app.command("list")
def list_(
    pattern: Annotated[str, typer.Argument(help="wildcard, such as 'ghost*'")] = "*",
    recipes: Annotated[bool, typer.Option("--recipes", help="list the recipes instead")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
    markdown: Annotated[bool, typer.Option(help="the README's table")] = False,
) -> None:
    """List the networks, or with --recipes the rows of the papers' tables.

    Example: python -m experiments list 'alpha*'
    """
    if recipes:
        rows = catalog.recipes()
        if as_json:
            print(json.dumps([row.model_dump(exclude_none=True) for row in rows], indent=2))
        else:
            console.print(catalog.recipe_table(rows))
        return
    found = catalog.networks(pattern)
    if as_json:
        print(json.dumps([dataclasses.asdict(model) for model in found], indent=2))
    elif markdown:
        print(catalog.markdown(found))
    else:
        console.print(catalog.network_table(found, console.width))


@app.command()
def info(
    name: Annotated[str, typer.Argument(help="network or PAPER/ROW")],
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
) -> None:
    """Tell everything about a network or a recipe.

    Example: python -m experiments info alphanet_v4
    """
    if "/" in name or name.endswith(".yaml"):
        row = recipe.load(name)
        print(row.model_dump_json(indent=2) if as_json else recipe.dump(row), end="")
        return
    facts = dataclasses.asdict(zoo.info(name))
    if as_json:
        print(json.dumps(facts, indent=2))
    else:
        console.print(catalog.facts_table(facts))


@app.command()
def data(
    name: Annotated[str, typer.Argument(help="data set, such as tiny_imagenet")],
    data_dir: DataDir = None,
    cache_dir: CacheDir = None,
    size: Annotated[int | None, typer.Option(help="resize to this many pixels")] = None,
    out: Annotated[pathlib.Path | None, typer.Option(help="contact sheet to write")] = None,
) -> None:
    """Decode a data set into the cache, summarise it and draw a contact sheet.

    Example: python -m experiments data tiny_imagenet --data-dir ~/data
    """
    from experiments import datasets

    datasets.prepare(name, data_dir, out, console, size=size, cache_dir=cache_dir)


@app.command()
def train(
    recipe_name: Recipe,
    set_: Set = [],  # noqa: B006 (typer reads the default, nobody changes it)
    data_dir: DataDir = None,
    cache_dir: CacheDir = None,
    runs: Runs = pathlib.Path("runs"),
    run_dir: RunDir = None,
    backend: Backend = None,
) -> None:
    """Train one row of a paper's table; begun again, it goes on where it was cut off.

    Example: python -m experiments train alphanet/alphanet_v4 --data-dir ~/data --set epochs=2
    """
    row = recipe.load(recipe_name, recipe.parse_set(set_))
    if row.kind == "stack":
        raise ValueError(f"{recipe_name} is a stack: python -m experiments stack {recipe_name}")
    _load_keras(backend)
    from experiments import commands

    commands.train(row, run_dir or _run_dir(runs, row), data_dir, cache_dir, console)


@app.command()
def stack(
    recipe_name: Recipe,
    members: Annotated[
        list[pathlib.Path] | None,
        typer.Argument(help="finished runs  [default: the recipe's members under RUNS]"),
    ] = None,
    set_: Set = [],  # noqa: B006
    data_dir: DataDir = None,
    cache_dir: CacheDir = None,
    runs: Runs = pathlib.Path("runs"),
    run_dir: RunDir = None,
    backend: Backend = None,
) -> None:
    """Freeze finished runs and train a dense head on their outputs.

    Example: python -m experiments stack alphanet/alphastack --data-dir ~/data
    """
    row = recipe.load(recipe_name, recipe.parse_set(set_))
    if row.kind != "stack":
        raise ValueError(f"{recipe_name} is no stack: python -m experiments train {recipe_name}")
    _load_keras(backend)
    from experiments import commands

    folders = members or [_member_dir(runs, row, member) for member in row.members]
    commands.stack(row, run_dir or _run_dir(runs, row), folders, data_dir, cache_dir, console)


@app.command()
def evaluate(
    run: Run,
    data_dir: DataDir = None,
    cache_dir: CacheDir = None,
    backend: Backend = None,
) -> None:
    """Evaluate a finished run again on its data set's validation images.

    Example: python -m experiments evaluate runs/alphanet/alphanet_v4 --data-dir ~/data
    """
    _load_keras(backend)
    from experiments import commands

    commands.evaluate(run, data_dir, cache_dir, console)


@app.command()
def report(
    runs: Annotated[list[pathlib.Path], typer.Argument(help="run folders, or folders of them")],
    out: Annotated[pathlib.Path, typer.Option(help="HTML file")] = pathlib.Path("report.html"),
    plots: Annotated[bool, typer.Option("--plots", help="every figure as PNG as well")] = False,
) -> None:
    """Write one self-contained HTML page about finished runs.

    Example: python -m experiments report runs/alphanet --out alphanet.html
    """
    from experiments import report as reports

    folders = [found for run in runs for found in _finished(run)]
    papers = {
        recipe.load(str(folder / "recipe.yaml")).recipe.partition("/")[0] for folder in folders
    }
    rows = {
        row.recipe: row.expect.model_dump(exclude_none=True)
        for paper in papers & set(recipe.papers())
        for row in recipe.rows(paper).values()
        if row.expect
    }
    console.print(f"wrote [bold]{reports.report(folders, out, rows=rows, plots=plots)}[/]")


@app.command()
def predict(
    run: Annotated[pathlib.Path, typer.Argument(help="a finished run's folder or .keras file")],
    images: Annotated[list[pathlib.Path], typer.Argument(help="image files")],
    top: Annotated[int, typer.Option(help="classes to print")] = 5,
    backend: Backend = None,
) -> None:
    """Print the likeliest classes of images.

    Example: python -m experiments predict runs/alphanet/alphastack goldfish.jpg
    """
    _load_keras(backend)
    from experiments import predict as predictions

    predictions.predict(run, images, top=top, console=console)


@app.command()
def bench(
    what: Annotated[str, typer.Argument(help="augment or stack")],
    out: Annotated[pathlib.Path | None, typer.Option(help="CSV file to write")] = None,
    repeats: Annotated[int, typer.Option(help="timed repeats of each case")] = 10,
    backend: Backend = None,
) -> None:
    """Measure speed as ratios, side by side in one run: medians after a warm-up.

    Example: python -m experiments bench augment --out augment.csv
    """
    _load_keras(backend)
    from experiments import bench as benches

    benches.main(what, out=out, repeats=repeats, console=console)


@app.command()
def quickstart(
    runs: Runs = pathlib.Path("runs"),
    backend: Backend = None,
) -> None:
    """Train three small AlphaNets on digits, stack them and report: minutes on a laptop.

    Example: python -m experiments quickstart
    """
    _load_keras(backend)
    from experiments import commands

    commands.quickstart(runs, console)


def main() -> None:
    """Run the command line; what the user can mend is told in one line, not as a traceback."""
    try:
        app()
    except ValueError as error:
        if os.environ.get("SMALLZOO_DEBUG"):
            raise
        Console(stderr=True).print(f"[bold red]error:[/] {_escape(error)}", highlight=False)
        sys.exit(2)


def _escape(error: Exception) -> str:
    from rich.markup import escape

    return escape(str(error))


def _load_keras(backend: str | None) -> None:
    """Import Keras with the chosen backend, without the start-up notes of TensorFlow's libraries.

    Those are written by C++ before any setting is read, errors about an absent GPU among them;
    they are shown only when the import fails.
    """
    if backend not in (None, "tensorflow", "jax", "torch"):
        raise ValueError(f"--backend {backend!r}: there are tensorflow, jax and torch")
    if backend:
        os.environ["KERAS_BACKEND"] = backend
    with tempfile.TemporaryFile() as notes:
        stderr = os.dup(2)
        os.dup2(notes.fileno(), 2)
        try:
            from experiments import feed

            feed.device()
            # One model after the other is no retracing that a user could avoid.
            logging.getLogger("tensorflow").setLevel(logging.ERROR)
        except BaseException:
            notes.seek(0)
            os.write(stderr, notes.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _run_dir(runs: pathlib.Path, row: recipe.Row) -> pathlib.Path:
    return runs / row.recipe


def _member_dir(runs: pathlib.Path, row: recipe.Stack, member: str) -> pathlib.Path:
    """Run folder of a stack's member: a row of the same paper, or a folder as it stands."""
    if "/" in member:
        return pathlib.Path(member)
    return runs / row.recipe.rpartition("/")[0] / member


def _finished(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return the folder itself if it is a finished run, else those within it."""
    found = sorted(path.parent for path in folder.rglob("metrics.json"))
    if not found:
        raise ValueError(f"{folder} holds no finished run (a folder with metrics.json)")
    return found
