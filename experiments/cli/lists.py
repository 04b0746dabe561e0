"""Commands that tell what there is: networks, recipes, data sets. Keras is not imported."""

import dataclasses
import fnmatch
import json
import pathlib
from typing import Annotated

import typer

import augment
import zoo
from experiments import recipes as papers
from experiments.cli import _tables
from experiments.cli._options import CacheDir, DataDir, console
from experiments.cli.listener import Console

app = typer.Typer()


@app.command("list")
def list_(
    pattern: Annotated[
        str, typer.Argument(help="wildcard, such as 'ghost*'; of recipes PAPER/ROW, or ROW")
    ] = "*",
    recipes: Annotated[bool, typer.Option("--recipes", help="list the recipes instead")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
    markdown: Annotated[bool, typer.Option(help="the README's table")] = False,
) -> None:
    """List the networks, or with --recipes the rows of the papers' tables.

    Example: python -m experiments list 'alpha*'

    Example: python -m experiments list --recipes 'alphanet/*'
    """
    if markdown and (recipes or as_json):
        raise ValueError("--markdown is the README's table of networks: without --recipes, --json")
    found = rows(pattern) if recipes else networks(pattern)
    if as_json:
        print(json.dumps([_plain(one) for one in found], indent=2))
    elif markdown:
        print(_tables.markdown(found))
    elif recipes:
        console.print(_tables.recipes(found))
    else:
        console.print(_tables.networks(found, console.width))


@app.command()
def info(
    name: Annotated[str, typer.Argument(help="network or PAPER/ROW")],
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
    diagram: Annotated[
        pathlib.Path | None, typer.Option(help="draw the architecture: a .svg, .png or .pdf")
    ] = None,
) -> None:
    """Tell everything about a network or a recipe.

    Example: python -m experiments info alphanet_v4

    Example: python -m experiments info alphanet_v4 --diagram alphanet_v4.svg
    """
    row = papers.load(name) if "/" in name or name.endswith((".yaml", ".yml")) else None
    if diagram:
        console.print(f"diagram: {_drawn(name, row, diagram)}", soft_wrap=True, markup=False)
    elif row:
        print(row.model_dump_json(indent=2) if as_json else papers.dump(row).rstrip())
    elif as_json:
        print(json.dumps(_plain(zoo.info(name)), indent=2))
    else:
        console.print(_tables.facts(_plain(zoo.info(name))))


def _drawn(name: str, row: papers.Row | None, path: pathlib.Path) -> pathlib.Path:
    """Build a network, or that of a row for its images, and draw it; return the file."""
    from experiments import backend, cost
    from experiments.reports import diagram, svg

    svg.check(path)
    options = {"name": name}
    if row:
        size = cost.known_size(row, None)
        if not papers.KINDS[row.kind].network or size is None:
            why = "it has no network of its own" if size else f"{row.data.name} has no known size"
            raise ValueError(f"{name} cannot be drawn: {why}; draw a network by its name")
        options = {key: value for key, value in row.model.items() if key != "weights"}
        options |= {"input_shape": size.shape, "classes": size.classes}
    zoo.check(**options)
    backend.load(None)
    svg.write(diagram.draw(zoo.build(**options)), path)
    return path.resolve()


@app.command()
def data(
    name: Annotated[str, typer.Argument(help="data set, such as tiny_imagenet")],
    data_dir: DataDir = None,
    cache_dir: CacheDir = None,
    size: Annotated[int | None, typer.Option(help="resize to this many pixels")] = None,
    resample: Annotated[str, typer.Option(help="Pillow's filter for that")] = "lanczos",
    channels: Annotated[int | None, typer.Option(help="1 (gray) or 3")] = None,
    crop: Annotated[
        str | None, typer.Option(help="to their boxes: boxes, or train_boxes (training alone)")
    ] = None,
    background: Annotated[
        str | None, typer.Option(help="white: pad to a square instead of stretching")
    ] = None,
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="leave out, and name, what cannot be read")
    ] = False,
    validation_share: Annotated[
        float | None,
        typer.Option(help="part of every class for validation, where files do not say (0.2)"),
    ] = None,
    validation_seed: Annotated[int | None, typer.Option(help="draws that part (0)")] = None,
    out: Annotated[
        pathlib.Path | None,
        typer.Option(help="contact sheet, or a folder for it (default: ./NAME.png)"),
    ] = None,
    augmented: Annotated[
        str | None,
        typer.Option(
            "--augment",
            help="draw this policy's transforms too: its name, file, or a PAPER/ROW that has one",
        ),
    ] = None,
) -> None:
    """Decode a data set into the cache, summarise it and draw a contact sheet.

    With --augment, a second sheet beside it shows each transform of a policy alone, and all of
    them together.

    Example: python -m experiments data tiny_imagenet --data-dir ~/data

    Example: python -m experiments data digits --augment C
    """
    from experiments import datasets

    pixels = {
        "size": size,
        "resample": resample,
        "channels": channels,
        "crop": crop,
        "background": background,
        "unreadable": "skip" if skip_unreadable else None,
        "validation_share": validation_share,
        "validation_seed": validation_seed,
    }
    datasets.check(name, data_dir=data_dir, **pixels)
    sheet = datasets.sheet_path(name, out)
    policy = _policy(augmented)
    views = policy and datasets.policy_sheet_path(sheet, augmented)
    folders = {"data_dir": data_dir, "cache_dir": cache_dir}
    dataset = datasets.load(name, **folders, **pixels, progress=Console(console).progress)
    console.print(*_tables.data(datasets.summary(dataset)), sep="\n")
    written = datasets.draw_sheet(dataset, sheet).resolve()
    console.print(f"contact sheet: {written}", soft_wrap=True, markup=False)
    if policy:
        written = datasets.draw_policy_sheet(dataset, policy, views, augmented).resolve()
        console.print(f"augmentation: {written}", soft_wrap=True, markup=False)


def _policy(name: str | None) -> augment.Policy | None:
    """Return the policy of a name, a file, or a row."""
    if name is None:
        return None
    if "/" not in name or name.endswith((".json", ".yaml", ".yml")):
        return augment.get(name)
    found = getattr(papers.load(name), "augment", None)
    if found is None:
        raise ValueError(
            f"augment (--augment) {name}: the row augments nothing; give a row with augment, or a "
            f"policy: {', '.join(augment.POLICIES)}"
        )
    return augment.get(found)


def networks(pattern: str = "*") -> list[zoo.ModelInfo]:
    """Return the networks whose names match a wildcard; ValueError where there are none."""
    found = [zoo.info(name) for name in zoo.list_models(pattern)]
    if not found:
        raise ValueError(f"no network matches {pattern!r}; python -m experiments list shows all")
    return found


def rows(pattern: str = "*") -> list[papers.Row]:
    """Return the rows whose PAPER/ROW or ROW matches a wildcard; ValueError where there are none.

    All of them are read before: a recipe that does not fit is told, whatever was asked for.
    """
    everything = [row for paper in papers.papers() for row in papers.rows(paper).values()]
    found = [
        row
        for row in everything
        if any(fnmatch.fnmatchcase(name, pattern) for name in (row.recipe, row.name))
    ]
    if not found:
        raise ValueError(
            f"no recipe matches {pattern!r}: give a wildcard on PAPER/ROW or ROW; "
            "python -m experiments list --recipes shows all"
        )
    return found


def _plain(one: zoo.ModelInfo | papers.Row) -> dict:
    if dataclasses.is_dataclass(one):
        return dataclasses.asdict(one)
    return one.model_dump(exclude_none=True)
