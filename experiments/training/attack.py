"""Adversarial images of a finished run, made and kept as `experiments.training.adversarial` reads.

Needs nothing but the run and its data; the command is `experiments.studies.attack`.
"""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

import augment
import zoo
from experiments import recipes
from experiments._files import atomic_folder, check_writable
from experiments.datasets import Dataset
from experiments.listener import SILENT, Listener
from experiments.recipes import Attack, Share
from experiments.runs import Run, short_names
from experiments.runs.dataset import describe
from experiments.runs.environment import environment
from experiments.training import adversarial, part
from experiments.training._sheet import NAME, draw
from experiments.training.predict import check_finite, predict_probs

if TYPE_CHECKING:
    import keras

BATCH = 64  # images whose gradient is taken at once
CHUNK = 512  # images held as float32 at once
# What a set says of the run, but that its images do not depend on: the weights are compared.
_TOLD = ("run", "model")


def make(
    run: Run, out: pathlib.Path, spec: Attack, data: Dataset, listener: Listener = SILENT
) -> dict:
    """Make adversarial images of a run's model and return what `attack.yaml` says of them.

    Images are chosen and aimed by `choose`. A folder that holds the same attack on the same
    weights is left as it is. Raises `ValueError` for one that holds anything else or cannot be
    written, for a run without a model or of other data, for a model whose weights or gradients are
    not finite, and for more images than the split has of a class.
    """
    out, file = check_target(out), run.model_file
    run.check_data(data)
    model = zoo.load(file)
    check_finite(model, str(file))
    fixed = _fixed(run, model, spec, data)
    if out.exists():
        return _made_before(out, fixed)
    split = getattr(part.seen(data, _share(run)), spec.split)
    indices, targets = choose(split.labels, spec, data.class_names)
    labels = np.asarray(split.labels)[indices]
    clean = split.batch(indices)
    aims = targets if spec.targeted else None
    options = {"targets": aims, "indices": indices, "listener": listener}
    perturbed = perturb(model, clean, labels, spec, **options)
    probs = [predict_probs(model, pixels) for pixels in (clean, perturbed)]
    said = [p.argmax(axis=1) for p in probs]
    found = environment()
    content = fixed | {
        "images": len(indices),
        "accuracy_before": float(100 * np.mean(said[0] == labels)),
        "accuracy_after": float(100 * np.mean(said[1] == labels)),
        "reached_target": float(100 * np.mean(said[1] == targets)) if spec.targeted else None,
        **{key: found[key] for key in ("backend", "commit", "date", "command")},
    }
    rows = {"indices": indices, "labels": labels} | ({"targets": targets} if spec.targeted else {})
    with atomic_folder(out) as folder:
        np.save(folder / adversarial.IMAGES, perturbed)
        np.savez(folder / adversarial.ROWS, **rows)
        text = recipes.write(content)
        (folder / adversarial.SETTINGS).write_text(text, encoding="utf-8")
        names = short_names(data.class_names, data.class_ids, NAME)
        draw(folder / adversarial.SHEET, (clean, perturbed), probs, rows, names)
    return content


def check_target(out: pathlib.Path) -> pathlib.Path:
    """Return the folder of a set; `ValueError` where it can be neither read nor written."""
    out = pathlib.Path(out)
    if out.is_dir():
        adversarial.settings(out)
        return out
    if out.exists():
        raise ValueError(f"--out {out} is a file: a set of images is a folder; choose another")
    return check_writable(out)


