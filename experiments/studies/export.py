"""A run's model for other runtimes, kept only if it answers there as it does in Keras.

What is exported takes raw pixels 0..255 as `image`, float32 (n, h, w, c) for any n, and returns
probabilities (n, classes) float32. Keras is imported inside functions.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import pathlib
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from experiments import _files, datasets, runs
from experiments.backend import choose, load, quiet
from experiments.listener import SILENT, Listener
from experiments.runs import Run, names
from experiments.studies._formats import FORMATS, Format, Runner
from experiments.studies.predict import fitting, input_shape
from experiments.training.predict import predict_probs

if TYPE_CHECKING:
    import keras

BATCHES = (1, 7)  # one image, and a number that no exporter fixes by default
# Of a probability, absolute. Other runtimes add in another order, which float32 rounds by 6e-8 a
# step over some hundred layers; this is a tenth of the last digit that `predict` prints.
TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True)
class Exported:
    """A checked artifact.

    `differences`: by batch size, how far its probabilities are off at most, where `TOLERANCE` is
    allowed; `checked_on` says on which images. `input_shape` is (h, w, c), None for any side.
    `converted`: the model was trained in mixed precision and is now float32. `usage` is Python
    that loads the artifact and makes `probs` of `images`.
    """

    path: pathlib.Path
    bytes: int
    differences: dict[int, float]
    checked_on: str
    input_shape: tuple[int | None, int | None, int]
    converted: bool
    usage: str


def export(
    run_or_model: pathlib.Path,
    format: str,
    out: pathlib.Path | None = None,
    images: Sequence[pathlib.Path] = (),
    *,
    backend: str | None = None,
    listener: Listener = SILENT,
) -> Exported:
    """Write a run's model in a format, check it against Keras and return how to load it.

    `out` is by default beside the model. It is checked on image files, by default on the images
    that the run keeps, else on seeded noise; which, is said. Mixed precision becomes float32.

    Raises ValueError, before Keras is imported, for a format that is unknown, that the backend
    cannot write or whose packages are missing, for a target that exists or cannot be written and
    for files that are no images; later, leaving nothing behind, for an artifact that fails or
    answers differently.
    """
    file, run = runs.of_model(run_or_model)
    chosen = writable(format, choose(backend))
    target = _target(file, format, out)
    pictures = datasets.open_pictures([pathlib.Path(path) for path in images])
    load(backend)

    import keras

    import zoo

    with keras.device("cpu"):  # GPUs may multiply in TF32, a thousand times as coarse
        model = zoo.load(file)
        pixels, shown = _images(run, input_shape(run, model), pictures)
        converted = _compute_in_float32(model)
        listener.progress("writing and checking", 0, 1)
        differences = _kept(model, chosen, target, pixels, f"{file} exported as {format}")
        listener.progress("writing and checking", 1, 1)
    return Exported(
        path=target,
        bytes=sum(x.stat().st_size for x in (target, *target.rglob("*")) if x.is_file()),
        differences=differences,
        checked_on=f"{len(pixels)} {shown}",
        input_shape=tuple(model.input_shape[1:]),
        converted=converted,
        usage=chosen.usage.format(path=str(target)),
    )


def writable(name: str, backend: str) -> Format:
    """Return the format; `ValueError` unless the backend can write it and its packages are here."""
    if name not in FORMATS:
        raise ValueError(f"format {name!r}: there are {', '.join(FORMATS)}")
    chosen = FORMATS[name]
    if backend not in chosen.writers:
        raise ValueError(
            f"{name} is not written by {backend}: give --backend {' or '.join(chosen.writers)}, "
            "which reads the same .keras file"
        )
    missing = [x for x in chosen.writers[backend] if importlib.util.find_spec(x) is None]
    if missing:
        raise ValueError(
            f"{name} needs {', '.join(missing)}, not installed here: "
            "pip install 'smallzoo[export]' (in a checkout: pip install -e '.[export]')"
        )
    return chosen


def _target(file: pathlib.Path, format: str, out: pathlib.Path | None) -> pathlib.Path:
    suffix = FORMATS[format].suffix
    target = pathlib.Path(out) if out else file.with_suffix(suffix)
    if target.suffix != suffix:
        raise ValueError(f"--out {target}: a file of format {format} must end in {suffix}")
    if target.exists():
        raise ValueError(f"{target} exists: remove it, or give another --out")
    return _files.check_writable(target)


def _images(
    run: Run, shape: tuple[int, int, int], given: Sequence[Image.Image]
) -> tuple[np.ndarray, str]:
    """Return uint8 images to check on, and what they are."""
    if given:
        size, how = (shape[1], shape[0]), fitting(run)
        fitted = [
            datasets.fit_picture(image, size, shape[2], how.resample, how.background)
            for image in given
        ]
        resized = how.assumed and any(image.size != size for image in given)
        how = f", resized ({how.resample}, for want of a recipe)" if resized else ""
        return np.stack(fitted), f"images given{how}"
    if run.has_samples:
        kept = [run.samples[x] for x in ("wrong_images", "original") if x in run.samples]
        images = np.concatenate(kept)
        if len(images) and images.shape[1:] == shape:
            return images, f"images of the run's data set, in {run.path / names.SAMPLES}"
    noise = np.random.default_rng(0).integers(0, 256, (max(BATCHES), *shape), np.uint8)
    return noise, "images of seeded noise, for want of real ones: name some with --images"


def _compute_in_float32(model: keras.Model) -> bool:
    """Let every layer compute in float32, as exporters need; return whether that is a change.

    The weights of mixed precision are float32 anyway.
    """
    mixed = [layer for layer in (model, *_layers(model)) if layer.compute_dtype != "float32"]
    for layer in mixed:
        layer.dtype_policy = "float32"
    return bool(mixed)


def _layers(model: keras.Model) -> Iterator[keras.Layer]:
    for layer in model.layers:
        yield layer
        yield from _layers(layer) if hasattr(layer, "layers") else ()


def _kept(
    model: keras.Model, chosen: Format, target: pathlib.Path, pixels: np.ndarray, what: str
) -> dict[int, float]:
    """Write the model to `target` only if it answers there as in Keras; return the differences."""
    with _files.explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that the last step is a rename.
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
            part = pathlib.Path(folder) / target.name
            try:
                differences = _written(model, chosen, part, pixels)
            except Exception as error:  # exporters and runtimes raise many kinds
                raise ValueError(f"{what} fails: {error}") from error
            for size, difference in differences.items():
                if not difference <= TOLERANCE:  # NaN as well
                    raise ValueError(
                        f"{what} answers differently in batches of {size}: a probability is off "
                        f"by {difference:.2g}, {TOLERANCE:g} is allowed; it is removed again"
                    )
            os.replace(part, target)
    return differences


def _written(
    model: keras.Model, chosen: Format, path: pathlib.Path, pixels: np.ndarray
) -> dict[int, float]:
    """Write the model, run all images in batches of each size; how far probabilities are off."""
    expected = predict_probs(model, pixels, max(BATCHES))
    # Exporters complain of their own old interfaces; whether the artifact is right, the check says.
    with warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        chosen.write(model, path)
        run = chosen.open(path)
        return {size: _difference(run, pixels, expected, size) for size in BATCHES}


def _difference(run: Runner, pixels: np.ndarray, expected: np.ndarray, size: int) -> float:
    """Return the largest difference; the last batch is filled up from the first image on."""
    differences = []
    for start in range(0, len(pixels), size):
        indices = np.arange(start, start + size) % len(pixels)
        found = run(pixels[indices].astype(np.float32))
        if found.shape != (size, expected.shape[1]):
            raise ValueError(f"{size} images give {found.shape}, not {(size, expected.shape[1])}")
        differences.append(np.abs(found - expected[indices]).max())
    return float(np.max(differences))
