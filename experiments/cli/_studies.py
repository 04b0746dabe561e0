"""What studies found, for people; `experiments.studies` computes it."""

import itertools
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from experiments.reports.words import between
from experiments.studies.attack import Attacked
from experiments.studies.evaluate import Evaluation
from experiments.studies.export import TOLERANCE, Exported
from experiments.studies.predict import Prediction
from experiments.studies.robust import Robustness
from experiments.studies.saliency import METHODS, Saliency
from experiments.training import adversarial
from experiments.training.views import told

EXTREMES = 5  # best and worst classes shown


def evaluation(console: Console, found: Evaluation) -> None:
    """Print the scores, and the classes that a run knows best and worst."""
    heading = f"[bold]{escape(found.run)}[/] on {escape(found.data)}, {found.n:,} validation images"
    console.print(heading, soft_wrap=True, highlight=False)
    if found.other_images:
        console.print("these are other images than those that the run was validated on")
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("measure")
    columns, n = [(found.scores, found.by_class)], {"n": found.n}
    table.add_column("plain" if found.with_views else "value", justify="right", style="bold")
    if found.with_views:
        columns.append((found.with_views, found.by_class_with_views))
        table.add_column(f"with {found.views}", justify="right", style="bold")
        table.caption = f"{told(found.views)}; classes in the order of the plain accuracy"
    for key in found.scores:
        percent = key.startswith("top")
        values = (scores[key] for scores, _ in columns)
        cells = [f"{value:.2f} %" if percent else f"{value:.4f}" for value in values]
        table.add_row(key.replace("top", "top-"), *cells)
        if key == "top1":
            table.add_row("  95 % interval", *(between(scores | n) for scores, _ in columns))
    ranked = sorted(found.by_class.items(), key=lambda item: -item[1])
    shown = min(EXTREMES, len(ranked) // 2)
    for place, part in (("best", ranked[:shown]), ("worst", ranked[len(ranked) - shown :])):
        table.add_section()
        for name, _ in part:
            cells = (f"{by_class[name]:.2f} %" for _, by_class in columns)
            table.add_row(escape(f"{place} class: {name}"), *cells)
    console.print(table)


def predictions(console: Console, found: Sequence[Prediction]) -> None:
    """Print the likeliest classes of each image."""
    for prediction in found:
        heading = f"[bold]{escape(str(prediction.path))}[/]"
        if prediction.padded_with:
            heading += f", padded to a square with {prediction.padded_with}"
        if prediction.resized_from:
            before, after = (f"{w}x{h}" for w, h in (prediction.resized_from, prediction.size))
            why = ", for want of a recipe" if prediction.assumed else ""
            how = prediction.resample.capitalize()
            heading += f", resized from {before} to {after} ({how}{why})"
        if views := told(prediction.views):
            heading += f", {views}"
        if prediction.uncropped:
            heading += ", not cropped, as the images of its training were: a file has no box"
        console.print(heading, soft_wrap=True, highlight=False)
        table = Table.grid(padding=(0, 2))
        table.add_column(justify="right", min_width=9)
        for name, probability in zip(prediction.classes, prediction.probs, strict=True):
            table.add_row(f"{100 * probability:.1f} %", escape(name))
        console.print(table)


def attacked(console: Console, found: Attacked) -> None:
    """Print what the adversarial images do to the run that they were made of."""
    console.print(adversarial.told(found.content))
    folder = escape(str(found.folder))
    console.print(f"images and {adversarial.SHEET}: [bold]{folder}[/]", soft_wrap=True)


def robustness(console: Console, found: Robustness) -> None:
    """Print models by measure, top-1 in percent; of a corruption the mean over severities."""
    models = list(dict.fromkeys(row["model"] for row in found.rows))
    values: dict[str, dict[str, list[float]]] = {}
    for row in found.rows:
        strength = f" {row['strength']:g}" if row["measure"] in ("fgsm", "pgd") else ""
        measure = values.setdefault(row["measure"] + strength, {})
        measure.setdefault(row["model"], []).append(row["top1"])
    title = f"top-1 %, n = {found.rows[0]['n']:,}"
    caption = "attacks: grey levels of epsilon; corruptions: mean over severities"
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD)
    table.add_column("measure", no_wrap=True)
    for model in models:
        table.add_column(escape(model), justify="right")
    for measure, of_models in values.items():
        means = (sum(of_models[model]) / len(of_models[model]) for model in models)
        table.add_row(measure, *(f"{mean:.1f}" for mean in means))
    console.print(table)
    console.print(f"written to [bold]{escape(str(found.path))}[/]", soft_wrap=True)


def explained(console: Console, found: Saliency) -> None:
    """Print models and methods by what their maps are worth, and where the sheets are."""
    if found.rows:
        first = found.rows[0]
        title = f"maps of {first['n']:,} images, %; {first['class']} class, seed {first['seed']}"
        caption = (
            "in box: share of the map; points: images whose highest pixel lies in the box; chance: "
            "the boxes' area; delete (low is good) and insert (high): mean probability as pixels "
            "go, or come; random: rank correlation with maps by random weights (low)"
        )
        table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("map", no_wrap=True)
        for column in ("in box", "points", "chance", "delete", "insert", "random"):
            table.add_column(column, justify="right", no_wrap=True)
        for model, rows in itertools.groupby(found.rows, key=lambda row: row["model"]):
            table.add_section()
            table.add_row(f"[bold]{escape(model)}[/]")
            for row in rows:
                keys = ("mass", "pointing", "box_area", "deletion", "insertion")
                cells = [_number(row[key], 1) for key in keys] + [_number(row["sanity_all"], 2)]
                known = METHODS.get(row["method"])
                table.add_row(f"  {known.title if known else row['method']}", *cells)
        console.print(table)
    for sheet in found.sheets:
        console.print(f"sheet: [bold]{escape(str(sheet))}[/]", soft_wrap=True)
    told = "numbers and sheets" if found.rows else "sheets"
    console.print(f"{told} in [bold]{escape(str(found.folder))}[/]", soft_wrap=True)


def _number(value: float | str, digits: int) -> str:
    return "" if value == "" else f"{value:.{digits}f}"


def exported(console: Console, found: Exported) -> None:
    """Print what was written, how it was checked, and the Python that loads it."""
    off = ", ".join(f"{x:.1e} in batches of {size}" for size, x in found.differences.items())
    sides = ", ".join(str(side or "any") for side in found.input_shape)
    precision = ["trained in mixed precision: exported, and checked, in float32"]
    for line in itertools.chain(
        precision if found.converted else (),
        (
            f"wrote [bold]{escape(str(found.path))}[/], {found.bytes / 1e6:.1f} MB",
            f"checked on {escape(found.checked_on)}",
            f"probabilities are off by at most {off} ({TOLERANCE:g} is allowed)",
            f"images are float32 (n, {sides}), raw pixels 0 to 255:",
        ),
        (escape(f"    {code}".rstrip()) for code in found.usage.splitlines()),
    ):
        console.print(line, soft_wrap=True, highlight=False)
