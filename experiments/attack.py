"""Adversarial images of a finished run, kept as a data set to train and to measure on.

A folder of them, written whole or not at all:

    images.npy    (n, h, w, c) uint8, no pixel further than epsilon from the image it was made of
    rows.npz      indices (n,): rows of the split; labels (n,) int64: true classes; of a targeted
                  attack targets (n,) int64: classes aimed at
    attack.yaml   all that they depend on, with the accuracy before and after
    sheet.png     some of them: clean, perturbed, difference, and what the run says of each

The split is the images that the run was trained on, or the data set's validation images.
"""

import hashlib
import pathlib
from collections.abc import Sequence

import keras
import numpy as np
import yaml
from rich.console import Console
from rich.progress import track

import augment
import zoo
from experiments import _plots, evaluate, recipe
from experiments._files import atomic, atomic_folder
from experiments._runs import read_arrays, read_mapping, short_names
from experiments.datasets import Dataset, Split
from experiments.environment import environment
from experiments.rows import Attack, Data
from experiments.train import training_part

BATCH = 64  # images whose gradient is taken at once
CHUNK = 512  # images held as float32 at once
SHOWN, COLUMNS = 12, 6  # images on the sheet, three cells each; cells in a row
NAME = 18  # letters of a class name that a cell has room for
# The last one as well: of a file that was cut it is missing.
KEYS = ("weights", "attack", "data", "class_names", "image_shape", "command")
FIX = "make it again: python -m experiments attack RUN --out FOLDER"


def make(
    run: pathlib.Path, out: pathlib.Path, spec: Attack, data: Dataset, *, console: Console
) -> dict:
    """Make adversarial images of a run's model and return what `attack.yaml` says of them.

    Images are chosen and aimed by `choose`. A folder that holds the same attack on the same
    weights is left as it is. Raises `ValueError` for one that holds anything else, for a run
    without a model, and for more images than the split has of a class.
    """
    run, out = pathlib.Path(run), pathlib.Path(out)
    row = recipe.load(str(run / "recipe.yaml"))
    model = zoo.load(evaluate.model_file(run))
    fixed = {
        "run": str(run),
        "model": row.model["name"] if row.kind == "train" else model.name,
        "weights": weights_hash(model),
        "attack": spec.model_dump(exclude_none=True),
        "data": row.data.model_dump(exclude_none=True),
        "class_names": list(data.class_names),
        "image_shape": list(data.image_shape),
    }
    if out.exists():
        return _made_before(out, fixed)
    seen = training_part(row.data, data)
    split = getattr(seen, spec.split)
    indices, targets = choose(split.labels, spec, data.class_names)
    labels = np.asarray(split.labels)[indices]
    clean = split.batch(indices)
    perturbed = perturb(model, clean, labels, targets, spec, console)
    probs = [evaluate.predict_probs(model, images) for images in (clean, perturbed)]
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
    with atomic_folder(out) as part:
        np.save(part / "images.npy", perturbed)
        np.savez(part / "rows.npz", **rows)
        (part / "attack.yaml").write_text(yaml.safe_dump(content, sort_keys=False, width=100))
        names = short_names(data.class_names, data.class_ids, NAME)
        _draw(part / "sheet.png", (clean, perturbed), probs, rows, names)
    _print(content, out, console)
    return content


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
    targets: np.ndarray,
    spec: Attack,
    console: Console | None = None,
) -> np.ndarray:
    """Return the images (n, h, w, c) attacked as `spec` says, uint8, none further than epsilon.

    Progress is shown on `console`.
    """
    gradient = augment.Gradient(model, batch_size=BATCH)
    furthest = np.floor(spec.epsilon)
    attacked = np.empty(images.shape, np.uint8)
    chunks = range(0, len(images), CHUNK)
    for start in track(chunks, "perturbing", console=console, transient=True):
        part = slice(start, start + CHUNK)
        clean = images[part].astype(np.float32)
        options = {"epsilon": spec.epsilon, "targets": targets[part] if spec.targeted else None}
        if spec.method == "fgsm":
            x = augment.fgsm(gradient, clean, labels[part], **options)
        else:
            # PGD numbers the images of each call from 0: without a seed of its own every chunk
            # would start from the same points.
            options |= {"step": spec.step, "steps": spec.steps, "seed": spec.seed + start}
            x = augment.pgd(gradient, clean, labels[part], **options)
        # Rounding alone could leave the ball where epsilon is no whole number.
        attacked[part] = clean + np.clip(np.rint(x - clean), -furthest, furthest)
    return attacked


def settings(folder: pathlib.Path) -> dict:
    """Return what `attack.yaml` says; `ValueError` where there is no set or it is damaged."""
    folder = pathlib.Path(folder)
    if not (folder / "attack.yaml").is_file():
        raise ValueError(
            f"{folder} holds no adversarial images (attack.yaml): make them from a finished run: "
            f"python -m experiments attack RUN --out {folder}"
        )
    return read_mapping(folder / "attack.yaml", KEYS)


