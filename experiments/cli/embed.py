"""The command that looks at where images lie: embed."""

import pathlib
from typing import Annotated

import typer
from rich.console import Console as Screen
from rich.markup import escape
from rich.table import Table

from experiments.cli._options import Backend, CacheDir, DataDir, console, numbers, place
from experiments.cli.listener import Console

app = typer.Typer()

OUT = "embed"  # in a run's folder
OUT_OF_DATA = pathlib.Path("runs/embed")  # for a folder by the data set's name
ROWS = 12  # of a table that are printed

Subjects = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN...|DATA", help="finished runs' folders, or one data set by its name"
    ),
]
Parts = Annotated[
    list[str] | None,
    typer.Option(
        "--part",
        help="components, tsne, separation, duplicates or mistakes, repeatable (default: all)",
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option("--class", help="a class that pictures show, by name, id or number, repeatable"),
]
Classes = Annotated[int, typer.Option(help="classes that pictures show, drawn by the seed")]
PerClass = Annotated[int, typer.Option(help="images of a class that t-SNE embeds, at most")]
Perplexity = Annotated[str, typer.Option(help="of t-SNE, one picture each, with commas")]
Keep = Annotated[float, typer.Option(help="share that the PCA before t-SNE keeps")]
KeepOf = Annotated[
    str, typer.Option(help="of what: values, the sum of singular values; or variance")
]
Rebuilt = Annotated[str, typer.Option(help="components of which images are rebuilt, with commas")]
Shown = Annotated[int, typer.Option(help="pairs or images on a sheet")]
Size = Annotated[int | None, typer.Option(help="of DATA: resize to this many pixels")]
Channels = Annotated[int | None, typer.Option(help="of DATA: 1 (gray) or 3")]
Seed = Annotated[int, typer.Option(help="of classes, images and t-SNE")]
Out = Annotated[
    pathlib.Path | None,
    typer.Option(help="folder (default: embed, in the only run's; runs/embed/DATA)"),
]


@app.command()
def embed(
    subjects: Subjects,
    part: Parts = None,
    only: Only = None,
    classes: Classes = 5,
    per_class: PerClass = 200,
    perplexity: Perplexity = "1,2,5,10,20,30,40,50",
    keep: Keep = 0.9,
    keep_of: KeepOf = "values",
    rebuilt: Rebuilt = "1,6,25,100,500",
    shown: Shown = 24,
    size: Size = None,
    channels: Channels = None,
    seed: Seed = 0,
    out: Out = None,
    data_dir: DataDir = None,
    cache_dir: CacheDir = None,
    backend: Backend = None,
) -> None:
    """Show where images lie, in pixels and in features: components, t-SNE, neighbors, mistakes.

    Example: python -m experiments embed tiny_imagenet --data-dir ~/data

    Example: python -m experiments embed runs/laptop/ghostnet --part tsne --data-dir ~/data
    """
    from experiments import recipes
    from experiments.embeddings import embed as study
    from experiments.embeddings.asked import Asked
    from experiments.runs import Run

    asked = Asked(
        parts=tuple(part or ()),
        only=tuple(only or ()),
        classes=classes,
        per_class=per_class,
        perplexities=tuple(numbers("--perplexity", perplexity)),
        keep=keep,
        keep_of=keep_of,
        rebuilt=tuple(int(count) for count in numbers("--rebuilt", rebuilt)),
        shown=shown,
        seed=seed,
    )
    where, listener = place(data_dir, cache_dir, backend=backend), Console(console)
    runs = [Run(pathlib.Path(subject)) for subject in subjects]
    if any(run.path.is_dir() for run in runs):
        if size or channels:
            raise ValueError("--size and --channels are those of the runs: leave them out")
        if out is None and len(runs) > 1:
            raise ValueError("several runs make one page: give its folder with --out")
        found = study.of_runs(runs, where, out or runs[0].path / OUT, asked, listener=listener)
    else:
        if len(subjects) > 1:
            raise ValueError(f"{', '.join(subjects)}: give one data set, or folders of runs")
        given = {"size": size, "channels": channels}
        images = recipes.Images(
            name=subjects[0], **{key: value for key, value in given.items() if value}
        )
        out = out or OUT_OF_DATA / subjects[0]
        found = study.of_data(images, where, out, asked, listener=listener)
    listener.close()
    _tell(console, found)


def _tell(screen: Screen, found) -> None:
    """Print what each part found, the first rows of its tables, and where all lies."""
    from experiments.embeddings.asked import cells

    for part in found.parts.values():
        screen.print(f"\n[bold]{escape(part.title)}[/]")
        for note in part.notes:
            screen.print(escape(note), highlight=False, soft_wrap=True)
        for table in part.tables:
            rows = table.rows[:ROWS]
            more = f"; {len(table.rows) - ROWS} more in the file" if len(table.rows) > ROWS else ""
            shown = Table(title=escape(table.title), caption=escape(table.about + more))
            for column in table.columns:
                right = column.digits is not None
                shown.add_column(escape(column.title), justify="right" if right else "left")
            for row in rows:
                shown.add_row(*(escape(text) for text in cells(table.columns, row)))
            screen.print(shown)
    for sheet in found.sheets:
        screen.print(f"sheet: [bold]{escape(str(sheet))}[/]", soft_wrap=True)
    screen.print(f"all in [bold]{escape(str(found.folder))}[/]", soft_wrap=True)
