"""CIFAR-10 and CIFAR-100 (fine labels), 32x32 RGB: through keras.datasets, or from local files.

Local files are the official binary version, or the images as files in `train/CLASS/` and
`test/CLASS/`. The Python version holds pickles, which can run any code when opened, and is refused.
"""

import functools
import pathlib
from typing import NamedTuple

import numpy as np

from experiments.datasets import _source, folder
from experiments.datasets._source import Part, Plan, Source, Wanted
from experiments.datasets._tree import Builtin, Listing

_PIXELS = 3 * 32 * 32


class Variant(NamedTuple):
    """One of the two data sets: its binary files, and the label bytes before each image.

    `names` is the file with the class names; the last label byte is the class.
    """

    train: tuple[str, ...]
    test: str
    names: str
    label_bytes: int
    classes: int
    archive: str


VARIANTS = {
    "cifar10": Variant(
        train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        test="test_batch.bin",
        names="batches.meta.txt",
        label_bytes=1,
        classes=10,
        archive="cifar-10-binary",
    ),
    "cifar100": Variant(
        train=("train.bin",),
        test="test.bin",
        names="fine_label_names.txt",
        label_bytes=2,
        classes=100,
        archive="cifar-100-binary",
    ),
}

# keras.datasets gives numbers only.
_NAMES = {
    "cifar10": "airplane automobile bird cat deer dog frog horse ship truck".split(),
    "cifar100": """
        apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
        butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch
        crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house
        kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
        mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree
        plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew
        skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank
        telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf
        woman worm""".split(),
}


def source(name: str, data_dir: str | pathlib.Path | None) -> Source:
    """Find `name` at `data_dir`; without one, it comes from keras.datasets."""
    if data_dir is None:
        return Source(Builtin(f"keras.datasets.{name}"), functools.partial(_from_keras, name))
    if place := _class_folders(name, pathlib.Path(data_dir).expanduser()):
        return Source(folder.source(place).tree, functools.partial(_from_class_folders, name))
    variant = VARIANTS[name]
    wanted = Wanted(
        name=name,
        holds=lambda folder: (folder / variant.test).is_file(),
        archives=f"{variant.archive}*",
        looks=f"the binary version, {variant.archive}.tar.gz or its folder with {variant.test}, or "
        "a folder with the images in train/CLASS and test/CLASS",
        get="without data_dir (--data-dir), keras.datasets downloads it; local files of the "
        "Python version are pickles, which can run code, and are not opened",
        only=(*variant.train, variant.test, variant.names),
    )
    return Source(_source.find(wanted, data_dir), functools.partial(_from_files, name))


def _class_folders(name: str, place: pathlib.Path) -> pathlib.Path | None:
    """Return `place`, or the only folder in it, that has a folder of images for each class."""
    below = sorted(entry for entry in place.iterdir() if entry.is_dir()) if place.is_dir() else []
    parts = ("train", "test")
    found = [
        tree
        for tree in (place, *below)
        if all((tree / part / label).is_dir() for part in parts for label in _NAMES[name])
    ]
    return found[0] if len(found) == 1 else None


def _from_class_folders(name: str, listing: Listing) -> Plan:
    found = folder.plan(listing)
    if list(found.class_names) != _NAMES[name]:
        other = sorted(set(found.class_names) ^ set(_NAMES[name]))
        raise ValueError(f"{listing.place} is no {name}: {', '.join(other[:5])} differ")
    return found


def _from_keras(name: str, listing: Listing) -> Plan:
    train, test = _source.from_keras(name)
    classes = VARIANTS[name].classes
    parts = (_source.arrays(listing.place, *part, classes) for part in (train, test))
    return Plan(*parts, _NAMES[name], _NAMES[name])


def _from_files(name: str, listing: Listing) -> Plan:
    variant = VARIANTS[name]
    names = listing.lines(variant.names)
    if len(names) != variant.classes:
        place = listing.files[variant.names].name
        raise ValueError(f"{place} names {len(names)} classes, not {variant.classes}")
    train = [_records(listing, path, variant) for path in variant.train]
    images, labels = (np.concatenate(parts) for parts in zip(*(p[:2] for p in train), strict=True))
    return Plan(Part(images, labels), _records(listing, variant.test, variant), names, names)


def _records(listing: Listing, path: str, variant: Variant) -> Part:
    """Read records of label bytes and one plane of 32x32 bytes each for red, green, blue."""
    data = np.frombuffer(listing.read(path), np.uint8)
    place, length = listing.files[path].name, variant.label_bytes + _PIXELS
    if len(data) % length:
        raise ValueError(f"{place} is cut: {len(data)} bytes are no multiple of {length}")
    records = data.reshape(-1, length)
    images = records[:, variant.label_bytes :].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return _source.arrays(place, images, records[:, variant.label_bytes - 1], variant.classes)
