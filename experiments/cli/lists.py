"""Commands that tell what there is: networks, recipes, data sets. Keras is not imported."""

import dataclasses
import json
import pathlib
from typing import Annotated

import typer

import zoo
from experiments import catalog, recipe
from experiments.cli._options import (
    CacheDir,
    DataDir,
    console,
)

app = typer.Typer()


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
