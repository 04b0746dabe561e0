"""`fit`: look, measure, choose, train, report."""

import dataclasses
import math
import os
import pathlib
import re
import shlex
import time

from experiments import datasets, executor, plan, reports
from experiments._files import check_writable, read_json, write_json
from experiments.auto import choose, rows, told
from experiments.auto.choose import AIMS, Chosen, Known
from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.recipes import Row, needed
from experiments.runs import Run, tables

# Of the time that is asked for; the rest is for the last evaluation and the page.
_FOR_TRAINING = 0.9
_NAME = re.compile(r"\w[\w.-]*")
OUT = pathlib.Path("runs") / "fit"
PAGE = "report.html"


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What came of it: the runs, of which the last is made of all others, and the page."""

    folder: pathlib.Path
    runs: list[Run]
    recipes: list[pathlib.Path]
    page: pathlib.Path

    @property
    def run(self) -> Run:
        """The run to ask."""
        return self.runs[-1]


@dataclasses.dataclass(frozen=True)
class Asked:
    """What was asked for, in the form in which it is kept."""

    pictures: str
    minutes: float
    aim: str
    skip_unreadable: bool
    seed: int


def fit(
    pictures: pathlib.Path | str,
    *,
    minutes: float = 20,
    aim: str = "balanced",
    out: pathlib.Path | str | None = None,
    skip_unreadable: bool = False,
    seed: int = 0,
    cache_dir: pathlib.Path | None = None,
    backend: str | None = None,
    listener: Listener = SILENT,
) -> Fitted:
    """Learn to tell pictures apart, in about so many minutes, and write a page about it.

    `pictures` is a folder of class folders, with train and val or test above them or without, an
    archive of one, or a CSV file of paths and labels. The aim is `balanced`, `best` (several
    networks and their stack, where the time is enough) or `small` (few weights, for a phone).
    What is made lies in `out`, by default runs/fit/ and the folder's name: the recipes, a run
    folder for each, and report.html. Begun again with the same arguments, it goes on.
    Raises `ValueError`, before Keras is imported, for pictures that cannot be learned from, and for
    arguments that there are not, or that are others than `out` was begun with.
    """
    began = time.perf_counter()
    path = pathlib.Path(os.path.expanduser(pictures))
    asked = Asked(str(path.resolve()), float(minutes), aim, skip_unreadable, seed)
    _check(asked)
    folder = _folder(path, out)
    file = check_writable(folder / tables.FIT)
    place = Place(path, cache_dir, folder.parent, backend)
    listener.heading(f"pictures in {path}")
    look = datasets.look(path, listener.progress)
    for line in told.look(look):
        listener.say(line)
    made = _begun(file, asked)
    if made is None:
        made = _planned(look, asked, place, folder, began, listener)
        write_json(file, made)
    listener.heading("plan")
    for line in told.plan(made, folder):
        listener.say(line)
    files = [folder / f"{name}.yaml" for name in made["rows"]]
    steps = plan.make(list(map(str, files)), place)
    for step in steps:
        executor.carry_out(step, place, listener)
    page = reports.report([folder], folder / PAGE, title=f"Pictures in {path.name}").page
    return Fitted(folder, [step.run for step in steps], files, page)


def _check(asked: Asked) -> None:
    if not (math.isfinite(asked.minutes) and asked.minutes > 0):
        raise ValueError(f"minutes (--minutes) {asked.minutes:g}: give more than 0, such as 20")
    if asked.aim not in AIMS:
        raise ValueError(f"aim {asked.aim!r}: there are {', '.join(AIMS)}")


def _folder(path: pathlib.Path, out: pathlib.Path | str | None) -> pathlib.Path:
    """Return where all goes; its name is that of the recipes too."""
    if out is None:
        stem = path.resolve().name.partition(".")[0]
        return OUT / (re.sub(r"[^\w-]+", "_", stem).strip("_-") or "pictures")
    folder = pathlib.Path(out)
    if not _NAME.fullmatch(folder.name):
        raise ValueError(
            f"out (--out) {out}: recipes are named by the folder, so its name must be of letters, "
            "digits, dots, dashes and underscores, such as runs/fit/birds"
        )
    return folder


def _begun(file: pathlib.Path, asked: Asked) -> dict | None:
    """Return what the folder was begun with, None if it was not; ValueError for something else."""
    if not file.exists():
        return None
    made = read_json(file)
    before = made.get("asked", {})
    if differ := [
        f"{key} {before.get(key)} -> {value}"
        for key, value in dataclasses.asdict(asked).items()
        if before.get(key) != value
    ]:
        raise ValueError(
            f"{file.parent} was begun otherwise ({'; '.join(differ)}): give another --out, or "
            "remove that folder"
        )
    return made


def _planned(
    look: datasets.Look,
    asked: Asked,
    place: Place,
    folder: pathlib.Path,
    began: float,
    listener: Listener,
) -> dict:
    """Decode the pictures, measure this machine, and write the recipes; return what fit.json is."""
    data = {"name": look.name} | ({"unreadable": "skip"} if asked.skip_unreadable else {})
    known = _known(look)
    names, _ = choose.ways(known, asked.aim)
    side, given = choose.side_of(names[0], known), {"name": folder.name, "data": data}
    tried = [Chosen(name, side, 1, 0, ()) for name in names]
    trials = rows.rows(tried, known, **given, seed=asked.seed, hours=1)[: len(tried)]
    images = place.dataset(trials[0].data, listener)
    doubles = datasets.doubles(images)
    seen = list(told.decoded(images, len(doubles)))
    for line in seen:
        listener.say(line)
    known = dataclasses.replace(known, train=len(images.train), validation=len(images.validation))
    place.load_backend()
    from experiments.auto.rate import measured

    rates, starts = {}, 0.0
    for one, row in zip(tried, trials, strict=True):
        rates[one.name], start = measured(row, images, place)
        starts += start
        listener.say(f"{one.way.about}: {rates[one.name]:,.0f} pictures a second on this machine")
    seconds = max(1.0, _FOR_TRAINING * 60 * asked.minutes - (time.perf_counter() - began))
    chosen = choose.choose(known, max(1.0, seconds - starts), asked.aim, rates)
    found = rows.rows(chosen, known, **given, seed=asked.seed, hours=seconds / 3600)
    why = {one.name: list(one.why) for one in chosen}
    commands = {row.name: _command(row, folder, place) for row in found}
    for row in found:
        rows.write(row, why.setdefault(row.name, [told.STACK]), folder, commands[row.name])
    return {
        "asked": dataclasses.asdict(asked),
        "look": dataclasses.asdict(look),
        "told": [*told.look(look), *seen],
        "rates": rates,
        "rows": [row.name for row in found],
        "why": why,
        "short": [one.name for one in chosen if one.epochs < one.way.epochs],
        "commands": commands,
    }


def _known(look: datasets.Look) -> Known:
    return Known(
        train=sum(look.train),
        validation=sum(look.validation),
        classes=len(look.class_names),
        smallest=look.smallest[1],
        largest=look.largest[1],
        side=look.side,
        gray=look.gray,
    )


def _command(row: Row, folder: pathlib.Path, place: Place) -> str:
    """Return the command that runs a row's file, after those of the rows that it needs."""
    files = [folder / f"{name}.yaml" for name in (*needed(row), row.name)]
    words = ["python", "-m", "experiments", "run", *files]
    words += ["--data-dir", place.data_dir, "--runs", folder.parent / "changed"]
    return shlex.join(map(str, words))