def check_trainable(folder: pathlib.Path, spec: Data) -> None:
    """Raise `ValueError` unless a run on the data `spec` may be trained on a folder's images.

    It must not see images there that its own training part leaves out.
    """
    content = settings(folder)
    if content["attack"]["split"] != "train":
        raise ValueError(
            f"{folder} was made of validation images, on which nothing is trained: make a set of "
            "training images: python -m experiments attack RUN --split train --out FOLDER"
        )
    if Data(**content["data"]) != spec:
        raise ValueError(
            f"{folder} was made of the training images of {content['data']}, this run's data is "
            f"{spec.model_dump(exclude_none=True)}: it would learn images that it leaves out"
        )


def read(folder: pathlib.Path, data: Dataset, classes: Sequence[int] | None = None) -> Split:
    """Return a folder's adversarial images with their true classes, memory-mapped.

    With `classes`, only images of these. Raises `ValueError` for a damaged folder, for one that was
    not made of `data`, and where nothing is left.
    """
    folder, content = pathlib.Path(folder), settings(folder)
    if content["class_names"] != list(data.class_names):
        raise ValueError(
            f"{folder} has {len(content['class_names'])} classes, {data.name} "
            f"{len(data.class_names)}, or they are named otherwise: give the --data-dir of the run "
            "that was attacked"
        )
    if tuple(content["image_shape"]) != data.image_shape:
        raise ValueError(
            f"{folder} holds images of {tuple(content['image_shape'])}, {data.name} of "
            f"{data.image_shape}: give the data.size of the run that was attacked"
        )
    rows = read_arrays(folder / "rows.npz", ("indices", "labels"))
    labels = rows["labels"]
    try:
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"{folder / 'images.npy'} cannot be read ({error}): {FIX}") from error
    if images.shape != (len(labels), *data.image_shape) or images.dtype != np.uint8:
        raise ValueError(
            f"{folder / 'images.npy'} holds {images.dtype} {images.shape}, and rows.npz "
            f"{len(labels)} labels: {FIX}"
        )
    source = getattr(training_part(Data(**content["data"]), data), content["attack"]["split"])
    found = np.asarray(source.labels)[rows["indices"] % len(source)]
    if not np.array_equal(found, labels):
        raise ValueError(
            f"{folder} was made of other images than those of {data.name} here: give the "
            "--data-dir of the run that was attacked"
        )
    split = Split(images.view(np.ndarray), labels)
    if classes is not None:
        split = split.take(np.flatnonzero(np.isin(labels, classes)))
    if not len(split):
        raise ValueError(f"{folder} has no images of the classes {list(classes or ())}")
    return split


def weights_hash(model: keras.Model) -> str:
    """SHA-256 of a model's weights, in order; names and the time of saving are no part of it."""
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _made_before(out: pathlib.Path, fixed: dict) -> dict:
    content = settings(out)
    changed = [key for key in fixed if key != "run" and content.get(key) != fixed[key]]
    if changed:
        raise ValueError(
            f"{out} holds adversarial images of another attack or run (in {', '.join(changed)}): "
            "choose another --out, or remove that folder"
        )
    return content


def _draw(
    path: pathlib.Path,
    images: Sequence[np.ndarray],
    probs: Sequence[np.ndarray],
    rows: dict[str, np.ndarray],
    names: Sequence[str],
) -> None:
    """Write the sheet: images at even distances by class, each clean, perturbed, difference."""
    by_class = np.argsort(rows["labels"], kind="stable")
    shown = by_class[np.linspace(0, len(by_class) - 1, min(SHOWN, len(by_class))).astype(int)]
    cells, captions = [], []
    for i in shown:
        clean, perturbed = images[0][i], images[1][i]
        change = perturbed.astype(int) - clean
        factor = 127 // max(1, np.abs(change).max())
        cells += [clean, perturbed, (128 + factor * change).astype(np.uint8)]
        said = [f"says {names[p[i].argmax()]}\n{100 * p[i].max():.0f} % sure" for p in probs]
        aim = f"aimed at {names[rows['targets'][i]]}" if "targets" in rows else "aimed away"
        captions += [
            f"{names[rows['labels'][i]]}\n{said[0]}",
            f"{aim}\n{said[1]}",
            f"difference, {factor} times",
        ]
    with atomic(path) as part:
        part.write_bytes(_plots.png(_plots.image_grid(cells, captions, COLUMNS)))


def _print(content: dict, out: pathlib.Path, console: Console) -> None:
    reached = content["reached_target"]
    console.print(
        f"{content['images']:,} {content['attack']['split']} images: accuracy "
        f"{content['accuracy_before']:.2f} % before, {content['accuracy_after']:.2f} % after"
        + ("" if reached is None else f", {reached:.2f} % reached their target")
    )
    console.print(f"images and sheet.png: [bold]{out}[/]", soft_wrap=True)
