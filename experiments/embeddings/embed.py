"""Embeddings of a data set's pixels and of networks' features: what `embed` makes in a folder.

from experiments.embeddings import embed

embed.of_data(recipes.Images(name="digits"), place, folder)
embed.of_runs([Run("runs/laptop/ghostnet")], place, folder)
"""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Callable, Sequence

from experiments import _files
from experiments.datasets import Dataset
from experiments.embeddings import (
    components,
    duplicates,
    features,
    mistakes,
    separation,
    tsne,
)
from experiments.embeddings.asked import PIXELS, Asked, Flat, Part, Space, Table, Work
from experiments.ensembles import members
from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.recipes import Images
from experiments.runs import Run, tables
from experiments.runs.environment import environment


@dataclasses.dataclass(frozen=True)
class Maker:
    """What makes a part in a folder, and raises ValueError for a wish that data cannot grant.

    It returns None where there is nothing to look at: `lacks` says what is missing.
    """

    make: Callable[[Work, pathlib.Path], Part | None]
    check: Callable[[Work], None] | None = None
    lacks: str = ""


# In the order of the page.
PARTS = {
    "components": Maker(components.make),
    "tsne": Maker(tsne.make, tsne.check),
    "separation": Maker(separation.make, separation.check),
    "duplicates": Maker(duplicates.make),
    "mistakes": Maker(mistakes.make, lacks="no runs were given whose answers could be wrong"),
}


@dataclasses.dataclass(frozen=True)
class Embedded:
    """What was made in a folder."""

    folder: pathlib.Path
    parts: dict[str, Part]

    @property
    def sheets(self) -> list[pathlib.Path]:
        """The pictures."""
        return [self.folder / sheet.file for part in self.parts.values() for sheet in part.sheets]


def of_data(
    images: Images,
    place: Place,
    out: pathlib.Path,
    asked: Asked | None = None,
    *,
    listener: Listener = SILENT,
) -> Embedded:
    """Look at the pixels of a data set; write sheets, tables and what they are into `out`.

    Raises ValueError, before images are decoded, for data that is not there, parts
    that there are not and a folder that cannot be written; before anything is computed for classes
    that there are not.
    """
    asked = _checked(asked)
    place.check(images)
    out = _folder(out)
    place.load_backend()
    data = place.dataset(images, listener)
    return _made(Work(data, _pixels(data), asked, listener=listener), out)


def of_runs(
    runs: Sequence[Run],
    place: Place,
    out: pathlib.Path,
    asked: Asked | None = None,
    *,
    listener: Listener = SILENT,
) -> Embedded:
    """Look at the pixels of finished runs' data, at the features of their networks, and mistakes.

    Of a run that is no single network, a stack or a vote, the answers count alone. Raises
    ValueError, before Keras is imported and images are decoded, for runs of different images or
    without predictions, and as `of_data`.
    """
    asked = _checked(asked)
    if not runs:
        raise ValueError("no runs given: name at least one finished run")
    by_name = members.named(runs)
    for run in runs:
        _ = run.probs
    loads = {
        name: features.find(str(run.path), tuple(run.dataset["image_shape"]))
        for name, run in by_name.items()
        if run.kind.network
    }
    place.check(runs[0].row.data)
    out = _folder(out)
    place.load_backend()
    data = place.dataset(runs[0].row.data, listener)
    for name, run in by_name.items():
        run.check_data(data)
        if name not in loads:
            listener.say(f"{name}: no single network, so no features; its answers count")
    spaces = _pixels(data)
    for name, load in loads.items():
        of = load()
        listener.say(f"features of {name}: {of.name}")
        spaces[name] = Space(name, data, lambda split, of=of: of.of(split.images))
    return _made(Work(data, spaces, asked, list(runs), listener), out)


def _checked(asked: Asked | None) -> Asked:
    asked = asked or Asked()
    if unknown := [part for part in asked.parts if part not in PARTS]:
        raise ValueError(f"part (--part) {unknown[0]!r}: there are {', '.join(PARTS)}")
    return asked


def _folder(out: pathlib.Path) -> pathlib.Path:
    out = pathlib.Path(out)
    _files.check_writable(out / tables.EMBEDDINGS)
    out.mkdir(parents=True, exist_ok=True)
    return out


def _pixels(data: Dataset) -> dict[str, Space]:
    return {PIXELS: Space(PIXELS, data, lambda split: Flat(split.images))}


def _made(work: Work, out: pathlib.Path) -> Embedded:
    """Make the parts that are asked for, in their order, and say in a file what there is."""
    _ = work.classes  # says which there are not, before anything is computed
    found: dict[str, Part] = {}
    wanted = [name for name in PARTS if name in (work.asked.parts or PARTS)]
    for name in wanted:
        if check := PARTS[name].check:
            check(work)
    seconds = {}
    for name in wanted:
        began = time.perf_counter()
        part = PARTS[name].make(work, out)
        if part is None:
            work.listener.say(f"{name}: left out, {PARTS[name].lacks}")
            continue
        found[name], seconds[name] = part, time.perf_counter() - began
    for part in found.values():
        for table in part.tables:
            _write(table, out)
    known = environment()
    content = {
        "data": work.data.name,
        "shape": list(work.data.image_shape),
        "train": len(work.data.train),
        "validation": len(work.data.validation),
        "runs": [run.row.recipe for run in work.runs],
        "classes": [work.names[number] for number in work.classes],
        "parts": {name: _told(part, seconds[name]) for name, part in found.items()},
        "settings": dataclasses.asdict(work.asked),
        **{key: known[key] for key in ("device", "date", "command", "commit")},
    }
    _files.write_json(out / tables.EMBEDDINGS, content)
    return Embedded(out, found)


def _write(table: Table, out: pathlib.Path) -> None:
    """Write all that the rows say; one without rows keeps its columns."""
    none = dict.fromkeys((column.key for column in table.columns), "")
    tables.write([dict(row) for row in table.rows] or [none], out / table.file)


def _told(part: Part, seconds: float) -> dict:
    """Return what the file says of a part, of its tables where their rows are, and its time."""
    found = dataclasses.asdict(part) | {"seconds": round(seconds, 1)}
    found["tables"] = [table | {"rows": len(table["rows"])} for table in found["tables"]]
    return found
