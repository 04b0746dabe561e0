"""Class experts: networks that each learn the adversarial images of some classes, and vote.

From the run's recipe to its result in steps, each of which is kept and not repeated:

    RUN/attack, RUN/attack_validation    adversarial images of the clean run (`experiments.attack`)
    RUN/experts/01, 02, ...              the experts, runs like any other
    RUN                                  their vote, a run like that of a vote

The adversarial images of validation images are measured on and nothing else. Both sets are made
with the clean run's gradients: they say what the experts have learned of its weakness, not how
they would stand an attack on themselves.
"""

import pathlib

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

import stacking
import zoo
from experiments import attack, evaluate
from experiments import train as training
from experiments._files import read_json, write_json
from experiments.datasets import Dataset, Split
from experiments.ensemble import Member, read_member
from experiments.rows import Adversarial, Attack, Experts, Train
from experiments.state import run_folder
from experiments.vote import ENVIRONMENT, validation_outputs

SETS = {"adversarial": "attack", "adversarial_validation": "attack_validation"}


def find_clean(row: Experts, folder: pathlib.Path) -> Member:
    """Return the finished run that the experts come from, checked to fit their row.

    Raises `ValueError` that names the run and the fix; nothing is loaded yet.
    """
    clean = read_member(folder)
    if clean.row.kind != "train" or clean.row.adversarial or clean.row.distill:
        raise ValueError(
            f"{clean.run} is the run of a {clean.row.kind} or of one that learned from more than "
            "labels: experts need one network that was trained on clean images"
        )
    if clean.row.data != row.data:
        raise ValueError(
            f"the experts' data is {row.data!r}, that of {clean.run} is {clean.row.data!r}: "
            "set the fields of data that differ"
        )
    if clean.row.batch_size <= row.per_batch:
        raise ValueError(
            f"{row.per_batch} adversarial images in batches of {clean.row.batch_size}: give "
            "per_batch less, or train the clean run with more"
        )
    stacking.partition(len(read_json(clean.run / "dataset.json")["class_names"]), row.experts)
    return clean


def train_experts(
    row: Experts, run_dir: pathlib.Path, clean: Member, data: Dataset, *, console: Console
) -> dict:
    """Attack the clean run, train the experts, let them vote; return the run's metrics.

    Accuracies, in percent, are those of the vote; `members` and `clean` have their own.
    `adversarial` is that on the images of which the experts have learned each its part, the
    measure of the source paper, `adversarial_validation` that on images that none has learned.
    """
    run_dir = pathlib.Path(run_dir)
    with run_folder(run_dir, row) as finished:
        if finished:
            return read_json(run_dir / "metrics.json")
        training.begin(run_dir, training.training_part(row.data, data))
        specs = (row.attack, _of_validation(row.attack, data))
        for folder, spec in zip(SETS.values(), specs, strict=True):
            attack.make(clean.run, run_dir / folder, spec, data, console=console)
        blocks = divide(row, clean, data)
        parts = [attack.read(run_dir / SETS["adversarial"], data, classes) for classes in blocks]
        experts = []
        for number, (classes, extra) in enumerate(zip(blocks, parts, strict=True), start=1):
            console.rule(f"expert {number} of {len(blocks)}: {len(extra):,} adversarial images")
            folder = run_dir / "experts" / f"{number:02}"
            expert = recipe_of(row, clean, run_dir, number, classes)
            metrics = training.train(expert, folder, data, extra=extra, verbose=0)
            console.print(f"top-1 {metrics['top1']:.2f} % of validation")
            experts.append(Member(f"expert {number}", folder, expert, metrics))
        metrics = _measure(row, run_dir, [clean, *experts], data)
        for member, classes in zip(metrics["members"], blocks, strict=True):
            member["classes"] = classes
        write_json(run_dir / "metrics.json", metrics)
        return metrics


def divide(row: Experts, clean: Member, data: Dataset) -> list[list[int]]:
    """Return the classes of each expert, by number or by what the clean run confuses.

    It confuses images that it held out, or where it held out none its training images.
    """
    classes = len(data.class_names)
    if row.partition == "number":
        return stacking.partition(classes, row.experts)
    share = row.data.holdout
    split = data.holdout(share)[1] if share else training.training_part(row.data, data).train
    model = zoo.load(evaluate.model_file(clean.run))
    decided = evaluate.predict_probs(model, split.images).argmax(axis=1)
    confusion = np.zeros((classes, classes), int)
    np.add.at(confusion, (split.labels, decided), 1)
    return stacking.partition_by_confusion(confusion, row.experts)


