"""Rows that must be run before an ensemble's own, in folders of its own. No Keras."""

import pathlib

from experiments._files import read_json, write_json
from experiments.ensembles import members
from experiments.place import Place
from experiments.recipes import Experts, Row, Stack, Train
from experiments.recipes.fitting import Adversarial
from experiments.runs import Run

# Folders of experts' sets of adversarial images, by what metrics call accuracy on them.
SETS = {"adversarial": "attack", "adversarial_validation": "attack_validation"}

Part = tuple[Row, pathlib.Path]


def folds(row: Stack, folder: pathlib.Path, place: Place) -> list[Part]:
    """Return each member's row without each fold, for a head that is fitted out of fold."""
    if row.fit_on != "out_of_fold":
        return []
    runs = members.of(row, place)
    return [
        (_without(run.row, fold, row.folds), fold_folder(folder, name, fold))
        for fold in range(row.folds)
        for name, run in runs.items()
    ]


def fold_folder(folder: pathlib.Path, name: str, fold: int) -> pathlib.Path:
    """Return the folder of a member's run without a fold."""
    return folder / "folds" / f"{name}_{fold}"


def _without(row: Train, fold: int, count: int) -> Train:
    share = row.share.model_copy(update={"folds": count, "fold": fold})
    title = f"without part {fold + 1} of {count}"
    return row.model_copy(update={"share": share, "title": title, "expect": None})


def experts(row: Experts, folder: pathlib.Path, place: Place) -> list[Part]:
    """Return the row of each expert: the clean run's, with the adversarial images of its block."""
    clean = Run(place.named(row, row.member))
    return [
        (_expert(row, clean, folder, number, block), expert_folder(folder, number))
        for number, block in enumerate(read_blocks(folder), start=1)
    ]


def expert_folder(folder: pathlib.Path, number: int) -> pathlib.Path:
    """Return the folder of an expert's run; experts count from 1."""
    return folder / "experts" / f"{number:02}"


def write_blocks(folder: pathlib.Path, blocks: list[list[int]]) -> None:
    """Keep which classes each expert has."""
    write_json(folder / "blocks.json", blocks)


def read_blocks(folder: pathlib.Path) -> list[list[int]]:
    """Return the classes of each expert."""
    return read_json(folder / "blocks.json")


def _expert(row: Experts, clean: Run, folder: pathlib.Path, number: int, block: list[int]) -> Train:
    attacked = str(folder / SETS["adversarial"])
    changes = {
        "recipe": f"{row.recipe}_{number:02}",
        "title": f"Expert {number} of {row.experts}",
        "note": "",
        "seed": row.seed + number,
        "epochs": row.epochs,
        "max_steps": None,
        "max_hours": None,
        "sizes": None,  # adversarial images have the last one
        "sizes_resample": None,
        "optimizer": row.optimizer or clean.row.optimizer,
        "adversarial": Adversarial(folder=attacked, per_batch=row.per_batch, classes=block),
        "expect": None,
    }
    if row.start == "clean":
        changes["model"] = {**clean.row.model, "weights": str(clean.model_file)}
    return clean.row.model_copy(update=changes)
