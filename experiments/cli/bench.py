"""Commands that measure speed. Keras is imported inside them."""

import itertools
import pathlib
from collections.abc import Iterable, Sequence
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from experiments import _files, bench, recipes
from experiments.backend import load as load_backend
from experiments.cli._options import Backend, CacheDir, DataDir, Recipe, Set, console, place
from experiments.cli.listener import Console
from experiments.runs import tables

app = typer.Typer(
    no_args_is_help=True,
    help="Measure speed as ratios, side by side in one run: medians after a warm-up.",
)

Csv = Annotated[pathlib.Path | None, typer.Option(help="CSV file to write")]
Repeats = Annotated[int, typer.Option(help="turns of each case")]


@app.command()
def augment(
    out: Csv = None,
    repeats: Repeats = 10,
    backend: Backend = None,
) -> None:
    """Time class C on batches, beside Keras' layers, its deprecated generator and Albumentations.

    Example: python -m experiments bench augment --out augment.csv
    """
    _check(out, repeats)
    load_backend(backend)
    from experiments.bench import augment as case

    publish([case.run(repeats=repeats)], out)


@app.command()
def stack(
    out: Csv = None,
    repeats: Repeats = 10,
    backend: Backend = None,
) -> None:
    """Time a stack's head on cached outputs, beside running the members each time.

    Example: python -m experiments bench stack --repeats 7
    """
    _check(out, repeats)
    load_backend(backend)
    from experiments.bench import stack as case

    publish([case.run(repeats=repeats, listener=Console(console))], out)


@app.command()
def members(
    out: Csv = None,
    repeats: Repeats = 10,
    backend: Backend = None,
) -> None:
    """Time members of one architecture as one graph, and with their weights batched.

    Example: python -m experiments bench members --backend jax
    """
    _check(out, repeats)
    load_backend(backend)
    from experiments.bench import members as case

    rows = case.run(repeats=repeats, listener=Console(console))
    # Nine cases side by side fit no terminal.
    networks = itertools.groupby(rows, key=lambda row: row["case"].partition(":")[0])
    publish((list(network) for _, network in networks), out)


@app.command()
def models(
    names: Annotated[
        list[str] | None,
        typer.Option(help="networks or wildcards, comma-separated (default: eight kinds)"),
    ] = None,
    batch: Annotated[int, typer.Option(help="images in a batch")] = 32,
    size: Annotated[int, typer.Option(help="height and width in pixels")] = 64,
    out: Csv = None,
    repeats: Repeats = 10,
    backend: Backend = None,
) -> None:
    """Time networks forward and in training, beside timm, torchvision or pytorchcv if installed.

    Example: python -m experiments bench models --names 'resnet18,ghost*' --batch 32
    """
    _check(out, repeats)
    from experiments.bench import models as case

    chosen = [name.strip() for given in names or case.NETWORKS for name in given.split(",")]
    options = {"batch": batch, "size": size, "repeats": repeats, "backend": backend}
    # The environment is read last: while networks are timed, there is no process more than needed.
    publish(case.each(chosen, **options, listener=Console(console)), out)


@app.command()
def phone(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN or NETWORK]...",
            help="finished runs, folders of such, .keras files, networks or wildcards (default: "
            "networks for phones, with random weights)",
        ),
    ] = None,
    out: Csv = None,
    repeats: Repeats = 10,
    backend: Backend = None,
) -> None:
    """Time models as a phone runs them: LiteRT, one thread, one image; with size and accuracy.

    A report shows what it finds as phone.csv in its folders beside the runs' accuracies.

    Example: python -m experiments bench phone runs/laptop --out runs/laptop/phone.csv
    """
    _check(out, repeats)
    load_backend(backend)
    from experiments.bench import phone as case

    options = {"repeats": repeats, "backend": backend, "listener": Console(console)}
    publish([case.run(names or case.NETWORKS, **options)], out, case.SHOWN)


