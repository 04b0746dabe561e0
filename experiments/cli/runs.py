"""Commands that make runs and what is made of a run. Keras is imported inside them."""

import pathlib
from typing import Annotated

import typer

from experiments import backend as backends
from experiments import recipe
from experiments.cli._options import (
    Backend,
    CacheDir,
    DataDir,
    Members,
    Recipe,
    Run,
    RunDir,
    Runs,
    Set,
    check_kind,
    console,
    finished,
    member_dir,
    numbers,
    run_dir_of,
)

app = typer.Typer()


@app.command()
def train(
    recipe_name: Recipe,
    set_: Set = [],  # noqa: B006 (typer reads the default, nobody changes it)
    data_dir: DataDir = None,
    cache_dir: CacheDir = None,
    runs: Runs = pathlib.Path("runs"),
    run_dir: RunDir = None,
    backend: Backend = None,
) -> None:
    """Train one row of a paper's table; begun again, it goes on where it was cut off.

    Example: python -m experiments train alphanet/alphanet_v4 --data-dir ~/data --set epochs=2
    """
    row = recipe.load(recipe_name, recipe.parse_set(set_))
    check_kind(row, "train", recipe_name)
    backends.load(backend)
    from experiments import commands

    teacher = row.distill and member_dir(runs, row, row.distill.teacher)
    commands.train(row, run_dir or run_dir_of(runs, row), data_dir, cache_dir, console, teacher)


@app.command()
def stack(
    recipe_name: Recipe,
    members: Members = None,
    set_: Set = [],  # noqa: B006
    data_dir: DataDir = None,
    cache_dir: CacheDir = None,
    runs: Runs = pathlib.Path("runs"),
    run_dir: RunDir = None,
    backend: Backend = None,
) -> None:
    """Freeze finished runs and train a dense head on their outputs.

    Example: python -m experiments stack alphanet/alphastack --data-dir ~/data
    """
    row = recipe.load(recipe_name, recipe.parse_set(set_))
    check_kind(row, "stack", recipe_name)
    backends.load(backend)
    from experiments import commands

    folders = members or [member_dir(runs, row, member) for member in row.members]
    commands.stack(row, run_dir or run_dir_of(runs, row), folders, data_dir, cache_dir, console)


@app.command()
def evaluate(
    runs: Annotated[list[pathlib.Path], typer.Argument(help="finished runs' folders")],
    robust: Annotated[
        bool, typer.Option("--robust", help="under attacks and corruptions; several runs also vote")
    ] = False,
    epsilons: Annotated[
        str, typer.Option(help="grey levels of the attacks, as 1,2,4,8")
    ] = "1,2,4,8",
    limit: Annotated[int | None, typer.Option(help="images for --robust (default: all)")] = None,
    out: Annotated[
        pathlib.Path | None, typer.Option(help="folder of the card (default: the only run's)")
    ] = None,
    data_dir: DataDir = None,
    cache_dir: CacheDir = None,
    backend: Backend = None,
) -> None:
    """Evaluate finished runs again on their data set's validation images.

    Example: python -m experiments evaluate runs/alphanet/alphanet_v4 --data-dir ~/data

    Example: python -m experiments evaluate RUN RUN --robust --out runs/robust --data-dir ~/data
    """
    if robust and out is None and len(runs) > 1:
        raise ValueError("--robust on several runs makes one card: give its folder with --out")
    steps = numbers("--epsilons", epsilons)
    backends.load(backend)
    from experiments import commands

    if robust:
        commands.robust(runs, out or runs[0], data_dir, cache_dir, console, steps, limit)
        return
    for run in runs:
        commands.evaluate(run, data_dir, cache_dir, console)


@app.command()
def report(
    runs: Annotated[list[pathlib.Path], typer.Argument(help="run folders, or folders of them")],
    out: Annotated[pathlib.Path, typer.Option(help="HTML file")] = pathlib.Path("report.html"),
    plots: Annotated[bool, typer.Option("--plots", help="every figure as PNG as well")] = False,
) -> None:
    """Write one self-contained HTML page about finished runs.

    Example: python -m experiments report runs/alphanet --out alphanet.html
    """
    from experiments import report as reports

    folders = [found for run in runs for found in finished(run)]
    comparisons, cards = (
        sorted({path for run in runs for path in run.rglob(f"{name}.csv")})
        for name in ("compare", "robustness")
    )
    papers = {
        recipe.load(str(folder / "recipe.yaml")).recipe.partition("/")[0] for folder in folders
    }
    rows = {
        row.recipe: row.expect.model_dump(exclude_none=True)
        for paper in papers & set(recipe.papers())
        for row in recipe.rows(paper).values()
        if row.expect
    }
    options = {"rows": rows, "comparisons": comparisons, "cards": cards, "plots": plots}
    console.print(f"wrote [bold]{reports.report(folders, out, **options)}[/]")


@app.command()
def predict(
    run: Annotated[pathlib.Path, typer.Argument(help="a finished run's folder or .keras file")],
    images: Annotated[list[pathlib.Path], typer.Argument(help="image files")],
    top: Annotated[int, typer.Option(help="classes to print")] = 5,
    backend: Backend = None,
) -> None:
    """Print the likeliest classes of images.

    Example: python -m experiments predict runs/alphanet/alphastack goldfish.jpg
    """
    backends.load(backend)
    from experiments import predict as predictions

    predictions.predict(run, images, top=top, console=console)


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
    from experiments import export as exports

    exports.export(run, format, out, images or (), backend=backend, console=console)


@app.command()
def attack(
    run: Run,
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
    spec = recipe.attack(options)
    backends.load(backend)
    from experiments import commands

    commands.attack(run, out or run / "attack", spec, data_dir, cache_dir, console)


@app.command()
def quickstart(
    runs: Runs = pathlib.Path("runs"),
    backend: Backend = None,
) -> None:
    """Train three small AlphaNets on digits, stack them and report: minutes on a laptop.

    Example: python -m experiments quickstart
    """
    backends.load(backend)
    from experiments import commands

    commands.quickstart(runs, console)
