"""Generated images as PNG files in folders of their classes, as other tools read them."""

import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from experiments import _files
from experiments.generate.ask import Asked
from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.runs import Run
from experiments.training import generated

# What file systems refuse in a name, or take for a path.
_UNSAFE = re.compile(r'[\\/:*?"<>|\x00-\x1f]|^\.+$')


class Exported(NamedTuple):
    """What was written: how many images, into which folders."""

    folder: pathlib.Path
    images: int
    folders: list[str]


def export(
    run: Run, asked: Asked, out: pathlib.Path, place: Place, listener: Listener = SILENT
) -> Exported:
    """Write images of a generator into the new folder `out`, CLASS/000000.png and so on.

    Those of an unconditional one lie in `out` itself. Class folders are called as in the data set's
    own files, so that `out` is a data set of class folders too. Numbers are places in what was
    asked for: image i depends on the seed, i and its class alone. Raises ValueError for what cannot
    be asked of the run, and a folder that holds something, before anything is made.
    """
    labels = asked.labels(run)
    out = pathlib.Path(out)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ValueError(f"out (--out) {out} is there already: give a new folder, or remove it")
    _files.check_writable(out / "x")
    place.load_backend()
    images = generated.make(run, labels, asked.seed)
    names = folders(run) if asked.by_class(run) else [""] * run.classes
    if out.exists():
        out.rmdir()
    with _files.atomic_folder(out) as part:
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            if number % 500 == 0:
                listener.progress("writing PNG files", number, len(images))
            (part / names[label]).mkdir(exist_ok=True)
            pixels = image[..., 0] if image.shape[-1] == 1 else image
            Image.fromarray(pixels).save(part / names[label] / f"{number:06}.png")
        listener.progress("writing PNG files", len(images), len(images))
    return Exported(out, len(images), sorted({names[label] for label in labels} - {""}))


def folders(run: Run) -> list[str]:
    """Return a folder's name for each class: its id, without what no file may be called."""
    return _distinct(run.dataset.get("class_ids") or run.dataset["class_names"])


def _distinct(given: Sequence[str]) -> list[str]:
    names = [_UNSAFE.sub("_", name) or "_" for name in given]
    if len({name.casefold() for name in names}) == len(names):
        return names
    return [f"{number:04}_{name}" for number, name in enumerate(names)]


def to_array(folder: pathlib.Path) -> np.ndarray:
    """Return the images of an exported folder in their order, (n, h, w, c) uint8."""
    files = sorted(pathlib.Path(folder).rglob("*.png"), key=lambda path: path.name)
    images = [np.asarray(Image.open(file)) for file in files]
    return np.stack([image if image.ndim == 3 else image[..., None] for image in images])
