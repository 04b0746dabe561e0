"""Commands on finished runs. Keras is imported inside them."""

import pathlib
from typing import Annotated

import typer
from rich.markup import escape

from experiments import recipes
from experiments._files import check_writable
from experiments.cli._options import (
    Backend,
    CacheDir,
    DataDir,
    RunFolder,
    RunFolders,
    Views,
    console,
    numbers,
    place,
)
from experiments.cli.listener import Console
from experiments.runs import Run, find, tables

app = typer.Typer()


def _check(views: str) -> None:
    """Raise ValueError for views that there are not, before Keras is imported."""
    from experiments.training.views import get

    get(views)


@app.command()
def evaluate(
    folders: RunFolders,
    robust: Annotated[
        bool, typer.Option("--robust", help="under attacks and corruptions; several runs also vote")
    ] = False,
    epsilons: Annotated[
        str, typer.Option(help="grey levels of the attacks, as 1,2,4,8")
    ] = "1,2,4,8",
    limit: Annotated[int | None, typer.Option(help="images for --robust (default: all)")] = None,
    views: Views = "none",
    out: Annotated[
        pathlib.Path | None, typer.Option(help="folder of the card (default: the only run's)")
    ] = None,
    data_dir: DataDir = None,
    cache_dir: CacheDir = None,
    backend: Backend = None,
) -> None:
    """Evaluate finished runs again on their data set's validation images.

    Example: python -m experiments evaluate runs/alphanet/alphanet_v4 --data-dir ~/data

    Example: python -m experiments evaluate RUN --views mirror --data-dir ~/data

    Example: python -m experiments evaluate RUN RUN --robust --out runs/robust --data-dir ~/data
    """
    found, steps = find(folders), numbers("--epsilons", epsilons)
    _check(views)
    if robust and views != "none":
        raise ValueError(f"--views {views}: --robust is about plain images; leave one of them out")
    if robust and out is None and len(found) > 1:
        raise ValueError("--robust on several runs makes one card: give its folder with --out")
    where, listener = place(data_dir, cache_dir, backend=backend), Console(console)
    from experiments.cli import _studies

    if robust:
        from experiments.studies import robust as study

        options = {"epsilons": steps, "limit": limit, "listener": listener}
        _studies.robustness(console, study.of_runs(found, where, out or found[0].path, **options))
        return
    from experiments.studies import evaluate as study

    for run in found:
        _studies.evaluation(console, study.of_run(run, where, listener, views=views))


@app.command()
def compare(
    folders: RunFolders,
    out: Annotated[
        pathlib.Path | None, typer.Option(help="folder (default: compare, beside the first run)")
    ] = None,
    data_dir: DataDir = None,
    cache_dir: CacheDir = None,
    repeats: Annotated[
        int, typer.Option(min=0, help="turns of each timed model; 0: no times")
    ] = 10,
    views: Views = "none",
    backend: Backend = None,
) -> None:
    """Compare every vote of trained members, and the stacks among the runs: accuracy and cost.

    All trained runs given are members; runs of votes and of class experts are left out.

    Example: python -m experiments compare runs/laptop --data-dir ~/data
    """
    found = find(folders)
    _check(views)
    where, listener = place(data_dir, cache_dir, backend=backend), Console(console)
    target = out or found[0].path.parent / "compare"
    path = check_writable(target / tables.COMPARISON)
    where.load_backend()
    from experiments.cli import _runs
    from experiments.ensembles.compare import compare as study

    options = {"views": views, "repeats": repeats, "listener": listener}
    rows = study(found, where, target / "outputs", **options)
    tables.write(rows, path)
    listener.close()
    console.print(_runs.comparison(rows, console.width))
    console.print(f"written to [bold]{escape(str(path))}[/]", soft_wrap=True)


@app.command()
def report(
    folders: RunFolders,
    out: Annotated[pathlib.Path, typer.Option(help="HTML file")] = pathlib.Path("report.html"),
    plots: Annotated[bool, typer.Option("--plots", help="every figure as PNG as well")] = False,
) -> None:
    """Write one self-contained HTML page about finished runs.

    Example: python -m experiments report runs/alphanet --out alphanet.html
    """
    from experiments import reports

    written = reports.report(folders, out, plots=plots)
    console.print(f"wrote [bold]{escape(str(written.page))}[/]", soft_wrap=True)
    for folder in written.plots:
        console.print(f"plots: [bold]{escape(str(folder))}[/]", soft_wrap=True)


