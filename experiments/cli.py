"""The command line. Keras is imported inside commands: help and lists stay instant."""

import dataclasses
import json
import os
import pathlib
import sys
from typing import Annotated

import typer
from rich.console import Console

import zoo
from experiments import backend as backends
from experiments import catalog, recipe

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    help="Small-image networks: run the papers' experiments, or your own.",
)
bench = typer.Typer(
    no_args_is_help=True,
    help="Measure speed as ratios, side by side in one run: medians after a warm-up.",
)
app.add_typer(bench, name="bench")
ensembles = typer.Typer(
    no_args_is_help=True,
    help="What finished runs are together: votes, and a table of everything they can be.",
)
app.add_typer(ensembles, name="ensemble")
console = Console()
# Kind of a row -> the command that runs it.
COMMANDS = {
    "train": "train",
    "stack": "stack",
    "vote": "ensemble vote",
    "experts": "ensemble experts",
}

Recipe = Annotated[str, typer.Argument(help="PAPER/ROW, or a recipe file such as RUN/recipe.yaml")]
Set = Annotated[list[str], typer.Option("--set", help="FIELD=VALUE over the recipe, repeatable")]
DataDir = Annotated[
    pathlib.Path | None, typer.Option(help="the data set's folder or archive, or its parent")
]
CacheDir = Annotated[
    pathlib.Path | None, typer.Option(help="decoded images (default: ~/.cache/smallzoo)")
]
Runs = Annotated[pathlib.Path, typer.Option(help="folder that holds the run folders")]
RunDir = Annotated[
    pathlib.Path | None, typer.Option(help="this run's folder (default: RUNS/PAPER/ROW)")
]
Run = Annotated[pathlib.Path, typer.Argument(help="a finished run's folder")]
Members = Annotated[
    list[pathlib.Path] | None,
    typer.Argument(help="finished runs (default: the recipe's members under RUNS)"),
]
Csv = Annotated[pathlib.Path | None, typer.Option(help="CSV file to write")]
Repeats = Annotated[int, typer.Option(help="turns of each case")]
Backend = Annotated[
    str | None, typer.Option(help="tensorflow, jax or torch (default: KERAS_BACKEND)")
]


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
    _check_kind(row, "train", recipe_name)
    backends.load(backend)
    from experiments import commands

    teacher = row.distill and _member_dir(runs, row, row.distill.teacher)
    commands.train(row, run_dir or _run_dir(runs, row), data_dir, cache_dir, console, teacher)


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
    _check_kind(row, "stack", recipe_name)
    backends.load(backend)
    from experiments import commands

    folders = members or [_member_dir(runs, row, member) for member in row.members]
    commands.stack(row, run_dir or _run_dir(runs, row), folders, data_dir, cache_dir, console)


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
    backends.load(backend)
    from experiments import commands

    if robust:
        steps = commands.numbers("--epsilons", epsilons)
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

    folders = [found for run in runs for found in _finished(run)]
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


@ensembles.command("vote")
def ensemble_vote(
    recipe_name: Recipe,
    members: Members = None,
    set_: Set = [],  # noqa: B006
    data_dir: DataDir = None,
    cache_dir: CacheDir = None,
    runs: Runs = pathlib.Path("runs"),
    run_dir: RunDir = None,
    backend: Backend = None,
) -> None:
    """Let finished runs vote, as a row of a paper's table says.

    Example: python -m experiments ensemble vote laptop/mode --data-dir ~/data
    """
    row = recipe.load(recipe_name, recipe.parse_set(set_))
    _check_kind(row, "vote", recipe_name)
    backends.load(backend)
    from experiments import commands

    folders = members or [_member_dir(runs, row, member) for member in row.members]
    commands.vote(row, run_dir or _run_dir(runs, row), folders, data_dir, cache_dir, console)


@ensembles.command("compare")
def ensemble_compare(
    runs: Annotated[list[pathlib.Path], typer.Argument(help="run folders, or folders of them")],
    out: Annotated[
        pathlib.Path | None, typer.Option(help="folder (default: compare, beside the first run)")
    ] = None,
    data_dir: DataDir = None,
    cache_dir: CacheDir = None,
    repeats: Annotated[
        int, typer.Option(min=0, help="turns of each timed model; 0: no times")
    ] = 10,
    backend: Backend = None,
) -> None:
    """Compare every vote of trained members, and the stacks among the runs: accuracy and cost.

    All trained runs given are members; runs of votes and of class experts are left out.

    Example: python -m experiments ensemble compare runs/laptop --data-dir ~/data
    """
    folders = [found for run in runs for found in _finished(run)]
    backends.load(backend)
    from experiments import commands

    target = out or folders[0].parent / "compare"
    commands.compare(folders, target, data_dir, cache_dir, repeats, console)


