"""Commands that measure speed. Keras is imported inside them."""

import itertools
from typing import Annotated

import typer

from experiments import backend as backends
from experiments.cli._options import (
    Backend,
    Csv,
    Repeats,
    console,
)

app = typer.Typer(
    no_args_is_help=True,
    help="Measure speed as ratios, side by side in one run: medians after a warm-up.",
)


@app.command()
def augment(
    out: Csv = None,
    repeats: Repeats = 10,
    backend: Backend = None,
) -> None:
    """Time class C on batches, beside Keras' layers, its deprecated generator and Albumentations.

    Example: python -m experiments bench augment --out augment.csv
    """
    backends.load(backend)
    from experiments.bench import augment as case
    from experiments.bench import publish

    publish(case.run(repeats=repeats), out, console)


@app.command()
def stack(
    out: Csv = None,
    repeats: Repeats = 10,
    backend: Backend = None,
) -> None:
    """Time a stack's head on cached outputs, beside running the members each time.

    Example: python -m experiments bench stack --repeats 7
    """
    backends.load(backend)
    from experiments.bench import publish
    from experiments.bench import stack as case

    publish(case.run(repeats=repeats), out, console)


@app.command()
def members(
    out: Csv = None,
    repeats: Repeats = 10,
    backend: Backend = None,
) -> None:
    """Time members of one architecture as one graph, and with their weights batched.

    Example: python -m experiments bench members --backend jax
    """
    backends.load(backend)
    from experiments.bench import members as case
    from experiments.bench import print_rows, write_csv

    rows = case.run(repeats=repeats)
    for _, network in itertools.groupby(rows, key=lambda row: row["case"].partition(":")[0]):
        print_rows(list(network), console)  # nine cases side by side fit no terminal
    if out is not None:
        write_csv(rows, out)


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
    from experiments.bench import models as case
    from experiments.bench import write_csv

    chosen = [name for given in names or case.NETWORKS for name in given.split(",")]
    options = {"batch": batch, "size": size, "repeats": repeats, "backend": backend}
    rows = case.run(chosen, **options, console=console)
    if out is not None:
        backends.load(backend)  # only now: while networks are timed, no process more than needed
        write_csv(rows, out)