@app.command()
def predict(
    files: Annotated[
        list[pathlib.Path],
        typer.Argument(
            metavar="[RUN] IMAGES...",
            help="a finished run's folder or .keras file, and image files; with --model images",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(help="a network whose weights come with the package, such as sprint_s"),
    ] = None,
    top: Annotated[int, typer.Option(help="classes to print")] = 5,
    views: Views = "none",
    backend: Backend = None,
) -> None:
    """Print the likeliest classes of images.

    Example: python -m experiments predict runs/alphanet/alphastack goldfish.jpg

    Example: python -m experiments predict --model sprint_s frog.jpg
    """
    import zoo

    _check(views)
    asked, images = (zoo.shipped(model), files) if model else (files[0], files[1:])
    place(None, None, backend=backend).load_backend()
    from experiments.cli import _studies
    from experiments.studies import predict as study

    _studies.predictions(console, study.predict(asked, images, top, views=views))


@app.command()
def export(
    run: Annotated[pathlib.Path, typer.Argument(help="a finished run's folder or .keras file")],
    format: Annotated[str, typer.Option(help="saved_model, onnx, litert or keras")],
    out: Annotated[
        pathlib.Path | None, typer.Option(help="artifact to write (default: beside the model)")
    ] = None,
    images: Annotated[
        list[pathlib.Path] | None,
        typer.Option(help="image file to check on, repeatable (default: images the run keeps)"),
    ] = None,
    backend: Backend = None,
) -> None:
    """Write a run's model for another runtime, and check there that it answers the same.

    Example: python -m experiments export runs/alphanet/alphastack --format onnx
    """
    from experiments.cli import _studies
    from experiments.studies import export as study

    listener = Console(console)
    options = {"backend": backend, "listener": listener}
    found = study.export(run, format, out, images or (), **options)
    _studies.exported(console, found)


@app.command()
def ship(
    run: RunFolder,
    out: Annotated[pathlib.Path, typer.Option(help="folder of the files")] = pathlib.Path(
        "zoo/weights"
    ),
    data_dir: DataDir = None,
    cache_dir: CacheDir = None,
    backend: Backend = None,
) -> None:
    """Write a run's weights as they come with the package: float16, with a card.

    Example: python -m experiments ship runs/records/cifar10_cpu --data-dir ~/data
    """
    from experiments.studies import ship as study

    where, listener = place(data_dir, cache_dir, backend=backend), Console(console)
    file = study.ship(Run(run), where, out, listener)
    size = f"{file.stat().st_size / 1e6:.1f} MB"
    console.print(f"wrote [bold]{escape(str(file))}[/], {size}, and its card", soft_wrap=True)


@app.command()
def attack(
    run: RunFolder,
    images: Annotated[int, typer.Option(help="how many, as many of each class")] = 3200,
    method: Annotated[str, typer.Option(help="fgsm, or pgd, which takes steps")] = "fgsm",
    epsilon: Annotated[float, typer.Option(help="most that a pixel changes, grey levels")] = 8,
    step: Annotated[
        float | None, typer.Option(help="grey levels of a step (default: EPSILON / 4)")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="steps (default: 10)")] = None,
    targeted: Annotated[
        bool, typer.Option("--targeted/--untargeted", help="aim at a class, or away from the true")
    ] = True,
    split: Annotated[str, typer.Option(help="train or validation")] = "train",
    seed: Annotated[int, typer.Option(help="of the choice of images and targets")] = 0,
    out: Annotated[
        pathlib.Path | None, typer.Option(help="folder to write (default: RUN/attack)")
    ] = None,
    data_dir: DataDir = None,
    cache_dir: CacheDir = None,
    backend: Backend = None,
) -> None:
    """Make adversarial images of a finished run, to train and to measure others on.

    Example: python -m experiments attack runs/laptop/ghostnet --images 1000 --data-dir ~/data
    """
    options = {"images": images, "method": method, "epsilon": epsilon, "step": step}
    options |= {"steps": steps, "targeted": targeted, "split": split, "seed": seed}
    spec = recipes.attack(options)
    where, listener = place(data_dir, cache_dir, backend=backend), Console(console)
    from experiments.cli import _studies
    from experiments.studies import attack as study

    found = study.attack(Run(run), out or run / "attack", spec, where, listener)
    _studies.attacked(console, found)