def recipe_of(
    row: Experts, clean: Member, run_dir: pathlib.Path, number: int, classes: list[int]
) -> Train:
    """Return the recipe of an expert: the clean run's, with the adversarial images."""
    folder = str(run_dir / SETS["adversarial"])
    changes = {
        "recipe": f"{row.recipe}_{number:02}",
        "title": f"Expert {number} of {row.experts}",
        "note": "",
        "seed": row.seed + number,
        "epochs": row.epochs,
        "optimizer": row.optimizer or clean.row.optimizer,
        "adversarial": Adversarial(folder=folder, per_batch=row.per_batch, classes=classes),
        "expect": None,
    }
    if row.start == "clean":
        weights = str(evaluate.model_file(clean.run))
        changes["model"] = {**clean.row.model, "weights": weights}
    return clean.row.model_copy(update=changes)


def table(metrics: dict) -> Table:
    """Table of the clean run, the experts and their vote: clean and adversarial accuracy."""
    counts = [metrics["n"], *(metrics[f"{key}_n"] for key in SETS)]
    caption = "n = {:,} validation images, {:,} adversarial ones learned, {:,} never learned"
    out = Table(caption=caption.format(*counts), box=box.SIMPLE_HEAD)
    out.add_column("run", style="bold", no_wrap=True)
    for column in ("clean, %", "adversarial, %", "adversarial, never learned, %"):
        out.add_column(column, justify="right")
    name = metrics["recipe"].rpartition("/")[2]
    for line in (metrics["clean"], *metrics["members"], metrics | {"name": f"{name}, vote"}):
        out.add_row(line["name"], *(f"{line[key]:.2f}" for key in ("top1", *SETS)))
    return out


def _of_validation(spec: Attack, data: Dataset) -> Attack:
    """Return the same attack on validation images, on as many as every class has."""
    counts = np.bincount(data.validation.labels, minlength=len(data.class_names))
    images = min(spec.images, len(counts) * int(counts.min()))
    return spec.model_copy(update={"split": "validation", "images": images})


def _measure(row: Experts, run_dir: pathlib.Path, runs: list[Member], data: Dataset) -> dict:
    """Return the metrics of the clean run, which is the first, of each expert and of their vote."""
    clean, *experts = runs
    sets = {key: attack.read(run_dir / folder, data) for key, folder in SETS.items()}
    kept, _ = validation_outputs(runs)
    scores = evaluate.write_outputs(run_dir, None, data, probs=stacking.vote(kept[:, 1:], row.rule))
    said = _outputs(runs, sets)
    for key, split in sets.items():
        scores[key] = _top1(stacking.vote(said[key][:, 1:], row.rule), split)
    lines = [
        {"name": run.name, "run": str(run.run)}
        | {key: run.metrics[key] for key in ("top1", "top3", "top5", "parameters")}
        | {key: _top1(said[key][:, place], split) for key, split in sets.items()}
        for place, run in enumerate(runs)
    ]
    environment = read_json(run_dir / "environment.json")
    return {
        "recipe": row.recipe,
        "kind": row.kind,
        "model": clean.row.model["name"],
        "dataset": data.name,
        "n": len(data.validation.labels),
        **scores,
        **{f"{key}_n": len(split) for key, split in sets.items()},
        "epochs": max(expert.metrics["epochs"] for expert in experts),
        "seconds": sum(expert.metrics["seconds"] for expert in experts),
        **{key: sum(e.metrics[key] for e in experts) for key in ("parameters", "macs")},
        "members": lines[1:],
        "clean": lines[0],
        "seed": row.seed,
        **{key: environment[key] for key in ENVIRONMENT},
        "expect": row.expect.model_dump(exclude_none=True) if row.expect else None,
    }


def _outputs(runs: list[Member], sets: dict[str, Split]) -> dict[str, np.ndarray]:
    """Return the probabilities (n, runs, classes) of each set of images, one model at a time."""
    found = {key: [] for key in sets}
    for run in runs:
        model = zoo.load(evaluate.model_file(run.run))
        for key, split in sets.items():
            found[key].append(evaluate.predict_probs(model, split.images))
    return {key: np.stack(probs, axis=1) for key, probs in found.items()}


def _top1(probs: np.ndarray, split: Split) -> float:
    return evaluate.accuracy(probs, split.labels)["top1"]
