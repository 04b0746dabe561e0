"""The page: what it says of all runs, then its sections."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments import recipes
from experiments._files import atomic, check_writable, explained, write_text
from experiments.reports import sections, words
from experiments.reports.context import Context, Group, Shown
from experiments.reports.words import unique
from experiments.runs import Run, find, tables

SUFFIXES = (".html", ".htm")
# By this a page is known as one that may be written anew.
GENERATOR = '<meta name="generator" content="smallzoo report">'


class Report(NamedTuple):
    """What was written: the page, and the folders of figures, if any."""

    page: pathlib.Path
    plots: list[pathlib.Path]


def report(
    folders: Sequence[pathlib.Path | str],
    out: pathlib.Path | str,
    *,
    title: str | None = None,
    plots: bool = False,
) -> Report:
    """Write the page on the runs in `folders` to the file `out`, or to report.html in that folder.

    A folder is a finished run, or holds some; comparisons of ensembles, robustness cards and
    explained images and embeddings in it are shown too, also where it holds no run. Beside the runs
    stand all published rows of their papers.
    `plots` also saves every figure as PNG under `<run>/plots/`, and those of several runs under
    `plots/` beside the page.
    Raises ValueError that names the file of an incomplete or damaged run folder, and for an `out`
    that is none of a report: no other file is written over.
    """
    out = _target(pathlib.Path(out))
    folders = [pathlib.Path(folder) for folder in folders]
    found = _runs(folders)
    runs = [run for run in found if not run.kind.images]
    context = Context(
        runs=runs,
        generators=[run for run in found if run.kind.images],
        labels=_labels(runs),
        rows=_published(runs),
        comparisons=_below(folders, tables.COMPARISON),
        cards=_below(folders, tables.ROBUSTNESS),
        phones=_below(folders, tables.PHONE),
        explained=_below(folders, tables.EXPLAINED),
        embedded=_below(folders, tables.EMBEDDINGS),
        generated=_below(folders, tables.GENERATED),
        fits=_below(folders, tables.FIT),
        plots=out.parent / "plots" if plots else None,
    )
    shown = {section: found for section in sections.SECTIONS if (found := section.show(context))}
    page = _rendered(shown, context, title)
    write_text(out, page)
    drawn = [plot for found in shown.values() for plot in found.plots]
    for folder, figures in drawn:
        _save(folder, figures)
    return Report(out, unique(folder for folder, _ in drawn))


def _target(out: pathlib.Path) -> pathlib.Path:
    """Return the file to write; ValueError where that would be no page, or another's."""
    out = out / "report.html" if out.is_dir() else out
    if out.suffix.lower() not in SUFFIXES:
        raise ValueError(f"out {out}: give a file that ends in .html, or a folder that exists")
    if out.exists():
        with explained(out):
            head = out.read_text(encoding="utf-8", errors="replace")[:2000]
        if GENERATOR not in head:
            raise ValueError(
                f"{out} exists, and nothing in it says that a report is there to be written anew: "
                "choose another --out, or remove it"
            )
    return check_writable(out)


def _save(folder: pathlib.Path, figures: Mapping[str, Any]) -> None:
    from experiments.reports import svg

    for name, figure in figures.items():
        with atomic(folder / f"{name}.png") as part:
            part.write_bytes(svg.png(figure))


def _runs(folders: Sequence[pathlib.Path]) -> list[Run]:
    """Return the runs that folders are or hold, read whole, each once."""
    found = {}
    for folder in folders:
        for run in _inside(folder):
            found.setdefault(run.path.resolve(), run)
    if not found and not any(map(_studied, folders)):
        raise ValueError("no run folders given: name at least one finished run")
    return [run.check() for run in found.values()]


def _inside(folder: pathlib.Path) -> list[Run]:
    """Return the run that a folder is, else those that it holds: none where it holds a study."""
    if Run(folder).begun or not folder.is_dir():
        return [Run(folder)]
    return find([folder]) if Run.all_below(folder) or not _studied(folder) else []


def _studied(folder: pathlib.Path) -> bool:
    """Whether a folder holds what a study left."""
    return any(_below([folder], name) for name in tables.STUDIES)


def _below(folders: Sequence[pathlib.Path], name: str) -> list[pathlib.Path]:
    return sorted({path for folder in folders for path in folder.rglob(name)})


def _published(runs: Sequence[Run]) -> dict[str, recipes.Row]:
    papers = [paper for paper in unique(run.row.paper for run in runs) if paper in recipes.papers()]
    rows = [row for paper in papers for row in recipes.rows(paper).values()]
    return {row.recipe: row for row in rows if row.expect or row.note}