def choose(
    labels: np.ndarray, spec: Attack, class_names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return (indices, targets) of the images to perturb, in the order of the split.

    Each class gives equally many, up to one where the number does not divide, in which the classes
    with the lower numbers come first. Image p in its class's order, which the seed draws, aims at
    the class `shift[p]` further on, of a cycle of shifts that the seed draws too: an image's target
    is the same however many are chosen, never its own class, and every class is aimed at as often.
    Raises `ValueError` where a class has too few images.
    """
    labels, classes = np.asarray(labels), len(class_names)
    random = np.random.RandomState(spec.seed)  # NumPy keeps its stream the same in all versions
    shifts = 1 + random.permutation(classes - 1)
    quotas = spec.images // classes + (np.arange(classes) < spec.images % classes)
    indices, targets = [], []
    for label, quota in enumerate(quotas):
        members = random.permutation(np.flatnonzero(labels == label))[:quota]
        if len(members) < quota:
            counts = np.bincount(labels, minlength=classes)
            raise ValueError(
                f"{spec.images} images of {classes} classes: class {class_names[label]!r} has "
                f"{len(members)} {spec.split} images; give images={classes * counts.min()} or less"
            )
        indices.append(members)
        targets.append((label + shifts[np.arange(quota) % len(shifts)]) % classes)
    indices, targets = np.concatenate(indices), np.concatenate(targets)
    order = np.argsort(indices)
    return indices[order], targets[order]


def perturb(
    model: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    spec: Attack,
    *,
    targets: np.ndarray | None,
    indices: np.ndarray,
    listener: Listener = SILENT,
) -> np.ndarray:
    """Return the images (n, h, w, c) attacked as `spec` says, uint8, none further than epsilon.

    With `targets` (n,) they move towards these classes, else away from `labels`. Random starts
    are drawn by the seed and `indices` (n,), the images' rows in their split. Raises `ValueError`
    for images or gradients that are not finite.
    """
    gradient = augment.Gradient(model, batch_size=BATCH)
    furthest = np.floor(spec.epsilon)
    attacked = np.empty(images.shape, np.uint8)
    for start in range(0, len(images), CHUNK):
        listener.progress("perturbing", start, len(images))
        rows = slice(start, start + CHUNK)
        clean = images[rows].astype(np.float32)
        options = {"epsilon": spec.epsilon, "targets": None if targets is None else targets[rows]}
        if spec.method == "fgsm":
            x = augment.fgsm(gradient, clean, labels[rows], **options)
        else:
            options |= {"step": spec.step, "steps": spec.steps}
            options |= {"seed": spec.seed, "indices": indices[rows]}
            x = augment.pgd(gradient, clean, labels[rows], **options)
        if not np.isfinite(x).all():
            raise ValueError(
                f"{model.name} has gradients that are not finite: did its training diverge?"
            )
        # Rounding alone could leave the ball where epsilon is no whole number.
        attacked[rows] = clean + np.clip(np.rint(x - clean), -furthest, furthest)
    listener.progress("perturbing", len(images), len(images))
    return attacked


def weights_hash(model: keras.Model) -> str:
    """SHA-256 of a model's weights, in order; names and the time of saving are no part of it."""
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _share(run: Run) -> Share:
    """Return what part of the training images a run saw; a stack's members and head: all."""
    return getattr(run.row, "share", Share())


def _fixed(run: Run, model: keras.Model, spec: Attack, data: Dataset) -> dict:
    """Return all that the images of a set depend on."""
    known = describe(data)
    return {
        "run": str(run),
        "model": run.row.model_name,
        "weights": weights_hash(model),
        "attack": spec.model_dump(exclude_none=True),
        "data": run.row.data.model_dump(exclude_none=True),
        "share": _share(run).model_dump(exclude_none=True),
        **{key: known[key] for key in ("class_names", "class_ids", "image_shape", "digest")},
    }


def _made_before(out: pathlib.Path, fixed: dict) -> dict:
    content = adversarial.settings(out)
    # What an earlier version did not write is not compared.
    known = [key for key in fixed if key in content and key not in _TOLD]
    if changed := [key for key in known if content[key] != fixed[key]]:
        raise ValueError(
            f"{out} holds adversarial images of another attack or run (in {', '.join(changed)}): "
            "choose another --out, or remove that folder"
        )
    return content
