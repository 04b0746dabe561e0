"""What frozen members say of a set of images, computed once and kept on disk.

A file holds the outputs of one member for one view of one set of images. Its name is a hash of
all that they depend on: the member's layers and weights, the images, the augmentation and its
view, the backend. So a new member reuses the others' files, and nothing needs to be invalidated.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from stacking._checks import check_finite, check_images, pieces, read_options
from stacking._progress import Progress, listener
from stacking.stack import check_members, check_tap, frozen_member

# Changes when the outputs of the same member would differ from those in old files.
FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Pass:
    """One run of the members over a set of images."""

    batch_size: int = 256
    cache_dir: str | os.PathLike | None = None
    augment: Callable[[np.ndarray, np.ndarray, int], Any] | None = None
    augment_key: str | None = None
    view: int = 0
    progress: Progress | bool | None = None

    def __post_init__(self):
        if not isinstance(self.batch_size, int | np.integer) or self.batch_size < 1:
            raise ValueError(f"batch_size={self.batch_size!r}: give a whole number of 1 or more")
        if self.augment is not None and self.cache_dir is not None and not self.augment_key:
            raise ValueError(
                "augment= with cache_dir= needs augment_key=: a text that changes whenever the"
                " augmentation does, for example the policy as JSON and its seed"
            )
        listener(self.progress)  # raises for what cannot be called


def member_outputs(
    members: dict[str, keras.Model], images: np.ndarray, *, on: str = "probs", **options
) -> np.ndarray:
    """Run the members over `images` and return the taps that `on` names, float32.

    The shape is (n, members, width); where members differ in width (possible on "pooled"), it is
    (n, sum of widths). Either way `reshape(n, -1)` is what the head of a stack of them reads.

    Options, the fields of `stacking.cache.Pass`:
    - `batch_size`: images per call of a member.
    - `cache_dir`: folder for the outputs, made if needed; what is there is not computed again.
    - `augment(batch, indices, view)`: returns the augmented batch; `batch` is `images[indices]`.
      It must depend on its arguments alone. `indices` of a last, partial batch end in repeats.
    - `augment_key`: text that identifies `augment`, needed where both it and `cache_dir` are given.
    - `view`: which augmented view; without `augment` there is one view only.
    - `progress(what, done, total)`: hears how many of the images the members have seen, from 0 to
      all of them. True shows a plain bar.

    Raises ValueError for members without the tap, images that do not fit them or are not finite,
    unknown options and damaged cache files.
    """
    check_tap(on)
    run = read_options(Pass, options)
    check_members(members)
    taps = {name: frozen_member(model, on, name) for name, model in members.items()}
    check_images(taps, images)
    check_finite(images, "images")
    outputs = run_members(taps, images, run)
    if len({output.shape for output in outputs}) > 1:
        return np.concatenate(outputs, axis=1)
    return np.stack(outputs, axis=1)


def out_of_fold(
    fold_members: Sequence[dict[str, keras.Model]],
    images: np.ndarray,
    folds: Sequence[np.ndarray],
    *,
    on: str = "probs",
    **options,
) -> list[np.ndarray]:
    """Return each member's outputs (n, width), for every image by a model that never saw it.

    `folds[i]` holds the indices of the i-th part of the images, and `fold_members[i]` the members
    as they are when they were trained without it; the parts cover each image once. So a head can
    learn on all training images (Wolpert, Stacked Generalization, Neural Networks 5, 1992).
    Options are those of `member_outputs`; `augment` is given indices into `images`. Raises
    ValueError for parts or members that do not fit, and what `member_outputs` raises.
    """
    check_tap(on)
    run = read_options(Pass, options)
    if len(fold_members) != len(folds) or not len(folds):
        raise ValueError(
            f"{len(fold_members)} sets of members for {len(folds)} folds: give one for each"
        )
    rows = np.concatenate(folds)
    if not np.array_equal(np.sort(rows), np.arange(len(images))):
        raise ValueError(f"the folds must hold each index of the {len(images)} images once")
    check_finite(images, "images")
    parts = []
    for members, part in zip(fold_members, folds, strict=True):
        check_members(members)
        taps = {name: frozen_member(model, on, name) for name, model in members.items()}
        parts.append(run_members(taps, images[part], _of_part(run, part)))
    places = np.argsort(rows)
    return [np.concatenate(outputs)[places] for outputs in zip(*parts, strict=True)]


def _of_part(run: Pass, part: np.ndarray) -> Pass:
    """Return the pass over a part of the images that augments them as if all were there."""
    if run.augment is None:
        return run
    key = run.augment_key and _digest(run.augment_key, part.tolist())
    augment = run.augment
    return dataclasses.replace(
        run,
        augment=lambda batch, indices, view: augment(batch, part[indices], view),
        augment_key=key,
    )


def run_members(
    taps: dict[str, keras.Model],
    images: np.ndarray,
    run: Pass,
    keys: dict[str, str] | None = None,
) -> list[np.ndarray]:
    """Return each member's outputs (n, width), memory-mapped where they are cached on disk.

    `keys` are those of `content_keys`, so that several views of one set hash it once. The caller
    has checked that the images are finite, once for all views.
    """
    check_images(taps, images)
    if run.cache_dir is None:
        return list(_compute(taps, images, run).values())
    keys = keys or content_keys(taps, images)
    folder = Path(run.cache_dir)
    folder.mkdir(parents=True, exist_ok=True)
    view = (run.augment_key, run.view) if run.augment else None
    paths = {name: folder / f"{_digest(keys[name], view)}.npy" for name in taps}
    missing = {name: tap for name, tap in taps.items() if not paths[name].exists()}
    for name, output in _compute(missing, images, run).items():
        _write(paths[name], output)
    return [_read(path, len(images)) for path in paths.values()]


def content_keys(taps: dict[str, keras.Model], images: np.ndarray) -> dict[str, str]:
    """Hash, for each member, its layers and weights together with the images and the backend."""
    seen = hashlib.blake2b(f"{images.shape} {images.dtype}".encode())
    for _, piece in pieces(images):
        seen.update(piece)
    common = FORMAT, keras.backend.backend(), seen.hexdigest()
    return {name: _digest(*common, _member_hash(tap)) for name, tap in taps.items()}


def _compute(taps: dict[str, keras.Model], images: np.ndarray, run: Pass) -> dict[str, np.ndarray]:
    """Run the members batch by batch, each batch read and augmented once for all of them."""
    n, size = len(images), min(run.batch_size, len(images))
    outputs = {name: np.empty((n, tap.output_shape[-1]), np.float32) for name, tap in taps.items()}
    text = f"{', '.join(taps)}, view {run.view}" if run.augment else ", ".join(taps)
    if not taps:
        return outputs
    tell = listener(run.progress)
    tell(text, 0, n)
    for start in range(0, n, size):
        # The last batch is filled up with its last image: one shape, hence one compilation.
        rows = np.minimum(np.arange(start, start + size), n - 1)
        batch = augmented(images, rows, run.view, run.augment)
        for name, tap in taps.items():
            output = keras.ops.convert_to_numpy(tap.predict_on_batch(batch))
            outputs[name][start : start + size] = output[: n - start]
        tell(text, min(start + size, n), n)
    return outputs


def augmented(images: np.ndarray, rows: np.ndarray, view: int, augment: Callable | None) -> Any:
    """Return the images of the given rows as the given view shows them."""
    batch = np.ascontiguousarray(images[rows])
    if augment is None:
        return batch
    result = augment(batch, rows, view)
    if tuple(result.shape) != batch.shape:
        raise ValueError(
            f"augment returned {tuple(result.shape)} for images {batch.shape}: it must keep the"
            " number of images and their shape"
        )
    return result


def _member_hash(tap: keras.Model) -> str:
    """Hash layers and weights, without what does not change the outputs: name, trainable."""
    config = _without_trainable(tap.get_config()) | {"name": ""}
    found = hashlib.blake2b(json.dumps(config, sort_keys=True, default=str).encode())
    for weight in tap.get_weights():
        found.update(f"{weight.shape} {weight.dtype}".encode())
        found.update(np.ascontiguousarray(weight).view(np.uint8))
    return found.hexdigest()


def _without_trainable(config: Any) -> Any:
    if isinstance(config, dict):
        return {k: _without_trainable(v) for k, v in config.items() if k != "trainable"}
    if isinstance(config, list | tuple):
        return [_without_trainable(value) for value in config]
    return config


def _digest(*parts: Any) -> str:
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=20).hexdigest()


def _write(path: Path, array: np.ndarray) -> None:
    """Write whole or not at all: under another name first, moved when complete."""
    part = path.with_name(f".{os.getpid()}.part.{path.name}")
    try:
        with open(part, "wb") as file:
            np.save(file, array)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _read(path: Path, n: int) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is damaged ({error}); delete it to compute it again") from None
    if len(array) != n:
        raise ValueError(f"{path} holds {len(array)} rows for {n} images; delete it")
    return array
