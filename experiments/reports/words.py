"""How a report writes numbers, times and the choice of an epoch."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from experiments.runs import Run, history, scores


def number(value: float | None, digits: int = 0) -> str:
    """Format a number with thousands separators, or a dash where there is none."""
    return "–" if value is None else f"{value:,.{digits}f}"


def duration(seconds: float | None) -> str:
    """h:mm:ss."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def spoken(seconds: float) -> str:
    """Seconds, minutes or hours, whichever says most in few digits."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def signed(points: float) -> str:
    """Format a difference with its sign and one digit."""
    return f"{points:+.1f}".replace("-", "\N{MINUS SIGN}")


def between(metrics: Mapping[str, Any]) -> str:
    """Say from where to where the top-1 of a run or member may lie, by how many images it had."""
    if metrics.get("n") is None:
        return ""
    low, high = scores.interval(metrics["top1"], metrics["n"])
    return f"{low:.1f}–{high:.1f}"


def cut(text: str, length: int) -> str:
    """Return a text of at most so many letters: what is left out lies before its last half."""
    if len(text) <= length:
        return text
    end = (length - 1) // 2
    return f"{text[: length - 1 - end]}…{text[-end:]}"


def unique(values: Iterable[Any]) -> list[Any]:
    """Values without repetitions and None, in order."""
    return [value for value in dict.fromkeys(values) if value is not None]


def with_views(metrics: Mapping[str, Any], key: str = "top1") -> str:
    """Say what a run scored with views, to stand beside the plain value; empty where it did not."""
    several = metrics.get("with_views")
    return f"{number(several[key], 1)} with {several['views']}" if several else ""


class Learned(NamedTuple):
    """Training accuracy of the epoch that a run reports, and its gap, in percent and points.

    Training values are means over the epoch as it ran: of augmented images, with dropout.
    """

    top1: float
    gap: float
    """Training minus validation accuracy."""


def learned(run: Run) -> Learned | None:
    """Return what a run reached on its training images; None where nothing was fitted."""
    found = choice(run)
    if found is None:
        return None
    kept = history.best(run.history) if found.on_validation else -1
    top1 = float(run.history["top1"][kept])
    return Learned(top1, top1 - run.metrics["top1"])


class Choice(NamedTuple):
    """Which of a run's epochs is reported; `on_validation` where its validation images chose it."""

    epochs: int
    best: int | None
    last: float
    """Top-1 after the last epoch, in percent."""
    on_validation: bool


def choice(run: Run) -> Choice | None:
    """Return which epoch a run reports, None where nothing was fitted epoch by epoch.

    Runs of earlier versions did not note what they kept: their recipe and history say it.
    """
    if not run.history:
        return None
    metrics, epochs = run.metrics, len(run.history["epoch"])
    return Choice(
        metrics.get("epochs", epochs),
        metrics.get("best_epoch"),
        metrics.get("last_top1", float(run.history["val_top1"][-1])),
        metrics.get("keep", run.row.keep) == "best" and epochs > 1,
    )
