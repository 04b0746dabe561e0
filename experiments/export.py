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
from rich.console import Console
from rich.markup import escape

from experiments._formats import FORMATS, Format, Runner
from experiments.backend import choose, load, quiet
from experiments.evaluate import model_file, predict_probs
from experiments.predict import fit_picture, input_shape, open_pictures

if TYPE_CHECKING:
    import keras

BATCHES = (1, 7)  # one image, and a number that no exporter fixes by default
# Of a probability, absolute. Other runtimes add in another order, which float32 rounds by 6e-8 a
# step over some hundred layers; this is a tenth of the last digit that `predict` prints.
TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True)
class Exported:
    """A checked artifact; by batch size, how far its probabilities are off at most."""

    path: pathlib.Path
    differences: dict[int, float]


def export(
    run_or_model: pathlib.Path,
    format: str,
    out: pathlib.Path | None = None,
    images: Sequence[pathlib.Path] = (),
    *,
    backend: str | None = None,
    console: Console | None = None,
) -> Exported:
    """Write a run's model in a format, check it against Keras and print how to load it.

    `out` is by default beside the model. It is checked on image files, by default on the images
    that the run keeps, else on seeded noise; which, is said. Mixed precision becomes float32.

    Raises ValueError, before Keras is imported, for a format that is unknown, that the backend
    cannot write or whose packages are missing, for a target that exists and for files that are no
    images; later, leaving nothing behind, for an artifact that fails or answers differently.
    """
    console = console or Console()
    file = model_file(run_or_model)
    chosen = _writable(format, choose(backend))
    target = _target(file, format, out)
    pictures = open_pictures([pathlib.Path(path) for path in images])
    load(backend)

    import keras

    import zoo

    with keras.device("cpu"):  # GPUs may multiply in TF32, a thousand times as coarse
        model = zoo.load(file)
        pixels, shown = _images(file, input_shape(file, model), [image for _, image in pictures])
        if _compute_in_float32(model):
            console.print("trained in mixed precision: exported, and checked, in float32")
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that the last step is a rename.
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
            part = pathlib.Path(folder) / target.name
            try:
                differences = _written(model, chosen, part, pixels)
            except Exception as error:  # exporters and runtimes raise many kinds
                raise ValueError(f"{file} cannot be exported as {format}: {error}") from error
            for size, difference in differences.items():
                if not difference <= TOLERANCE:  # NaN as well
                    raise ValueError(
                        f"{file} exported as {format} answers differently in batches of {size}: a "
                        f"probability is off by {difference:.2g}, {TOLERANCE:g} is allowed; it is "
                        "removed again"
                    )
            os.replace(part, target)
    found = Exported(target, differences)
    _print(found, chosen, model, f"{len(pixels)} {shown}", console)
    return found


def _writable(name: str, backend: str) -> Format:
    """Return the format; ValueError unless the backend can write it and its packages are here."""
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
            f"{name} needs {', '.join(missing)}, not installed here: pip install -e '.[export]'"
        )
    return chosen


def _target(file: pathlib.Path, format: str, out: pathlib.Path | None) -> pathlib.Path:
    suffix = FORMATS[format].suffix
    target = pathlib.Path(out) if out else file.with_suffix(suffix)
    if target.suffix != suffix:
        raise ValueError(f"--out {target}: a file of format {format} must end in {suffix}")
    if target.exists():
        raise ValueError(f"{target} exists: remove it, or give another --out")
    return target


def _images(
    file: pathlib.Path, shape: tuple[int, int, int], given: Sequence[Image.Image]
) -> tuple[np.ndarray, str]:
    """Return uint8 images to check on, and what they are."""
    if given:
        fitted = [fit_picture(image, (shape[1], shape[0]), shape[2]) for image in given]
        return np.stack(fitted), "images given"
    samples = file.parent / "samples.npz"
    if samples.exists():
        with np.load(samples, allow_pickle=False) as kept:
            images = np.concatenate([kept[x] for x in ("wrong_images", "original") if x in kept])
        if len(images) and images.shape[1:] == shape:
            return images, f"images of the run's data set, in {samples}"
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


def _print(
    found: Exported, chosen: Format, model: keras.Model, shown: str, console: Console
) -> None:
    files = [path for path in (found.path, *found.path.rglob("*")) if path.is_file()]
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    off = ", ".join(f"{x:.1e} in batches of {size}" for size, x in found.differences.items())
    sides = ", ".join(str(side or "any") for side in model.input_shape[1:])
    for line in (
        f"wrote [bold]{escape(str(found.path))}[/], {megabytes:.1f} MB",
        f"checked on {escape(shown)}",
        f"probabilities are off by at most {off} ({TOLERANCE:g} is allowed)",
        f"images are float32 (n, {sides}), raw pixels 0 to 255:",
        *(
            escape(f"    {code}".rstrip())
            for code in chosen.usage.format(path=str(found.path)).splitlines()
        ),
    ):
        console.print(line, soft_wrap=True, highlight=False)
