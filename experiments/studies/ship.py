"""A run's weights as they come with the zoo: a small file of float16, and a card beside it."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np

from experiments._files import atomic, check_writable, write_text
from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.runs import Run, scores
from experiments.training.predict import predict_probs
from experiments.training.views import predict_views, told
from zoo import _check, _shipped

VIEWS = "mirror"
WORST = 5  # classes whose mistakes the card tells


def ship(run: Run, place: Place, folder: pathlib.Path, listener: Listener = SILENT) -> pathlib.Path:
    """Write a finished run's weights and their card into a folder; return the file of the weights.

    What is written is read again and scored on the run's validation images, which must be where
    `place` has them: the card tells what the rounded weights score.
    Raises ValueError for a run that is no network as the zoo builds it, and for other data.
    """
    row = run.row
    if not run.kind.network or not _as_built(row.model):
        raise ValueError(f"{run} is no network of the zoo as `build` makes it: {row.model_name}")
    if row.data.crop or row.data.background:
        raise ValueError(
            f"{run} was trained on {row.data.told()}: weights that come with the zoo are asked "
            f"about whole images, resized; train without data.crop and data.background"
        )
    if row.pca:
        raise ValueError(
            f"{run} sees images through principal components, which are no weights of "
            f"{row.model_name}: train without pca"
        )
    file = folder / f"{row.model_name}-{row.data.name}.safetensors"
    check_writable(file)
    data = place.dataset(row.data, listener)
    run.check_data(data)
    place.load_backend()

    import zoo

    facts = {
        "class_names": list(data.class_names),
        "class_ids": list(data.class_ids),
        "input_shape": list(data.image_shape),
        "resample": row.data.resample,
    }
    folder.mkdir(parents=True, exist_ok=True)
    with atomic(file) as part:
        _shipped.write(part, zoo.state_dict(zoo.load(run.model_file)), facts)
    model = zoo.build(
        row.model_name, weights=file, input_shape=data.image_shape, classes=len(data.class_names)
    )
    labels = np.asarray(data.validation.labels)
    plain = predict_probs(model, data.validation.images)
    both = {"plain": plain}
    both[told(VIEWS)] = predict_views(model, data.validation.images, VIEWS, plain=plain)
    write_text(file.with_suffix(".md"), card(run, file, both, labels, data.class_names))
    return file


def _as_built(model: dict) -> bool:
    """Whether what a row says of a network is what `build` makes of its name alone."""
    plain = {key: value for key, value in model.items() if key != "weights"}
    return _check.plan(**plain).spec == _check.plan(model["name"]).spec


def card(
    run: Run,
    file: pathlib.Path,
    probs: dict[str, np.ndarray],
    labels: np.ndarray,
    names: Sequence[str],
) -> str:
    """Return the card of shipped weights: where they come from and what they can do, and cannot."""
    row, metrics, found = run.row, run.metrics, run.environment
    accuracy = {name: scores.accuracy(one, labels) for name, one in probs.items()}
    table = [
        f"| {name} | {one['top1']:.2f} | {one['top5']:.2f} | {one['loss']:.4f} |"
        for name, one in accuracy.items()
    ]
    digest = run.dataset["digest"]
    lines = [
        f"# {row.model_name}, {row.data.name}",
        "",
        f"`zoo.build({row.model_name!r}, weights={row.data.name!r})`: "
        f"{metrics['parameters']:,} parameters as float16, {file.stat().st_size / 1e6:.1f} MB.",
        "",
        f"Trained from scratch by `{found['command']}` (row {row.recipe}, seed {row.seed}) on "
        f"{found['device']}, {found['backend']} {found['versions'].get(found['backend'], '')}, "
        f"{str(metrics['date'])[:10]}; {metrics['epochs']} epochs on "
        f"{run.dataset['train']:,} images, {metrics['wall_seconds'] / 60:.0f} minutes in all.",
        "",
        f"Scored on the {len(labels):,} validation images, which chose nothing, with the rounded "
        f"weights (the run itself: {metrics['top1']:.2f} %):",
        "",
        "| images | top-1 % | top-5 % | loss |",
        "|---|---|---|---|",
        *table,
        "",
        "Classes that it gets wrong most, and what it takes them for:",
        "",
        "| class | right % | taken for |",
        "|---|---|---|",
        *_worst(next(iter(probs.values())), labels, names),
        "",
        f"Digest of the training images and labels {digest['train']}, of the validation ones "
        f"{digest['validation']}.",
        "",
    ]
    return "\n".join(lines)


def _worst(probs: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> list[str]:
    predicted, lines = probs.argmax(axis=1), []
    right = np.array([(predicted[labels == label] == label).mean() for label in range(len(names))])
    for label in np.argsort(right, kind="stable")[:WORST]:
        of_class = predicted[labels == label]
        taken, counts = np.unique(of_class[of_class != label], return_counts=True)
        most = np.argsort(-counts, kind="stable")[:3]
        others = ", ".join(f"{_short(names[taken[i]])} ({counts[i]})" for i in most)
        lines.append(f"| {_short(names[label])} | {100 * right[label]:.0f} | {others} |")
    return lines


def _short(name: str) -> str:
    return name.partition(",")[0].strip()
