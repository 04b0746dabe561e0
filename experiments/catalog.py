"""What there is to run, as tables: networks and recipes. Needs no Keras."""

import itertools

from rich import box
from rich.table import Table

import zoo
from experiments import recipe
from experiments.rows import Row

# Characters from which a table has room for the names of weights and papers.
WIDE = 160
CAPTION = (
    "parameters and MACs (multiply-adds of one image) at the reference's input; at 64 px: with "
    'stem="auto"; least: smallest image in pixels, (as) what the network enlarges it to'
)


def networks(pattern: str = "*") -> list[zoo.ModelInfo]:
    """Networks whose names match a wildcard; an empty list would be a mistake, so it is told."""
    found = [zoo.info(name) for name in zoo.list_models(pattern)]
    if not found:
        raise ValueError(f"no network matches {pattern!r}; python -m experiments list shows all")
    return found


def recipes() -> list[Row]:
    """All rows of all papers."""
    return [row for paper in recipe.papers() for row in recipe.rows(paper).values()]


def network_table(found: list[zoo.ModelInfo], width: int) -> Table:
    """Table for a console of `width` characters."""
    wide = width >= WIDE
    caption = CAPTION if wide else f"{CAPTION}; {WIDE} characters have room for the papers"
    table = Table(title=f"{len(found)} networks", caption=caption, box=box.SIMPLE_HEAD)
    table.add_column("name", style="bold", no_wrap=True)
    for column in ("parameters", "MACs, M", "at 64 px", "least"):
        table.add_column(column, justify="right", no_wrap=True)
    for column in ("input", "classes", "weights", "paper") if wide else ("weights",):
        table.add_column(column)
    for model in found:
        weights = ", ".join(model.weights if wide else _kinds(model))
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
            ", ".join(dict.fromkeys(kind for model in models for kind in _kinds(model))),
            "; ".join(dict.fromkeys(model.paper for model in models)),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def facts_table(facts: dict) -> Table:
    """Table of what is known of one network."""
    table = Table(show_header=False, box=None)
    for key, value in facts.items():
        if isinstance(value, int):
            value = f"{value:,}"
        elif isinstance(value, tuple):
            value = ", ".join(str(part) for part in value)
        table.add_row(f"[bold]{key}", str(value))
    return table


def recipe_table(rows: list[Row]) -> Table:
    """Table of recipes by paper, with the published accuracy."""
    title = f"{len(rows)} recipes with their published top-1, %"
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("recipe", no_wrap=True)
    table.add_column("trains", no_wrap=True)
    for column in ("epochs", "top-1"):
        table.add_column(column, justify="right", no_wrap=True)
    for paper, its in itertools.groupby(rows, key=lambda row: row.recipe.rpartition("/")[0]):
        its = list(its)
        data = ", ".join(dict.fromkeys(row.data.name for row in its))
        table.add_section()
        table.add_row(f"[bold]{paper}/[/]  on {data}")
        for row in its:
            epochs = str(row.epochs) if row.kind != "vote" else ""
            top1 = row.expect and row.expect.top1
            published = "" if top1 is None else str(top1)
            table.add_row(f"  {row.name}", _what(row), epochs, published)
    return table


def _what(row: Row) -> str:
    """Tell what a row trains, or puts together."""
    if row.kind == "train":
        return row.model["name"]
    if row.kind == "experts":
        return f"{row.experts} experts"
    return f"{len(row.members)} members"


def _least(model: zoo.ModelInfo) -> str:
    """Tell the smallest image, and what the network enlarges it to if it does."""
    return str(model.min_size) + (f" (as {model.enlarges_to})" if model.enlarges_to else "")


def _kinds(model: zoo.ModelInfo) -> list[str]:
    """Where a network's weights come from: `timm`, `imagenet`."""
    return list(dict.fromkeys(weights.partition(":")[0] for weights in model.weights))


def _range(values: list[float]) -> str:
    ends = (f"{v:,.1f}" if v >= 1 else f"{v:.2g}" for v in (min(values), max(values)))
    return " to ".join(dict.fromkeys(ends))
