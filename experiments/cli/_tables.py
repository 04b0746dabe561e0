"""Tables of what there is, for people: networks, recipes, data sets."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table

import zoo
from experiments.recipes import Row

if TYPE_CHECKING:
    from experiments.datasets import Summary

# Characters from which a table has room for the names of weights and papers.
WIDE = 160
CAPTION = (
    "parameters and MACs (multiply-adds of one image) at the reference's input; at 64 px: with "
    'stem="auto"; least: smallest image in pixels, (as) what the network enlarges it to'
)


def networks(found: list[zoo.ModelInfo], width: int) -> Table:
    """Return the table of networks for a console of `width` characters."""
    wide = width >= WIDE
    caption = CAPTION if wide else f"{CAPTION}; {WIDE} characters have room for the papers"
    table = Table(title=f"{len(found)} networks", caption=caption, box=box.SIMPLE_HEAD)
    table.add_column("name", style="bold", no_wrap=True)
    for column in ("parameters", "MACs, M", "at 64 px", "least"):
        table.add_column(column, justify="right", no_wrap=True)
    for column in ("input", "classes", "weights", "paper") if wide else ("weights",):
        table.add_column(column)
    for model in found:
        weights = ", ".join(model.weights if wide else _sources(model))
        size = "x".join(str(side) for side in model.input_shape)
        table.add_row(
            model.name,
            f"{model.parameters:,}",
            f"{model.macs / 1e6:,.1f}",
            f"{model.macs_64 / 1e6:,.1f}",
            _least(model),
            *((size, str(model.classes), weights, model.paper) if wide else (weights,)),
        )
    return table


def markdown(found: list[zoo.ModelInfo]) -> str:
    """Return the README's table: one row per architecture, with the range of its networks."""
    columns = ("networks", "parameters, M", "MACs at 64 px, M", "weights", "paper")
    lines = [f"| {' | '.join(columns)} |", "|---|--:|--:|---|---|"]
    families: dict[str, list[zoo.ModelInfo]] = {}
    for model in found:
        families.setdefault(model.family, []).append(model)
    for _, models in sorted(families.items()):
        cells = (
            ", ".join(f"`{model.name}`" for model in models),
            _range([model.parameters / 1e6 for model in models]),
            _range([model.macs_64 / 1e6 for model in models]),
            ", ".join(dict.fromkeys(source for model in models for source in _sources(model))),
            "; ".join(dict.fromkeys(model.paper for model in models)),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def facts(known: dict) -> Table:
    """Return the table of what is known of one network."""
    table = Table(show_header=False, box=None)
    for key, value in known.items():
        if isinstance(value, int):
            value = f"{value:,}"
        elif isinstance(value, tuple):
            value = ", ".join(str(part) for part in value)
        table.add_row(f"[bold]{key}", str(value))
    return table


def recipes(rows: list[Row]) -> Table:
    """Return the table of recipes by paper, with the published accuracy."""
    title = f"{len(rows)} recipes with their published top-1, %"
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("recipe", no_wrap=True)
    table.add_column("trains", no_wrap=True)
    for column in ("epochs", "top-1"):
        table.add_column(column, justify="right", no_wrap=True)
    for paper, its in itertools.groupby(rows, key=lambda row: row.paper):
        its = list(its)
        data = ", ".join(dict.fromkeys(row.data.name for row in its))
        table.add_section()
        table.add_row(f"[bold]{paper}/[/]  on {data}")
        for row in its:
            top1 = row.expect and row.expect.top1
            published = "" if top1 is None else str(top1)
            if published and row.expect.views:
                published += f" with {row.expect.views}"
            epochs = str(getattr(row, "epochs", ""))  # a vote fits nothing
            table.add_row(f"  {row.name}", row.made_of, epochs, published)
    return table


def data(told: Summary) -> tuple[Table, str, Table]:
    """Return the tables of a data set's facts and classes, with a gap between them."""
    known = Table(box=None, show_header=False, pad_edge=False)
    known.add_column(style="bold")
    known.add_column(overflow="fold")
    for key, value in told.facts:
        known.add_row(key, escape(value))
    classes = Table()
    for header in told.headers:
        classes.add_column(header, justify="left" if header in ("class", "id") else "right")
    for row in told.rows:
        classes.add_row(*(escape(text) for text in row))
    return known, "", classes


def _least(model: zoo.ModelInfo) -> str:
    """Tell the smallest image, and what the network enlarges it to if it does."""
    return str(model.min_size) + (f" (as {model.enlarges_to})" if model.enlarges_to else "")


def _sources(model: zoo.ModelInfo) -> list[str]:
    """Where a network's weights come from: `timm`, `imagenet`."""
    return list(dict.fromkeys(weights.partition(":")[0] for weights in model.weights))


def _range(values: list[float]) -> str:
    ends = (f"{v:,.1f}" if v >= 1 else f"{v:.2g}" for v in (min(values), max(values)))
    return " to ".join(dict.fromkeys(ends))
