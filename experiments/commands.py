"""What the commands do once Keras may be loaded: load data, run, tell the user."""

import pathlib
import time

from rich.console import Console
from rich.table import Table

import zoo
from experiments import attack as attacks
from experiments import bench, datasets, ensemble, recipe, report
from experiments import compare as comparison
from experiments import evaluate as evaluation
from experiments import experts as class_experts
from experiments import robust as robustness
from experiments import train as training
from experiments import vote as votes
from experiments._files import read_json
from experiments.rows import Attack, Experts, Row, Stack, Train, Vote


def load_data(
    row: Row, data_dir: pathlib.Path | None, cache_dir: pathlib.Path | None
) -> datasets.Dataset:
    """Load a row's data set at the row's size."""
    return datasets.load(
        row.data.name,
        data_dir=data_dir,
        size=row.data.size,
        resample=row.data.resample,
        cache_dir=cache_dir,
    )


def train(
    row: Train,
    run_dir: pathlib.Path,
    data_dir: pathlib.Path | None,
    cache_dir: pathlib.Path | None,
    console: Console,
    teacher: pathlib.Path | None = None,
) -> dict:
    """Train a row and print its result; `teacher` is the run that a row with `distill` names."""
    training.check(row)
    adversarial = row.adversarial
    if adversarial:
        attacks.check_trainable(adversarial.folder, row.data)
    taught_by = zoo.load(evaluation.model_file(teacher)) if teacher else None
    data = load_data(row, data_dir, cache_dir)
    extra = attacks.read(adversarial.folder, data, adversarial.classes) if adversarial else None
    console.rule(f"[bold]{row.recipe}[/] on {data.name}")
    metrics = training.train(row, run_dir, data, teacher=taught_by, extra=extra)
    console.print(table([metrics]))
    console.print(f"run folder: [bold]{run_dir}[/]")
    return metrics


def stack(
    row: Stack,
    run_dir: pathlib.Path,
    members: list[pathlib.Path],
    data_dir: pathlib.Path | None,
    cache_dir: pathlib.Path | None,
    console: Console,
) -> dict:
    """Stack finished runs and print the result beside the members'."""
    found = ensemble.find_members(row, members)
    data = load_data(row, data_dir, cache_dir)
    console.rule(f"[bold]{row.recipe}[/] on {data.name}")
    metrics = ensemble.stack(row, run_dir, found, data, console=console)
    console.print(table([*(member.metrics for member in found), metrics]))
    console.print(f"run folder: [bold]{run_dir}[/]")
    return metrics


def vote(
    row: Vote,
    run_dir: pathlib.Path,
    members: list[pathlib.Path],
    data_dir: pathlib.Path | None,
    cache_dir: pathlib.Path | None,
    console: Console,
) -> dict:
    """Let finished runs vote and print the result beside the members'."""
    found = ensemble.find_members(row, members)
    data = load_data(found[0].row, data_dir, cache_dir)
    console.rule(f"[bold]{row.recipe}[/] on {data.name}")
    metrics = votes.vote(row, run_dir, found, data, console=console)
    console.print(table([*(member.metrics for member in found), metrics]))
    console.print(f"run folder: [bold]{run_dir}[/]")
    return metrics


def experts(
    row: Experts,
    run_dir: pathlib.Path,
    member: pathlib.Path,
    data_dir: pathlib.Path | None,
    cache_dir: pathlib.Path | None,
    console: Console,
) -> dict:
    """Train the class experts of a finished run and print their vote beside that run."""
    clean = class_experts.find_clean(row, member)
    data = load_data(row, data_dir, cache_dir)
    console.rule(f"[bold]{row.recipe}[/] on {data.name}")
    metrics = class_experts.train_experts(row, run_dir, clean, data, console=console)
    console.print(class_experts.table(metrics))
    console.print(f"run folder: [bold]{run_dir}[/]")
    return metrics


def attack(
    run: pathlib.Path,
    out: pathlib.Path,
    spec: Attack,
    data_dir: pathlib.Path | None,
    cache_dir: pathlib.Path | None,
    console: Console,
) -> dict:
    """Make adversarial images of a finished run and print what they do to it."""
    evaluation.model_file(run)
    row = recipe.load(str(run / "recipe.yaml"))
    return attacks.make(run, out, spec, load_data(row, data_dir, cache_dir), console=console)


