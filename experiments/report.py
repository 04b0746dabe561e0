"""One self-contained HTML page from run folders: the paper's table, curves, mistakes, images.

Reads what the runs left on disk and never imports Keras, so that a report can be written on any
machine. Works for one run or a dozen, of one paper or several, with 2 to some hundred classes.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jinja2
import markupsafe
import numpy as np
from matplotlib.figure import Figure

from experiments import _ensembles, _figures, _plots, _robustness, _tables
from experiments._files import atomic, write_text
from experiments._runs import Run, read_run

PAIRS = 10  # rows of the table of confused classes
THUMBNAIL = 112  # CSS pixels that a misclassified image aims at, by whole multiples


def report(
    run_dirs: Sequence[pathlib.Path | str],
    out: pathlib.Path | str,
    *,
    title: str | None = None,
    rows: Mapping[str, Mapping[str, Any]] | None = None,
    comparisons: Sequence[pathlib.Path] = (),
    cards: Sequence[pathlib.Path] = (),
    plots: bool = False,
) -> pathlib.Path:
    """Write the page on the runs in `run_dirs` to the file (or into the folder) `out`.

    `rows` are the rows of the papers' recipes with their published values, such as
    `{"alphanet/alphanet_v4": {"top1": 47.7, "tolerance": 0.5, "dataset": "tiny_imagenet"}}`; those
    of the same papers that have no run are listed as not run. `comparisons` are files that
    `ensemble compare` wrote, `cards` those of `evaluate --robust`. `plots` also saves every figure
    as PNG under `<run>/plots/`, and those that compare runs under `plots/` beside the page.
    Raises ValueError that names the file of an incomplete or damaged run folder.
    """
    folders = {pathlib.Path(folder).resolve(): folder for folder in run_dirs}
    runs = [read_run(folder) for folder in folders.values()]
    if not runs:
        raise ValueError("no run folders given: name at least one finished run")
    labels = _labels(runs)
    compared, figures = _figures.of_runs(runs, labels), [_figures.of_run(run) for run in runs]
    ensembles = [_ensembles.section(path) for path in comparisons]
    robustness = [_robustness.section(path) for path in cards]
    table = _tables.papers(runs, labels, rows or {})
    page = _template().render(
        title=title or _title(runs),
        facts=_headline(runs, labels),
        commands=_unique(run.metrics.get("command") for run in runs),
        paper=table,
        papers=_unique(_tables.paper(row.recipe) for row in table),
        columns=[c for c in _tables.COLUMNS if any(r.expect.get(c[0]) for r in table)],
        verdict=[
            (symbol, status, count)
            for status, symbol in _tables.SYMBOLS.items()
            if (count := sum(row.status == status for row in table))
        ],
        results=_tables.results(runs, labels),
        top=[k for k in (1, 3, 5) if k == 1 or any(k < run.classes for run in runs)],
        best=max(run.metrics["top1"] for run in runs),
        ensembles=[
            section | _inline({"figure": section["figure"]}, f"ensembles{number}", "ensembles")
            for number, section in enumerate(ensembles)
        ],
        robustness=[
            section | _inline({"figure": section["figure"]}, f"robustness{number}", "robustness")
            for number, section in enumerate(robustness)
        ],
        compared=_inline(compared, "all", "all runs"),
        sections=[
            _section(run, f"run{number}", label, drawn)
            for number, (run, label, drawn) in enumerate(zip(runs, labels, figures, strict=True))
        ],
    )
    out = pathlib.Path(out)
    out = out / "report.html" if out.is_dir() else out
    write_text(out, page)
    if plots:
        _save_plots(out.parent, compared)
        for run, drawn in zip(runs, figures, strict=True):
            _save_plots(run.path, drawn | _figures.image_grids(run))
    return out


def confused_pairs(confusion: np.ndarray, limit: int = PAIRS) -> list[tuple[int, int, int, int]]:
    """Rank pairs of classes by mistakes between them: (a, b, a taken for b, b taken for a)."""
    upper = np.triu(confusion + confusion.T, k=1)
    order = np.argsort(-upper, axis=None, kind="stable")[:limit]
    pairs = np.column_stack(np.unravel_index(order, upper.shape)).tolist()
    return [(a, b, int(confusion[a, b]), int(confusion[b, a])) for a, b in pairs if upper[a, b]]


def _section(run: Run, key: str, label: str, figures: dict[str, Figure]) -> dict[str, Any]:
    """Collect what the template shows of one run."""
    width = run.samples["wrong_images"].shape[2] if len(run.samples["wrong_images"]) else THUMBNAIL
    return {
        "key": key,
        "label": label,
        "run": run,
        "facts": _facts(run),
        "notes": _notes(run) if run.history else "",
        "figures": _inline(figures, key, label),
        "pairs": [
            (run.names[a], run.names[b], *counts) for a, b, *counts in confused_pairs(run.confusion)
        ],
        "mistakes": _mistakes(run),
        "mistakes_in_all": int(len(run.labels) - run.confusion.trace()),
        "width": width * max(1, round(THUMBNAIL / width)) if width < THUMBNAIL else THUMBNAIL,
        "strips": [[_plots.data_uri(image) for image in strip] for strip in _figures.strips(run)],
    }


def _mistakes(run: Run) -> list[dict[str, Any]]:
    samples = run.samples
    return [
        {
            "image": _plots.data_uri(image),
            "true": run.names[true],
            "predicted": run.names[predicted],
            "confidence": 100 * float(confidence),
        }
        for image, true, predicted, confidence in zip(
            samples["wrong_images"],
            samples["wrong_labels"],
            samples["wrong_predictions"],
            samples["wrong_confidence"],
            strict=True,
        )
    ]


def _headline(runs: Sequence[Run], labels: Sequence[str]) -> list[tuple[str, str, list[str]]]:
    """Tell what, on what, where and when: (title, value, lines of detail)."""
    best = max(range(len(runs)), key=lambda number: runs[number].metrics["top1"])
    metrics = [run.metrics for run in runs]
    dates = sorted(str(m["date"])[:10] for m in metrics if m.get("date"))
    seconds = sum(m.get("seconds") or 0 for m in metrics)
    versions = _unique(
        f"{name} {version}"
        for run in runs
        for name, version in (run.environment.get("versions") or {}).items()
        if name in ("keras", run.metrics.get("backend"))
    )
    when = " to ".join(_unique([*dates[:1], *dates[-1:]])) or "unknown"
    return [
        ("Best top-1", f"{runs[best].metrics['top1']:.1f} %", [labels[best]]),
        ("Data", ", ".join(_unique(run.dataset["name"] for run in runs)), _data_words(runs)),
        ("Device", ", ".join(_unique(m.get("device") for m in metrics)) or "unknown", versions),
        ("When", when, [f"{_spoken(seconds)} of training in all"]),
    ]


def _data_words(runs: Sequence[Run]) -> list[str]:
    """Tell sizes of the data; members and stack may differ in the images they were trained on."""
    facts = (
        (lambda run: f"{run.classes:,}", "classes"),
        (
            lambda run: f"{run.dataset['train']:,}" if run.dataset.get("train") else None,
            "training images",
        ),
        (lambda run: f"{len(run.labels):,}", "validation images"),
        (lambda run: "×".join(map(str, run.dataset.get("image_shape") or ())) or None, "pixels"),
    )
    words = [(_unique(map(value, runs)), unit) for value, unit in facts]
    return [f"{' or '.join(values)} {unit}" for values, unit in words if values]


def _facts(run: Run) -> list[tuple[str, str]]:
    recipe, metrics = run.recipe, run.metrics
    policy = recipe.get("augment")
    optimizer = recipe.get("optimizer") or {}
    facts = {
        "Recipe": metrics["recipe"],
        "Network": metrics["model"],
        "Augmentation": "own policy" if isinstance(policy, Mapping) else policy or "none",
        "Rule": recipe.get("rule"),
        "Weights": recipe.get("weights"),
        "Optimizer": f"{optimizer.get('name', '')} {optimizer.get('learning_rate', '')}".strip(),
        "Batch": recipe.get("batch_size"),
        "Seed": metrics.get("seed"),
        "Best epoch": f"{metrics.get('best_epoch') or '?'} of {metrics.get('epochs', '?')}"
        if run.history
        else None,
        "Adversarial": _adversarial(metrics),
        "Commit": run.environment.get("commit"),
        "Folder": run.path,
    }
    return [(title, str(value)) for title, value in facts.items() if value not in (None, "")]


def _adversarial(metrics: Mapping[str, Any]) -> str | None:
    """Tell what class experts make of adversarial images, beside the run that was attacked."""
    if "adversarial_validation" not in metrics:
        return None
    of = "{adversarial:.1f} % of images learned, {adversarial_validation:.1f} % of others"
    return f"{of.format(**metrics)}; before {of.format(**metrics['clean'])}"


def _notes(run: Run) -> str:
    """Tell what the learning curves do not show by themselves."""
    rates, steps = run.history.get("lr", np.array([])), _figures.rate_steps(run)
    note = "The dot is the best epoch. Training values are means over the epoch as it ran."
    if len(steps) > _figures.MARKED_STEPS:
        return f"{note} The learning rate went from {rates[0]:.2g} to {rates[-1]:.2g}."
    return note + " Dotted lines: new learning rate." if steps else note


def _labels(runs: Sequence[Run]) -> list[str]:
    """Name each run by its row; where rows occur twice by the folder, at last by the whole path."""
    rows = [run.name for run in runs]
    folders = [r.folder if r.name in r.folder else f"{r.name} ({r.folder})" for r in runs]
    paths = [str(run.path) for run in runs]
    return next((names for names in (rows, folders) if len(set(names)) == len(names)), paths)


def _title(runs: Sequence[Run]) -> str:
    papers = _unique(_tables.paper(run.metrics["recipe"]) or run.name for run in runs)
    what = runs[0].metrics["recipe"] if len(runs) == 1 else ", ".join(papers)
    return f"{what} on {', '.join(_unique(run.dataset['name'] for run in runs))}"


def _inline(figures: dict[str, Figure], key: str, label: str) -> dict[str, markupsafe.Markup]:
    """Figures as SVG that the template inserts as it stands; their text is escaped already."""
    return {
        name: markupsafe.Markup(_plots.svg(figure, f"{key}-{name}", f"{name} of {label}"))
        for name, figure in figures.items()
    }


def _save_plots(folder: pathlib.Path, figures: Mapping[str, Figure]) -> None:
    for name, figure in figures.items():
        with atomic(folder / "plots" / f"{name}.png") as part:
            part.write_bytes(_plots.png(figure))


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(number=_number, duration=_duration)
    return environment.get_template("report.html")


def _number(value: float | None, digits: int = 0) -> str:
    """Format a number with thousands separators, or a dash where there is none."""
    return "–" if value is None else f"{value:,.{digits}f}"


def _duration(seconds: float | None) -> str:
    """h:mm:ss."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _spoken(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _unique(values: Iterable[Any]) -> list[Any]:
    """Values without repetitions and None, in order."""
    return [value for value in dict.fromkeys(values) if value is not None]