@ensembles.command("experts")
def ensemble_experts(
    recipe_name: Recipe,
    set_: Set = [],  # noqa: B006
    data_dir: DataDir = None,
    cache_dir: CacheDir = None,
    runs: Runs = pathlib.Path("runs"),
    run_dir: RunDir = None,
    backend: Backend = None,
) -> None:
    """Attack a finished run, train experts for its classes on what comes of it, let them vote.

    Example: python -m experiments ensemble experts laptop/experts --data-dir ~/data
    """
    row = recipe.load(recipe_name, recipe.parse_set(set_))
    _check_kind(row, "experts", recipe_name)
    backends.load(backend)
    from experiments import commands

    member = _member_dir(runs, row, row.member)
    commands.experts(row, run_dir or _run_dir(runs, row), member, data_dir, cache_dir, console)


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


@bench.command("augment")
def bench_augment(
    out: Csv = None,
    repeats: Repeats = 10,
    backend: Backend = None,
) -> None:
    """Time class C on batches, beside Keras' layers, its deprecated generator and Albumentations.

    Example: python -m experiments bench augment --out augment.csv
    """
    backends.load(backend)
    from experiments.bench import augment, publish

    publish(augment.run(repeats=repeats), out, console)


@bench.command("stack")
def bench_stack(
    out: Csv = None,
    repeats: Repeats = 10,
    backend: Backend = None,
) -> None:
    """Time a stack's head on cached outputs, beside running the members each time.

    Example: python -m experiments bench stack --repeats 7
    """
    backends.load(backend)
    from experiments.bench import publish, stack

    publish(stack.run(repeats=repeats), out, console)


@bench.command("members")
def bench_members(
    out: Csv = None,
    repeats: Repeats = 10,
    backend: Backend = None,
) -> None:
    """Time members of one architecture as one graph, and with their weights batched.

    Example: python -m experiments bench members --backend jax
    """
    backends.load(backend)
    from experiments.bench import members, publish

    publish(members.run(repeats=repeats), out, console)


@bench.command("models")
def bench_models(
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
    from experiments.bench import models, write_csv

    chosen = [name for given in names or models.NETWORKS for name in given.split(",")]
    options = {"batch": batch, "size": size, "repeats": repeats, "backend": backend}
    rows = models.run(chosen, **options, console=console)
    if out is not None:
        backends.load(backend)  # only now: while networks are timed, no process more than needed
        write_csv(rows, out)


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


def main() -> None:
    """Run the command line; what the user can mend is told in one line, not as a traceback."""
    try:
        app()
    except ValueError as error:
        if os.environ.get("SMALLZOO_DEBUG"):
            raise
        Console(stderr=True).print(f"[bold red]error:[/] {_escape(error)}", highlight=False)
        sys.exit(2)


def _escape(error: Exception) -> str:
    from rich.markup import escape

    return escape(str(error))


def _check_kind(row: recipe.Row, kind: str, name: str) -> None:
    """Raise ValueError with the right command for a row of another kind."""
    if row.kind != kind:
        raise ValueError(
            f"{name} is of kind {row.kind}: python -m experiments {COMMANDS[row.kind]} {name}"
        )


def _run_dir(runs: pathlib.Path, row: recipe.Row) -> pathlib.Path:
    return runs / row.recipe


def _member_dir(runs: pathlib.Path, row: recipe.Row, member: str) -> pathlib.Path:
    """Run folder of a member or teacher: a row of the same paper, or a folder as it stands."""
    if "/" in member:
        return pathlib.Path(member)
    return runs / row.recipe.rpartition("/")[0] / member


def _finished(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return the folder itself if it is a run, else those within it but not within a run."""
    found = sorted(
        path.parent
        for path in folder.rglob("metrics.json")
        if not any(
            (parent / "recipe.yaml").exists()
            for parent in path.parent.parents
            if parent.is_relative_to(folder)
        )
    )
    if not found:
        raise ValueError(f"{folder} holds no finished run (a folder with metrics.json)")
    return found
