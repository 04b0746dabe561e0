"""A small Stanford Cars, written in either layout: every image says by its pixels what it is.

The box of an image is filled with a color that encodes its label, its number and its split, all
around it is `AROUND`: a wrong pairing of image, label and box, a wrong order and a box that is off
by one are seen in the pixels. Files are JPEGs of odd sizes whose longer side is `edge`; their order
is not that of the annotations, which are uint8 where that fits, nested as MATLAB's are.

    python tests/experiments/datasets/written_cars.py FOLDER
        [--layout one|two] [--classes 196] [--train 2] [--test 2] [--edge 160]

writes 196 classes with 2 and 2 images each: the real set's shape, of which a network learns the
colors. `--data-dir FOLDER` is then the data set stanford_cars. What a network reaches on it says
nothing of the papers.
"""

import argparse
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

AROUND = (255, 255, 0)
# Of the shorter side, in parts of the longer one; odd lengths, upright and lying.
_SHORT = (0.65, 0.98, 0.5, 1.0, 0.8)
# Of a JPEG at quality 100 without subsampling, in grey levels; codes are 16 or more apart.
TOLERANCE = 5


class Car(NamedTuple):
    """An image as it is written: `box` counts from 0, both corners inside, `file` is layout one's.

    `number` counts the images of a class in a split; five of them can be told apart.
    """

    label: int
    number: int
    test: bool
    size: tuple[int, int]
    box: tuple[int, int, int, int]
    gray: bool
    file: str

    @property
    def color(self) -> tuple[int, int, int]:
        """Color of the box: red and green encode the label, blue the number and the split."""
        row, column = divmod(self.label, 14)
        code = 20 + 16 * row, 20 + 16 * column, 30 + 40 * (self.number % 5) + 20 * self.test
        return self.seen(code)

    @property
    def around(self) -> tuple[int, int, int]:
        """Color of all that is not in the box."""
        return self.seen(AROUND)

    def seen(self, color: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return a color as this image shows it."""
        luma = Image.new("RGB", (1, 1), color).convert("L").getpixel((0, 0))
        return (luma,) * 3 if self.gray else color


def cars(
    classes: int = 3, train: int = 3, test: int = 2, edge: int = 48, seed: int = 0
) -> list[Car]:
    """Return what is written, in the order of the annotations: splits and classes alternate."""
    kinds = [(label, n, n >= train) for n in range(train + test) for label in range(classes)]
    random = np.random.RandomState(seed)
    files = random.permutation(len(kinds)) + 1
    found = []
    for place, kind in enumerate(random.permutation(len(kinds))):
        label, number, is_test = kinds[kind]
        short = int(_SHORT[place % len(_SHORT)] * edge)
        size = (edge, short) if place % 2 else (short, edge)
        box = _box(place, *size)
        number -= train * is_test
        gray, file = place % 7 == 3, f"{files[place]:06d}.jpg"
        found.append(Car(label, number, is_test, size, box, gray, file))
    return found


def _box(place: int, width: int, height: int) -> tuple[int, int, int, int]:
    """Boxes that touch each border in turn, all of them, or none."""
    left, top, right, bottom = width // 5, height // 4, width - width // 6, height - height // 5
    touching = place % 6
    return (
        0 if touching in (0, 1) else left,
        0 if touching in (0, 2) else top,
        (width if touching in (0, 3) else right) - 1,
        (height if touching in (0, 4) else bottom) - 1,
    )


def picture(car: Car) -> Image.Image:
    """Return the pixels of an image, before they become a JPEG."""
    pixels = np.empty((*car.size[::-1], 3), np.uint8)
    pixels[:] = car.around
    left, top, right, bottom = car.box
    pixels[top : bottom + 1, left : right + 1] = car.color
    image = Image.fromarray(pixels)
    return image.convert("L") if car.gray else image


def write(root: pathlib.Path, written: Sequence[Car], layout: str = "one") -> pathlib.Path:
    """Write images and annotations; return the folder."""
    (_write_one if layout == "one" else _write_two)(root, written)
    return root


def records(written: Sequence[Car], **columns: Sequence) -> np.ndarray:
    """Return annotations as MATLAB has them: a (1, n) struct array of nested arrays."""
    corners = np.array([car.box for car in written]).reshape(-1, 4) + 1
    names = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")
    columns = dict(zip(names, corners.T, strict=True)) | {
        "class": [car.label + 1 for car in written],
        **columns,
    }
    found = np.empty((1, len(written)), [(name, object) for name in columns])
    for name, values in columns.items():
        for row, value in enumerate(values):
            found[name][0, row] = value if isinstance(value, str) else _nested(value)
    return found


def _nested(value: int) -> np.ndarray:
    value = int(value)
    return np.array([[value]], np.uint8 if 0 <= value < 256 else np.int16)


def class_names(count: int) -> np.ndarray:
    """Return names of classes as MATLAB has them."""
    found = np.empty((1, count), object)
    found[0] = [f"Maker Model {number} Coupe 2012" for number in range(count)]
    return found


def _write_one(root: pathlib.Path, written: Sequence[Car]) -> None:
    for car in written:
        save(root / "car_ims" / car.file, car)
    more = {
        "relative_im_path": [f"car_ims/{car.file}" for car in written],
        "test": [car.test for car in written],
    }
    save_mat(root / "cars_annos.mat", written, **more)


def _write_two(root: pathlib.Path, written: Sequence[Car]) -> None:
    """Files of each split are numbered anew, in the order of layout one's files."""
    for test, split in enumerate(("train", "test")):
        some = [car for car in written if car.test == test]
        order = {file: number for number, file in enumerate(sorted(car.file for car in some), 1)}
        names = [f"{order[car.file]:05d}.jpg" for car in some]
        for car, name in zip(some, names, strict=True):
            save(root / f"cars_{split}" / name, car)
        suffix = "_withlabels" * test
        save_mat(root / "devkit" / f"cars_{split}_annos{suffix}.mat", some, fname=names)
    save_mat(root / "devkit" / "cars_meta.mat", written, annotations=None)


def save(path: pathlib.Path, car: Car) -> None:
    """Write an image so that its colors change little: no subsampling."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(car).save(path, quality=100, subsampling=0)


def save_mat(path: pathlib.Path, written: Sequence[Car], **columns) -> None:
    """Write annotations and names of classes; columns over those that follow from the images."""
    import scipy.io

    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"class_names": class_names(max(car.label for car in written) + 1)}
    if columns.get("annotations", ...) is not None:
        content["annotations"] = records(written, **columns)
    scipy.io.savemat(path, content)


def main() -> None:
    """Write a set of the real one's shape."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--layout", choices=("one", "two"), default="one")
    for name, default in (("classes", 196), ("train", 2), ("test", 2), ("edge", 160)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = vars(parser.parse_args())
    folder, layout = asked.pop("folder"), asked.pop("layout")
    write(folder, cars(**asked), layout)
    print(f"written to {folder}, to be given as --data-dir")


if __name__ == "__main__":
    main()
