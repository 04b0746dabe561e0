"""Sets of adversarial images, read: to train and to measure on. No Keras.

A folder, which `experiments.training.attack` writes whole or not at all:

    images.npy    (n, h, w, c) uint8, no pixel further than epsilon from the image it was made of
    rows.npz      indices (n,): rows of the split; labels (n,) int64: true classes; of a targeted
                  attack targets (n,) int64: classes aimed at
    attack.yaml   all that they depend on, with the accuracy before and after
    sheet.png     some of them: clean, perturbed, difference, and what the run says of each

The split is the images that the run was trained on, or the data set's validation images. No other
file of the project spells these names.
"""

import pathlib
from collections.abc import Sequence

import numpy as np

from experiments import recipes
from experiments.datasets import Dataset, Split
from experiments.recipes import Images, Share
from experiments.runs import outputs
from experiments.runs.dataset import describe, other_data
from experiments.training import part

IMAGES, ROWS, SETTINGS, SHEET = "images.npy", "rows.npz", "attack.yaml", "sheet.png"
# The last one as well: of a file that was cut it is missing.
KEYS = ("weights", "attack", "data", "share", "class_names", "image_shape", "command")
FIX = "make it again: python -m experiments attack RUN --out FOLDER"


def settings(folder: pathlib.Path) -> dict:
    """Return what `attack.yaml` says; `ValueError` where there is no set or it is damaged."""
    path = pathlib.Path(folder) / SETTINGS
    if not path.is_file():
        raise ValueError(
            f"{folder} holds no adversarial images ({SETTINGS}): make them from a finished run: "
            f"python -m experiments attack RUN --out {folder}"
        )
    try:
        content = _renewed(recipes.read_mapping(path))
        if missing := [key for key in KEYS if content.get(key) is None]:
            raise ValueError(f"no value for {', '.join(missing)}")
        recipes.attack(content["attack"])
        for key, schema in (("data", Images), ("share", Share)):
            content[key] = schema(**content[key]).model_dump(exclude_none=True)
    # What reading and what another content than ours raise.
    except (ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} cannot be used ({reason}): {FIX}") from error
    return content


def check_trainable(folder: pathlib.Path, images: Images, share: Share) -> None:
    """Raise `ValueError` unless a run on this share of images may be trained on a folder's images.

    It must not see images there that its own training part leaves out.
    """
    content = settings(folder)
    if content["attack"]["split"] != "train":
        raise ValueError(
            f"{folder} was made of validation images, on which nothing is trained: make a set of "
            "training images: python -m experiments attack RUN --split train --out FOLDER"
        )
    made_of = Images(**content["data"]), Share(**content["share"])
    if made_of != (images, share):
        (theirs, ours) = (
            f"{one.told()}, share {other.model_dump(exclude_none=True)}"
            for one, other in (made_of, (images, share))
        )
        raise ValueError(
            f"{folder} was made of the training images of {theirs}; this run's are {ours}: it "
            "would learn images that it leaves out"
        )


def read(folder: pathlib.Path, data: Dataset, classes: Sequence[int] | None = None) -> Split:
    """Return a folder's adversarial images with their true classes, memory-mapped.

    With `classes`, only images of these. Raises `ValueError` for a damaged folder, for one that was
    not made of `data`, and where nothing is left.
    """
    folder, content = pathlib.Path(folder), settings(folder)
    if differ := other_data(content, describe(data), part=True):
        _refuse(folder, data, differ)
    rows = _rows(folder)
    labels = rows["labels"]
    try:
        images = np.load(folder / IMAGES, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"{folder / IMAGES} cannot be read ({error}): {FIX}") from error
    if images.shape != (len(labels), *data.image_shape) or images.dtype != np.uint8:
        raise ValueError(
            f"{folder / IMAGES} holds {images.dtype} {images.shape}, and {ROWS} "
            f"{len(labels)} labels: {FIX}"
        )
    source = getattr(part.seen(data, Share(**content["share"])), content["attack"]["split"])
    found = np.asarray(source.labels)[rows["indices"] % len(source)]
    # Of sets that kept no digest the order of the labels says most.
    if not np.array_equal(found, labels):
        _refuse(folder, data, "the images that it was made of have other labels")
    split = Split(images.view(np.ndarray), labels)
    if classes is not None:
        split = split.take(np.flatnonzero(np.isin(labels, classes)))
    if not len(split):
        raise ValueError(f"{folder} has no images of the classes {list(classes or ())}")
    return split


def told(content: dict) -> str:
    """Say what a set's images, of which `content` is what `attack.yaml` says, do to their run."""
    reached = content["reached_target"]
    return (
        f"{content['images']:,} {content['attack']['split']} images: accuracy "
        f"{content['accuracy_before']:.2f} % before, {content['accuracy_after']:.2f} % after"
        + ("" if reached is None else f", {reached:.2f} % reached their target")
    )


def _refuse(folder: pathlib.Path, data: Dataset, reason: str) -> None:
    raise ValueError(
        f"{folder} was made of other images or classes than those of {data.name} here ({reason}): "
        "give the --data-dir, data.size and data.resample of the run that was attacked"
    )


def _rows(folder: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        return outputs.read(folder / ROWS, ("indices", "labels"))
    except ValueError as error:
        raise ValueError(f"{folder / ROWS} cannot be read ({error}): {FIX}") from error


def _renewed(content: dict) -> dict:
    """Return what an earlier version wrote, in today's fields: `data` held the share."""
    if "share" in content:
        return content
    fields = content["data"] if isinstance(content.get("data"), dict) else {}
    share = {key: value for key, value in fields.items() if key in Share.model_fields}
    data = {key: value for key, value in fields.items() if key not in share}
    return content | {"data": data, "share": share}
