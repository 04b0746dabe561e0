"""Commands on finished generators. Keras is imported inside them."""

import pathlib
from typing import Annotated

import typer
from rich.markup import escape

from experiments.cli._options import (
    Backend,
    CacheDir,
    DataDir,
    RunFolder,
    console,
    place,
)
from experiments.cli.listener import Console
from experiments.runs import Run

app = typer.Typer()


@app.command()
def generate(
    run: RunFolder,
    out: Annotated[pathlib.Path, typer.Option(help="new folder for the images")],
    images: Annotated[
        int | None, typer.Option(help="how many in all, of all classes in turn, or of --class")
    ] = None,
    per_class: Annotated[int | None, typer.Option(help="how many of each class")] = None,
    of_class: Annotated[
        str | None, typer.Option("--class", help="one class alone, by name, id or number")
    ] = None,
    seed: Annotated[int, typer.Option(help="of what is drawn")] = 0,
    cache_dir: CacheDir = None,
    backend: Backend = None,
) -> None:
    """Write images of a finished generator as PNG files, in a folder for each class.

    Image i depends on the seed, i and its class alone. The folder is a data set of class folders,
    and what tools of the published FID read, which is another number than those of `measure`:
    clean-fid (`fid.compute_fid(OUT, REAL)`), or torch-fidelity (`fidelity --gpu 0 --fid
    --samples-find-deep --input1 OUT --input2 REAL`), where REAL holds real images as PNG files.

    Example: python -m experiments generate RUN --per-class 100 --out digits

    Example: python -m experiments generate RUN --images 64 --class 7 --out sevens
    """
    from experiments.generate.ask import Asked
    from experiments.generate.export import export

    asked = Asked(images, per_class, of_class, seed)
    where, listener = place(None, cache_dir, backend=backend), Console(console)
    found = export(Run(run), asked, out, where, listener)
    listener.close()
    folders = f", in {len(found.folders)} folders of classes" if found.folders else ""
    told = f"{found.images:,} images{folders}: [bold]{escape(str(found.folder))}[/]"
    console.print(told, soft_wrap=True)


@app.command()
def measure(
    run: RunFolder,
    out: Annotated[
        pathlib.Path | None, typer.Option(help="folder of the table and the sheet (default: RUN)")
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            help="whose features: a network whose weights come with the package, such as sprint_s, "
            "or a finished run's folder (default: sprint_s up to 40 pixels, then sprint_m)"
        ),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(help="of each set (default: as many as there are real, up to 10,000)"),
    ] = None,
    subset: Annotated[int, typer.Option(help="images of a subset of the kernel distance")] = 1000,
    classifier: Annotated[
        str | None,
        typer.Option(
            help="PAPER/ROW by which a classifier is trained on generated images alone, and on as "
            "many real ones (default: none is)"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="of all that is drawn")] = 0,
    data_dir: DataDir = None,
    cache_dir: CacheDir = None,
    backend: Backend = None,
) -> None:
    """Measure a finished generator: distances beside real ones, memory, what a classifier learns.

    Distances are by the features of the network that is named beside them, and so neither the
    published FID nor KID: export images with `generate` for tools of those.

    Example: python -m experiments measure runs/generators/mnist_small --data-dir ~/data

    Example: python -m experiments measure RUN --classifier generated/alone --data-dir ~/data
    """
    from experiments.cli import _generated
    from experiments.generate import measure as study

    asked = study.Options(
        features=features, images=images, subset=subset, classifier=classifier, seed=seed
    )
    where, listener = place(data_dir, cache_dir, backend=backend), Console(console)
    found = study.of_run(Run(run), asked, out or run, where, listener)
    listener.close()
    console.print(_generated.table(found.rows))
    for path in (found.path, found.sheet):
        console.print(f"written to [bold]{escape(str(path))}[/]", soft_wrap=True)