def _rendered(shown: Mapping[Any, Shown], context: Context, title: str | None) -> str:
    """Fill the page's template; it includes those of sections, which lie beside their modules."""
    files = {section: pathlib.Path(section.__file__).with_suffix(".html") for section in shown}
    places = unique([pathlib.Path(__file__).parent, *(file.parent for file in files.values())])
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(places),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    filters = {
        name: getattr(words, name)
        for name in ("number", "duration", "signed", "with_views", "between")
    }
    environment.filters.update(filters)
    return environment.get_template("base.html").render(
        title=title or _title([*context.runs, *context.generators]),
        facts=_headline(context) if context.runs or context.generators else [],
        commands=unique(run.metrics.get("command") for run in [*context.runs, *context.generators]),
        links=[link for found in shown.values() for link in found.links],
        sections=[
            {"template": files[section].name, **found.values} for section, found in shown.items()
        ],
    )


def _headline(context: Context) -> list[tuple[str, str, list[str]]]:
    """Tell what, on what, where and when: (title, value, lines of detail)."""
    runs, groups = [*context.runs, *context.generators], context.groups
    metrics = [run.metrics for run in runs]
    dates = sorted(str(m["date"])[:10] for m in metrics if m.get("date"))
    seconds = sum(m.get("seconds") or 0 for m in metrics)
    versions = unique(
        f"{name} {version}"
        for run in runs
        for name, version in (run.environment.get("versions") or {}).items()
        if name in ("keras", run.metrics.get("backend"))
    )
    when = " to ".join(unique([*dates[:1], *dates[-1:]])) or "unknown"
    made = [f"{run.row.recipe}, {run.metrics['model']}" for run in context.generators]
    best = " / ".join(f"{_best(group):.1f}" for group in groups) + " %"
    return [
        *([("Best top-1", best, _which(groups))] if groups else []),
        *([("Generators", str(len(made)), made)] if made else []),
        ("Data", ", ".join(unique(run.dataset["name"] for run in runs)), _data(groups)),
        ("Device", ", ".join(unique(m.get("device") for m in metrics)) or "unknown", versions),
        ("When", when, [f"{words.spoken(seconds)} of training in all"]),
    ]


def _best(group: Group) -> float:
    return group.runs[group.best].metrics["top1"]


def _which(groups: Sequence[Group]) -> list[str]:
    """Tell which run is the best, and how it was with views; of several data sets of each."""
    lines = []
    for group in groups:
        several = words.with_views(group.runs[group.best].metrics)
        found = [group.labels[group.best], *([several] if several else [])]
        lines += found if len(groups) == 1 else [f"{group.title}: {', '.join(found)}"]
    return lines


def _data(groups: Sequence[Group]) -> list[str]:
    """Tell how many images and classes there are, of several data sets in a line each."""
    told = [_facts(group.runs) for group in groups]
    if len(groups) < 2:
        return [f"{count} {unit}" for facts in told for unit, count in facts.items()]
    train, validation = "training images", "validation images"
    return [
        f"{group.title}: {facts.pop('classes')} classes, {facts.pop(train, '?')} and "
        f"{facts.pop(validation)} images{''.join(f', {size}' for size in facts.values())}"
        for group, facts in zip(groups, told, strict=True)
    ]


def _facts(runs: Sequence[Run]) -> dict[str, str]:
    """Tell sizes of the data; members and stack may differ in the images they were trained on."""
    facts = {
        "classes": lambda run: f"{run.classes:,}",
        "training images": lambda run: (
            f"{run.dataset['train']:,}" if run.dataset.get("train") else None
        ),
        "validation images": lambda run: f"{run.metrics['n']:,}",
        "pixels": lambda run: "×".join(map(str, run.dataset.get("image_shape") or ())) or None,
    }
    told = {unit: unique(map(value, runs)) for unit, value in facts.items()}
    return {unit: " or ".join(values) for unit, values in told.items() if values}


def _labels(runs: Sequence[Run]) -> list[str]:
    """Name each run by its row; where rows occur twice by the folder, at last by the whole path."""
    rows = [run.name for run in runs]
    folders = [r.folder if r.name in r.folder else f"{r.name} ({r.folder})" for r in runs]
    paths = [str(run.path) for run in runs]
    return next((names for names in (rows, folders) if len(set(names)) == len(names)), paths)


def _title(runs: Sequence[Run]) -> str:
    if not runs:
        return "Studies"
    papers = unique(run.row.paper or run.name for run in runs)
    what = runs[0].row.recipe if len(runs) == 1 else ", ".join(papers)
    return f"{what} on {', '.join(unique(run.dataset['name'] for run in runs))}"
