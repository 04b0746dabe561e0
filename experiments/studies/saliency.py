"""Saliency: where finished runs look, stacks and their members too, and how far to trust that.

    from experiments.studies import saliency

    maps = saliency.maps(model, images, classes, "gradcam")     # (n, h, w), 0 or more
    network = saliency.Network(model)                           # compiles once for many calls
    signed = saliency.attributions(network, images, classes, "integrated")

`of_runs` makes the sheets and the table of numbers of `python -m experiments explain`.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import augment
from experiments import _files, datasets
from experiments.ensembles import members
from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.runs import Run, tables
from experiments.runs.environment import environment
from experiments.studies import _measured, _saliency_sheet, _subjects
from experiments.studies._asked import Asked
from experiments.studies._explainers import METHODS, Options, attributions, maps
from experiments.studies._networks import Network
from experiments.studies._subjects import TRUE, Pictures

if TYPE_CHECKING:
    import keras

__all__ = ["METHODS", "Asked", "Network", "Options", "Saliency", "attributions", "maps", "of_runs"]


@dataclasses.dataclass(frozen=True)
class Saliency:
    """What was made in a folder: a sheet for each method, and the table's rows, if any."""

    folder: pathlib.Path
    sheets: list[pathlib.Path]
    rows: list[dict[str, Any]]


def of_runs(
    runs: Sequence[Run],
    place: Place,
    out: pathlib.Path,
    asked: Asked | None = None,
    *,
    files: Sequence[pathlib.Path] = (),
    listener: Listener = SILENT,
) -> Saliency:
    """Explain what finished runs say of validation images of their data, or of image files.

    The folder `out` gets a sheet for each method, and for validation images the table of numbers,
    of each model, method and map that looks at nothing. Raises ValueError, before Keras is imported
    and images are decoded, for runs without a model or of different images, unknown methods and
    classes, data and files that are not there, and a folder that cannot be written; before anything
    is computed for layers and models that there are not and boxes that are asked for and not there.
    """
    asked = asked or Asked()
    if not runs:
        raise ValueError("no runs given: name at least one finished run")
    by_name = members.named(runs)
    for run in runs:
        _ = run.model_file
    number = _subjects.check_class(asked.of, runs[0])
    opened = _opened(files, asked)
    if not files:
        place.check(runs[0].row.data)
    out = pathlib.Path(out)
    _files.check_writable(out / tables.EXPLAINED)
    place.load_backend()

    pictures = None if files else _subjects.of_data(*_data(runs, place, asked, listener))
    models = _subjects.networks(by_name, asked.only, listener)
    _check_maps(models, asked)
    if pictures is None:
        pictures = _subjects.of_files(files, opened, runs[0], next(iter(models.values())))
    work = _measured.Work(pictures, asked, number, measured=not files, listener=listener)
    explained = work.explained(models)
    rows = [row for one in explained for row in one.rows]
    sheets = _write(out, pictures, explained, asked, runs[0])
    if rows:
        data = runs[0].dataset["name"]
        tables.write([row | {"data": data} for row in rows], out / tables.SALIENCY)
    return Saliency(out, sheets, rows)


def _opened(files: Sequence[pathlib.Path], asked: Asked) -> list:
    """Open image files, of which neither classes nor boxes are known."""
    if not files:
        return []
    if asked.of == TRUE:
        raise ValueError(f"class {TRUE!r}: nothing says what image files show; name the class")
    if asked.boxes:
        raise ValueError("boxes are asked for, which image files do not have: leave out --boxes")
    return datasets.open_pictures(list(files))


def _data(runs: Sequence[Run], place: Place, asked: Asked, listener: Listener) -> tuple:
    """Return the runs' data set, how many of its images are explained, and the seed."""
    data = place.dataset(runs[0].row.data, listener)
    for run in runs:
        run.check_data(data)
    if asked.boxes and data.validation.boxes is None:
        raise ValueError(
            f"boxes are asked for, {data.name} has none on its validation images: leave out "
            "--boxes, or explain a run on tiny_imagenet or stanford_cars"
        )
    return data, asked.limit, asked.options.seed


def _check_maps(models: Mapping[str, keras.Model], asked: Asked) -> None:
    """Raise ValueError where a model has no maps, or not those of the layer that was named."""
    if "gradcam" in asked.methods:
        for name, model in models.items():
            augment.maps_of(model, _subjects.layer_in(name, asked.options.layer))


def _write(
    out: pathlib.Path,
    pictures: Pictures,
    explained: Sequence[_measured.Explained],
    asked: Asked,
    run: Run,
) -> list[pathlib.Path]:
    """Draw the sheets, and say in a file what there is."""
    shown = _measured.shown(pictures, explained[0], asked.shown)
    settings = dataclasses.asdict(asked.options)
    told, paths = [], []
    for key in asked.methods:
        method, path = METHODS[key], out / tables.sheet(key)
        about = method.about.format(**settings)
        _saliency_sheet.draw(path, pictures.take(shown), _cells(explained, key, shown), run.names)
        paths.append(path)
        told.append({"method": key, "title": method.title, "about": about, "file": path.name})
    found = environment()
    content = {
        "models": [one.name for one in explained],
        "layers": {one.name: list(one.layers) for one in explained},
        "class": asked.of,
        "images": len(pictures.images),
        "labeled": pictures.labels is not None,
        "boxes": pictures.boxes is not None,
        "data": run.dataset["name"],
        "sheets": told,
        "table": tables.SALIENCY if explained[0].rows else None,
        "settings": settings | {"steps_of_curves": asked.steps, "sanity": asked.sanity},
        **{key: found[key] for key in ("device", "date", "command", "commit")},
    }
    _files.write_json(out / tables.EXPLAINED, content)
    return paths


def _cells(
    explained: Sequence[_measured.Explained], method: str, shown: np.ndarray
) -> list[_saliency_sheet.Column]:
    return [
        _saliency_sheet.Column(
            one.name, one.maps[method][shown], one.classes[shown], one.probs[shown]
        )
        for one in explained
    ]
