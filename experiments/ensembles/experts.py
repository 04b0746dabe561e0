"""Class experts: networks that each learn the adversarial images of some classes, and vote.

From the run's recipe to its result in steps, each of which is kept and not repeated:

    RUN/attack, RUN/attack_validation    adversarial images of the clean run
    RUN/blocks.json                      the classes of each expert
    RUN/experts/01, 02, ...              the experts, runs like any other
    RUN                                  their vote, a run like that of a vote

The adversarial images of validation images are measured on and nothing else. Both sets are made
with the clean run's gradients: they say what the experts have learned of its weakness, not how
they would stand an attack on themselves.
"""

import pathlib
from collections.abc import Mapping

import numpy as np

import stacking
import zoo
from experiments.datasets import Dataset, Split
from experiments.ensembles import parts
from experiments.ensembles.vote import validation_outputs
from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.recipes import Attack, Experts
from experiments.runs import Run, making, metrics, scores
from experiments.training import adversarial, attack
from experiments.training.part import held_out, seen
from experiments.training.predict import predict_probs


def prepare(row: Experts, folder: pathlib.Path, place: Place, listener: Listener = SILENT) -> None:
    """Attack the clean run, and divide the classes among the experts."""
    clean, data = Run(place.named(row, row.member)), place.dataset(row.data, listener)
    clean.check_data(data)
    blocks, specs = divide(row, clean, data), (row.attack, _of_validation(row.attack, data))
    _check_images(row, blocks, data)
    with making(folder, row, seen(data, row.share)) as made:
        if made.finished:
            return
        parts.write_blocks(folder, blocks)
        for name, spec in zip(parts.SETS.values(), specs, strict=True):
            listener.heading(f"{spec.images:,} adversarial {spec.split} images")
            attack.make(clean, folder / name, spec, data, listener)


def run(row: Experts, folder: pathlib.Path, place: Place, listener: Listener = SILENT) -> dict:
    """Let the experts, which must be trained, vote; return the run's metrics.

    Accuracies, in percent, are those of the vote; `members` and `clean` have their own.
    `adversarial` is that on the images of which the experts have learned each its part, the
    measure of the source paper, `adversarial_validation` that on images that none has learned.
    """
    clean, data = Run(place.named(row, row.member)), place.dataset(row.data, listener)
    clean.check_data(data)
    with making(folder, row, seen(data, row.share)) as made:
        if made.finished:
            return made.metrics
        blocks = parts.read_blocks(folder)
        experts = {
            f"expert {number}": Run(parts.expert_folder(folder, number))
            for number in range(1, len(blocks) + 1)
        }
        listener.heading(f"{len(experts)} experts vote")
        return made.finish(_measured(row, made, clean, experts, blocks, data))


def divide(row: Experts, clean: Run, data: Dataset) -> list[list[int]]:
    """Return the classes of each expert, by number or by what the clean run confuses.

    It confuses images that it held out, or where it held out none its training images.
    """
    classes = len(data.class_names)
    if row.partition == "number":
        return stacking.partition(classes, row.experts)
    split = held_out(data, row.share) if row.share.holdout else seen(data, row.share).train
    decided = predict_probs(zoo.load(clean.model_file), split.images).argmax(axis=1)
    confusion = np.zeros((classes, classes), int)
    np.add.at(confusion, (split.labels, decided), 1)
    return stacking.partition_by_confusion(confusion, row.experts)


def _check_images(row: Experts, blocks: list[list[int]], data: Dataset) -> None:
    """Raise `ValueError` where classes have too few images to attack, or an expert gets none."""
    labels = np.asarray(seen(data, row.share).train.labels)
    chosen, _ = attack.choose(labels, row.attack, data.class_names)
    for number, block in enumerate(blocks, start=1):
        if not np.isin(labels[chosen], block).any():
            raise ValueError(
                f"{row.recipe}: none of {row.attack.images} adversarial images is of the classes "
                f"{block} of expert {number}: give attack.images={len(data.class_names)} or more"
            )


def _of_validation(spec: Attack, data: Dataset) -> Attack:
    """Return the same attack on validation images, on as many as every class has."""
    counts = np.bincount(data.validation.labels, minlength=len(data.class_names))
    images = min(spec.images, len(counts) * int(counts.min()))
    return spec.model_copy(update={"split": "validation", "images": images})


def _measured(
    row: Experts,
    made: Run,
    clean: Run,
    experts: Mapping[str, Run],
    blocks: list[list[int]],
    data: Dataset,
) -> dict:
    """Return the metrics of the vote, of each expert and of the clean run that they come from."""
    sets = {key: adversarial.read(made.path / name, data) for key, name in parts.SETS.items()}
    runs = {clean.name: clean} | dict(experts)
    voted = stacking.vote(validation_outputs(experts), row.rule)
    found = made.write_outputs(data, voted)
    said = _outputs(runs, sets)
    for key, split in sets.items():
        found[key] = _top1(stacking.vote(said[key][:, 1:], row.rule), split)
    told = [
        metrics.of_member(
            name,
            one,
            one.metrics,
            **{key: _top1(said[key][:, place], split) for key, split in sets.items()},
        )
        for place, (name, one) in enumerate(runs.items())
    ]
    cost = {
        **{f"{key}_n": len(split) for key, split in sets.items()},
        "epochs": max(one.metrics["epochs"] for one in experts.values()),
        "seconds": sum(one.metrics["seconds"] for one in experts.values()),
        **{key: sum(e.metrics[key] for e in experts.values()) for key in ("parameters", "macs")},
    }
    with_classes = [
        member | {"classes": block} for member, block in zip(told[1:], blocks, strict=True)
    ]
    return metrics.build(row, made.dataset, found, cost, members=with_classes, clean=told[0]) | {
        "model": clean.row.model_name
    }


def _outputs(runs: Mapping[str, Run], sets: dict[str, Split]) -> dict[str, np.ndarray]:
    """Return the probabilities (n, runs, classes) of each set of images, one model at a time."""
    found = {key: [] for key in sets}
    for run in runs.values():
        model = zoo.load(run.model_file)
        for key, split in sets.items():
            found[key].append(predict_probs(model, split.images))
    return {key: np.stack(probs, axis=1) for key, probs in found.items()}


def _top1(probs: np.ndarray, split: Split) -> float:
    return scores.accuracy(probs, split.labels)["top1"]