@app.command()
def profile(
    recipe: Recipe,
    changes: Set = None,
    data_dir: DataDir = None,
    cache_dir: CacheDir = None,
    noise: Annotated[bool, typer.Option(help="noise in the place of the images")] = False,
    out: Csv = None,
    repeats: Repeats = 10,
    backend: Backend = None,
) -> None:
    """Tell where the time of a row's training step goes, by kind of layer and beside them.

    Example: python -m experiments bench profile alphanet/alphanet_v4 --data-dir ~/data
    """
    _check(out, repeats)
    row = recipes.load(recipe, recipes.parse_set(changes or []))
    where = place(data_dir, cache_dir, backend=backend)
    load_backend(backend)
    from experiments.bench import profile as case

    rows = case.run(row, where, repeats=repeats, noise=noise, listener=Console(console))
    said = {key: value for key, value in rows[0].items() if key not in case.COLUMNS}
    console.print(", ".join(f"{key} {_told(value)}" for key, value in said.items()), markup=False)
    publish([rows], out, case.COLUMNS)


@app.command()
def train(
    only: Annotated[
        list[str] | None, typer.Option(help="cases or wildcards, comma-separated (default: all)")
    ] = None,
    batch: Annotated[int, typer.Option(help="images in a batch")] = 128,
    augment: Annotated[bool, typer.Option(help="class C on every batch, for all alike")] = False,
    quick: Annotated[bool, typer.Option(help="two short turns: whether all runs")] = False,
    out: Csv = None,
    repeats: Repeats = 10,
) -> None:
    """Time training steps, ours on TensorFlow and JAX beside the same networks in plain PyTorch.

    Example: python -m experiments bench train --only 'resnet*' --repeats 7
    """
    _check(out, repeats)
    from experiments.bench import train as case

    chosen = [name.strip() for given in only or [] for name in given.split(",")]
    options = {"batch": batch, "repeats": repeats, "quick": quick, "augmented": augment}
    publish(case.each(chosen, **options, listener=Console(console)), out, case.SHOWN)


@app.command()
def sweep(
    trials: Annotated[int, typer.Option(help="trials of each search")] = 50,
    workers: Annotated[int, typer.Option(help="trials at once")] = 1,
    out: Csv = None,
    plot: Annotated[pathlib.Path | None, typer.Option(help="PNG file of the curves")] = None,
    backend: Backend = None,
) -> None:
    """Measure the memory of a sweep over its trials, beside Keras Tuner's search in one process.

    Example: python -m experiments bench sweep --workers 2 --out sweep.csv --plot sweep.png
    """
    bench.check(trials=trials, workers=workers)
    for file in (out, plot):
        if file is not None:
            _files.check_writable(file)
    from experiments.bench import sweep as case

    rows = case.run(trials, workers, backend, Console(console))
    console.print(rows_table(case.summary(rows)))
    if plot is not None:
        case.draw(rows, plot)
        console.print(f"drawn to {plot}", markup=False, soft_wrap=True)
    if out is not None:
        load_backend(backend)
        tables.write(rows, out)
        console.print(f"written to {out}", markup=False, soft_wrap=True)


def _check(out: pathlib.Path | None, repeats: int) -> None:
    """Raise ValueError for what cannot be written or counted, before backends are loaded."""
    bench.check(repeats=repeats)
    if out is not None:
        _files.check_writable(out)


def publish(
    parts: Iterable[list[dict]], out: pathlib.Path | None, columns: Sequence[str] = ()
) -> None:
    """Print parts of the rows as they come, and write all rows to the CSV file `out` if given.

    With `columns`, which are for many rows of few values, each row is a line of these.
    """
    rows = []
    for part in parts:
        console.print(long_table(part, columns) if columns else rows_table(part))
        rows += part
    if out is not None:
        load_backend(None)  # nothing has, where processes of their own were timed
        tables.write(rows, out)
        console.print(f"written to {out}", markup=False, soft_wrap=True)


def rows_table(rows: list[dict]) -> Table:
    """Return rows as a table, numbers to four digits."""
    # Turned: a case per column fits a narrow terminal, however many values a row has.
    table = Table(box=box.SIMPLE_HEAD)
    title, *names = rows[0]
    table.add_column(title)
    for row in rows:
        table.add_column(str(row[title]), justify="right")
    for name in names:
        values = [row[name] for row in rows]
        table.add_row(name, *map(_told, values))
    return table


def long_table(rows: list[dict], columns: Sequence[str]) -> Table:
    """Return columns of rows as a table with a line for each row; texts stand to the left."""
    table = Table(box=box.SIMPLE_HEAD)
    for name in columns:
        text = isinstance(rows[0][name], str)
        table.add_column(name, justify="left" if text and rows[0][name] else "right")
    for row in rows:
        table.add_row(*(_told(row[name]) for name in columns))
    return table


def _told(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
