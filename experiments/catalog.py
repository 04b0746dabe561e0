"""What there is to run, as tables: networks and recipes. Needs no Keras."""

from rich import box
from rich.table import Table

import zoo
from experiments import recipe

# Characters from which a table has room for the papers' names.
WIDE = 110
COLUMNS = ("parameters", "MACs, M", "input", "classes")


def networks(pattern: str = "*") -> list[zoo.ModelInfo]:
    """Networks whose names match a wildcard; an empty list would be a mistake, so it is told."""
    found = [zoo.info(name) for name in zoo.list_models(pattern)]
    if not found:
        raise ValueError(f"no network matches {pattern!r}; python -m experiments list shows all")
    return found


def recipes() -> list[recipe.Row]:
    """All rows of all papers."""
    return [row for paper in recipe.papers() for row in recipe.rows(paper).values()]


def network_table(found: list[zoo.ModelInfo], width: int) -> Table:
    """Table for a console of `width` characters."""
    table = Table(title=f"{len(found)} networks", box=box.SIMPLE_HEAD)
    table.add_column("name", style="bold", no_wrap=True)
    for column in COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    if width >= WIDE:
        table.add_column("paper")
    for model in found:
        table.add_row(model.name, *_cells(model), *([model.paper] if width >= WIDE else []))
    return table


def markdown(found: list[zoo.ModelInfo]) -> str:
    """Return the README's table: one row per network."""
    lines = [f"| name | {' | '.join(COLUMNS)} | paper |", "|---|--:|--:|--:|--:|---|"]
    lines += [
        f"| `{model.name}` | {' | '.join(_cells(model))} | {model.paper} |" for model in found
    ]
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


def recipe_table(rows: list[recipe.Row]) -> Table:
    """Table of recipes with the published accuracy."""
    table = Table(title=f"{len(rows)} recipes; published top-1", box=box.SIMPLE_HEAD)
    table.add_column("recipe", style="bold", no_wrap=True)
    for column in ("trains", "data set"):
        table.add_column(column)
    for column in ("epochs", "top-1 %"):
        table.add_column(column, justify="right")
    for row in rows:
        trains = f"{len(row.members)} members" if row.kind == "stack" else row.model["name"]
        top1 = str(row.expect.top1) if row.expect else ""
        table.add_row(row.recipe, trains, row.data.name, str(row.epochs), top1)
    return table


def _cells(model: zoo.ModelInfo) -> tuple[str, ...]:
    size = "x".join(str(side) for side in model.input_shape)
    return f"{model.parameters:,}", f"{model.macs / 1e6:,.1f}", size, str(model.classes)