def compare(
    runs: list[pathlib.Path],
    out: pathlib.Path,
    data_dir: pathlib.Path | None,
    cache_dir: pathlib.Path | None,
    repeats: int,
    console: Console,
) -> list[dict]:
    """Compare all that finished runs can be together; print the table, write `out/compare.csv`."""
    members, stacks = comparison.find_runs(runs)
    row = members[0].row
    data = load_data(row, data_dir, cache_dir) if row.data.holdout else None
    rows = comparison.compare(
        members, stacks, data, cache_dir=out / "outputs", repeats=repeats, console=console
    )
    console.print(comparison.table(rows, console.width))
    if data is None:
        console.print(comparison.NOTHING_HELD_OUT)
    bench.write_csv(rows, out / "compare.csv")
    console.print(f"written to [bold]{out / 'compare.csv'}[/]")
    return rows


def evaluate(
    run: pathlib.Path,
    data_dir: pathlib.Path | None,
    cache_dir: pathlib.Path | None,
    console: Console,
) -> dict:
    """Evaluate a finished run again and print what it scores."""
    row = recipe.load(str(run / "recipe.yaml"))
    evaluation.model_file(run)
    return evaluation.evaluate(run, load_data(row, data_dir, cache_dir), console=console)


def robust(
    runs: list[pathlib.Path],
    out: pathlib.Path,
    data_dir: pathlib.Path | None,
    cache_dir: pathlib.Path | None,
    console: Console,
    epsilons: list[float],
    limit: int | None,
) -> list[dict]:
    """Measure finished runs, which must share their data, under attacks and corruptions."""
    rows = [recipe.load(str(run / "recipe.yaml")) for run in runs]
    for run, row in zip(runs, rows, strict=True):
        wanted, given = rows[0].data, row.data
        if (given.name, given.size, given.resample) != (wanted.name, wanted.size, wanted.resample):
            raise ValueError(f"{run} is for {given!r}, {runs[0]} for {wanted!r}: they cannot vote")
    labels = [row.name for row in rows]
    labels = labels if len(set(labels)) == len(labels) else [str(run) for run in runs]
    models = {
        label: zoo.load(evaluation.model_file(run)) for label, run in zip(labels, runs, strict=True)
    }
    data = load_data(rows[0], data_dir, cache_dir)
    for run in runs:
        known = read_json(run / "dataset.json")["class_names"]
        evaluation.check_classes(known, data.class_names, f"{run} and {data.name}")
    return robustness.measure(models, data, out, epsilons=epsilons, limit=limit, console=console)


def quickstart(runs: pathlib.Path, console: Console) -> None:
    """Train the quick start's members, stack them, print the table, write the report."""
    began = time.perf_counter()
    rows = recipe.rows("quickstart")
    results = []
    for row in rows.values():
        run_dir = runs / row.recipe
        if row.kind == "train":
            results.append(train(row, run_dir, None, None, console))
        else:
            members = [runs / "quickstart" / member for member in row.members]
            results.append(stack(row, run_dir, members, None, None, console))
    console.rule("[bold]quick start")
    console.print(table(results))
    folders = [runs / row.recipe for row in rows.values()]
    page = report.report(folders, runs / "quickstart" / "report.html", rows={})
    console.print(
        f"{time.perf_counter() - began:.0f} s in all. Open [bold]{page}[/] in a browser; "
        "the next step is in the README: the same on Tiny ImageNet."
    )


def table(results: list[dict]) -> Table:
    """Table of runs: accuracies in percent on n validation images, parameters, time."""
    counts = sorted({metrics["n"] for metrics in results})
    out = Table(caption=f"n = {', '.join(f'{n:,}' for n in counts)} validation images")
    out.add_column("run", style="bold", no_wrap=True)
    for column in ("top-1 %", "top-3 %", "top-5 %", "parameters", "epochs", "seconds"):
        out.add_column(column, justify="right", no_wrap=True)
    for metrics in results:
        scores = (f"{metrics[key]:.2f}" for key in ("top1", "top3", "top5"))
        out.add_row(
            metrics["recipe"].rpartition("/")[2],
            *scores,
            f"{metrics['parameters']:,}",
            str(metrics.get("epochs", "–")),
            f"{metrics['seconds']:.0f}" if "seconds" in metrics else "–",
        )
    return out
