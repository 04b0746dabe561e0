"""Tables of runs for people: results, what a plan costs, experts, and what ensembles can be."""

import itertools
from collections.abc import Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from experiments.ensembles.parts import SETS
from experiments.plan import Estimate
from experiments.reports.sections import ensembles
from experiments.reports.words import between
from experiments.training.views import VIEWS, told

WIDE = 122  # characters that the whole table of a comparison needs
OF_VIEWS = 8  # and that a column with views adds


def results(found: Sequence[dict]) -> Table:
    """Table of runs: accuracies in percent on n validation images, parameters, time."""
    counts = sorted({metrics["n"] for metrics in found})
    chosen = [metrics for metrics in found if metrics.get("keep") == "best"]
    caption = f"in percent of n = {', '.join(f'{n:,}' for n in counts)} validation images"
    if chosen:
        caption += "; *: of the best epoch on these images, which is a choice by them"
    caption += "; 95 %: interval of top-1 (Wilson)"
    out = Table(caption=caption, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    out.add_column("run", style="bold", no_wrap=True)
    for column in ("top-1", "95 %", "top-3", "top-5", "parameters", "epochs", "seconds"):
        out.add_column(column, justify="right", no_wrap=True)
    for metrics in found:
        top1, *others = (f"{metrics[key]:.2f}" for key in ("top1", "top3", "top5"))
        out.add_row(
            metrics["recipe"].rpartition("/")[2] + (" *" if metrics in chosen else ""),
            top1,
            between(metrics),
            *others,
            f"{metrics['parameters']:,}",
            str(metrics.get("epochs", "–")),
            f"{metrics['seconds']:.0f}" if "seconds" in metrics else "–",
        )
        if several := metrics.get("with_views"):
            top1, *others = (f"{several[key]:.2f}" for key in ("top1", "top3", "top5"))
            told_of = between(several | {"n": metrics["n"]})
            out.add_row(f"  with {several['views']}", top1, told_of, *others)
    return out


def plan(found: Sequence[Estimate]) -> Table:
    """Table of a plan: what each row takes, in the order in which they run."""
    rated = found[0].rated_by if found else 0
    hours = sum(one.hours or 0 for one in found)
    caption = "epochs at most; MACs: multiply-adds of an image, forward; in all: their product; "
    if rated:
        caption += f"hours by the rate of {rated} finished runs here: {_hours(hours)} in all"
    else:
        caption += "hours are told when a row has been run on this machine"
    out = Table(caption=caption, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    out.add_column("row", no_wrap=True)
    out.add_column("state", no_wrap=True)
    for column in ("images", "epochs", "MACs, M", "in all, T", "hours"):
        out.add_column(column, justify="right", no_wrap=True)
    for paper, its in itertools.groupby(found, key=lambda one: one.step.row.paper):
        out.add_section()
        out.add_row(f"[bold]{escape(paper)}/[/]")
        for one in its:
            work, step = one.work, one.step
            known = work is not None and work.total
            out.add_row(
                f"  {escape(step.row.name)}",
                step.status,
                f"{work.images:,}" if known else "–",
                f"{round(work.epochs, 1):g}" if known else "–",
                f"{work.macs / 1e6:,.1f}" if known else "–",
                f"{work.total / 1e12:,.1f}" if known else "–",
                _hours(one.hours) if known else "–",
            )
    return out


def _hours(hours: float | None) -> str:
    if hours is None:
        return "–"
    return f"{hours:.2g}" if hours < 10 else f"{hours:,.0f}"


def experts(metrics: dict) -> Table:
    """Table of the clean run, the experts and their vote: clean and adversarial accuracy."""
    counts = [metrics["n"], *(metrics[f"{key}_n"] for key in SETS)]
    caption = "n = {:,} validation images, {:,} adversarial ones learned, {:,} never learned"
    out = Table(caption=caption.format(*counts), box=box.SIMPLE_HEAD)
    out.add_column("run", style="bold", no_wrap=True)
    for column in ("clean, %", "adversarial, %", "adversarial, never learned, %"):
        out.add_column(column, justify="right")
    name = metrics["recipe"].rpartition("/")[2]
    for line in (metrics["clean"], *metrics["members"], metrics | {"name": f"{name}, vote"}):
        out.add_row(line["name"], *(f"{line[key]:.2f}" for key in ("top1", *SETS)))
    return out


def sweep(found: dict) -> str:
    """Line of a sweep: its best trial, what it was begun with, and what came of that in full."""
    values = ", ".join(f"{name} {value}" for name, value in found["values"].items())
    told = f"best of {found['trials']} trials ({found['failed']} failed): trial {found['best']}, "
    told += f"{found['objective']} {found['score']:.4g} with {values}: {found['run']}"
    if anew := found.get("retrained"):
        told += f"; trained anew for {anew['epochs']} epochs: top-1 {anew['top1']:.2f} %"
    return told


def comparison(rows: Sequence[dict], width: int) -> Table:
    """Table of what ensembles can be, for a console of `width` characters, best values bold."""
    out = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), caption=_caption(rows))
    out.add_column("ensemble", no_wrap=True)
    columns = ensembles.columns(rows)
    several = sum(column in ensembles.WITH_VIEWS for column in columns)
    if width < WIDE + several * OF_VIEWS:  # a column with views takes the place of top-5
        columns = [c for c in columns if not (c.detail or (several and c.key == "top5"))]
    for column in columns:
        out.add_column(f"{column.title}\n{column.unit}", justify="right", no_wrap=True)
    best, kinds = ensembles.best(rows), [row["kind"] for row in rows]
    for number, row in enumerate(rows):
        texts = [(column.text(row), (number, column.key) in best) for column in columns]
        last = number + 1 == len(rows) or kinds[number + 1] != kinds[number]
        cells = (f"[bold]{text}[/]" if marked else text for text, marked in texts)
        out.add_row(escape(row["ensemble"]), *cells, end_section=last)
    return out


def _caption(rows: Sequence[dict]) -> str:
    """Tell how the numbers of a comparison came about."""
    several = [told(name) for name in VIEWS if f"top1_{name}" in rows[0]]
    said = f"n = {rows[0]['n']:,} validation images; best values bold"
    said += "".join(f"; {how} of an image" for how in several)
    if rows[0]["fitted_on"]:
        said += f"; weights fitted on {rows[0]['fitted_on']:,} images that the members held out"
        said += ", plain ones" if several else ""
    said += "; an ensemble costs the sum of the members that it asks"
    said += (
        "; low, high: 95 % interval of top-1 (Wilson); p: exact McNemar test beside the best member"
    )
    if rows[0]["latency_ms"]:
        said += "; latency of one image, images/s in batches of 32"
        said += ", of plain calls" if several else ""
    unfitted = [f"{row['ensemble']}: {row['weights']}" for row in rows if row["top1"] == ""]
    return escape("; ".join([said, *unfitted]))
