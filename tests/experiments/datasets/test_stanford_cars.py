"""Stanford Cars, both layouts: each image with its own label and box, as its pixels say."""

import functools
import pathlib
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from experiments.datasets import _pixels

EDGE = 48
LAYOUTS = ("one", "two")


@pytest.fixture(scope="module")
def cars(written_cars):
    return written_cars.cars(edge=EDGE)


@pytest.fixture(params=LAYOUTS)
def root(request, tmp_path, written_cars, cars) -> pathlib.Path:
    return written_cars.write(tmp_path / "cars", cars, request.param)


@pytest.fixture
def one(tmp_path, written_cars, cars) -> pathlib.Path:
    return written_cars.write(tmp_path / "cars", cars, "one")


@pytest.fixture
def two(tmp_path, written_cars, cars) -> pathlib.Path:
    return written_cars.write(tmp_path / "cars", cars, "two")


@pytest.fixture
def check(written_cars, cars):
    return functools.partial(_check, written_cars, cars)


def _check(written_cars, cars, dataset) -> None:
    """Compare images that were padded, but not resized, with what was written, pixel by pixel."""
    count = max(car.label for car in cars) + 1
    assert dataset.class_names == tuple(f"Maker Model {n} Coupe 2012" for n in range(count))
    for test, split in enumerate((dataset.train, dataset.validation)):
        some = [car for car in cars if car.test == test]
        assert split.labels.tolist() == [car.label for car in some]
        for car, image, box in zip(some, split.images, split.boxes, strict=True):
            x, y = ((EDGE - side) // 2 for side in car.size)
            page = Image.new("RGB", (EDGE, EDGE), "white")
            page.paste(written_cars.picture(car).convert("RGB"), (x, y))
            off = np.abs(np.asarray(page, int) - image)
            assert off.max() <= written_cars.TOLERANCE
            assert box.tolist() == [a + b for a, b in zip(car.box, (x, y, x, y), strict=True)]


def test_each_image_has_its_label_and_box(root, load, check):
    """All images have one longer side, so that padding makes one size of them."""
    dataset = load("stanford_cars", root, background="white")
    check(dataset)
    assert dataset.image_shape == (EDGE, EDGE, 3)
    assert dataset.origin.converted == {"grayscale": 2}
    assert dataset.origin.notes == ("padded to a square with white",)


@pytest.mark.parametrize("crop", ["boxes", "train_boxes"])
def test_what_is_cropped_is_the_box_and_nothing_else(root, crop, load, written_cars, cars):
    """Enlarged by repeating pixels: a row too many would be seen."""
    options = {"size": 64, "resample": "nearest"}
    dataset = load("stanford_cars", root, crop=crop, **options)
    whole = load("stanford_cars", root, **options)
    for test, split in enumerate((dataset.train, dataset.validation)):
        if test and crop == "train_boxes":
            assert np.array_equal(split.images, whole.validation.images)
            assert np.array_equal(split.boxes, whole.validation.boxes)
            continue
        some = [car for car in cars if car.test == test]
        assert split.boxes.tolist() == [[0, 0, 63, 63]] * len(some)
        for car, image in zip(some, split.images, strict=True):
            assert np.abs(image - np.array(car.color)).max() <= written_cars.TOLERANCE
    note = {"boxes": "all images are", "train_boxes": "training images are"}[crop]
    assert dataset.origin.notes == (f"{note} cropped to their boxes",)


def test_boxes_follow_the_resizing(root, load, cars):
    split = load("stanford_cars", root, size=EDGE * 2).train
    for car, box in zip([car for car in cars if not car.test], split.boxes, strict=True):
        scale = np.array([2 * EDGE / side for side in car.size * 2])
        first, last = np.array(car.box[:2]) * scale[:2], (np.array(car.box[2:]) + 1) * scale[2:] - 1
        assert box == pytest.approx([*first, *last], abs=1e-3)  # float32


def test_cropped_and_padded(root, load, cars):
    """The box lies in the middle of its square, in parts of which it is told."""
    split = load("stanford_cars", root, crop="boxes", background="white", size=64).train
    train = [car for car in cars if not car.test]
    for car, image, box in zip(train, split.images, split.boxes, strict=True):
        width, height = car.box[2] - car.box[0] + 1, car.box[3] - car.box[1] + 1
        edge = max(width, height)
        assert box[2] - box[0] + 1 == pytest.approx(64 * width / edge, abs=1e-3)  # float32
        assert box[3] - box[1] + 1 == pytest.approx(64 * height / edge, abs=1e-3)
        outside = image.copy()
        left, top, right, bottom = (round(float(x)) for x in box)
        # Lanczos reaches three pixels of the image beyond an edge.
        reach = int(3 * 64 / edge) + 1
        outside[max(0, top - reach) : bottom + reach, max(0, left - reach) : right + reach] = 255
        assert outside.min() >= 250


def test_gray(root, load, written_cars, cars):
    dataset = load("stanford_cars", root, crop="boxes", channels=1, size=16)
    assert dataset.image_shape == (16, 16, 1)
    for car, image in zip([car for car in cars if not car.test], dataset.train.images, strict=True):
        luma = Image.new("RGB", (1, 1), car.color).convert("L").getpixel((0, 0))
        assert np.abs(image.astype(int) - luma).max() <= written_cars.TOLERANCE
    assert dataset.origin.converted == {"RGB": 13}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("suffix", ["tgz", "zip", "whole.zip"])
def test_archives(layout, suffix, tmp_path, load, check, written_cars, cars):
    root = written_cars.write(tmp_path / "cars", cars, layout)
    plain = load("stanford_cars", root, background="white")
    packed(root, suffix)
    dataset = load("stanford_cars", root if suffix != "whole.zip" else tmp_path, background="white")
    check(dataset)
    assert dataset.digest == plain.digest
    assert dataset.origin.read != plain.origin.read


@pytest.mark.parametrize("part", ["cars_annos.mat", "car_ims.zip"])
def test_a_part_stands_for_the_folder_around_it(part, one, load, check):
    packed(one, "zip")
    check(load("stanford_cars", one / part, background="white"))


def packed(root: pathlib.Path, suffix: str) -> None:
    """Replace the folders by archives beside the .mat files, or all by one archive."""
    tops = [root] if suffix == "whole.zip" else [path for path in root.iterdir() if path.is_dir()]
    for top in tops:
        stem = {"devkit": "car_devkit", "cars": "stanford_cars"}.get(top.name, top.name)
        path, files = top.with_name(f"{stem}.{suffix[-3:]}"), sorted(top.rglob("*.*"))
        if path.suffix == ".zip":
            with zipfile.ZipFile(path, "w") as archive:
                for file in files:
                    archive.write(file, file.relative_to(top.parent))
        else:
            with tarfile.open(path, "w:gz") as archive:
                for file in files:
                    archive.add(file, file.relative_to(top.parent))
        shutil.rmtree(top)


def test_layouts_are_the_same_data_set(tmp_path, load, written_cars, cars):
    one, two = (
        load("stanford_cars", written_cars.write(tmp_path / layout / "cars", cars, layout), size=40)
        for layout in LAYOUTS
    )
    assert one.digest == two.digest
    assert (one.class_names, one.class_ids) == (two.class_names, two.class_ids)
    for key in ("train", "validation"):
        assert np.array_equal(getattr(one, key).boxes, getattr(two, key).boxes)


def test_both_layouts_beside_each_other(tmp_path, load, check, written_cars, cars):
    for layout in LAYOUTS:
        written_cars.write(tmp_path / "cars", cars, layout)
    dataset = load("stanford_cars", tmp_path / "cars", background="white")
    check(dataset)
    assert dataset.origin.notes[1:] == ("not read: cars_test", "not read: cars_train")


def test_folders_as_others_pack_them(two, load, check):
    """Twice the same folder inside each other, the labels of the test images apart."""
    for split in ("cars_train", "cars_test"):
        shutil.move(two / split, two / "moved")
        shutil.move(two / "moved", two / split / split)
    shutil.move(two / "devkit" / "cars_test_annos_withlabels.mat", two)
    shutil.move(two / "devkit", two / "car_devkit" / "devkit")
    check(load("stanford_cars", two, background="white"))


def test_numbers_do_not_overflow(tmp_path, load, written_cars):
    """255 is uint8 in the file: 1 more, the end of the box, must not be 0."""
    boxes = [(0, 0, 254, 9), (254, 0, 299, 9), (100, 0, 255, 9), (255, 0, 256, 9)]
    cars = [
        written_cars.Car(label, 0, label >= 2, (300, 10), box, False, f"{label}.jpg")
        for label, box in enumerate([*boxes[:2], *boxes[2:]])
    ]
    cars = [car._replace(label=row % 2) for row, car in enumerate(cars)]
    dataset = load("stanford_cars", written_cars.write(tmp_path, cars, "one"))
    found = [*dataset.train.boxes.tolist(), *dataset.validation.boxes.tolist()]
    assert found == [list(box) for box in boxes]


def test_images_of_varying_size_need_one(root, load):
    with pytest.raises(ValueError, match="pixels, but .* is .*: give size .--size. to resize all"):
        load("stanford_cars", root)
    with pytest.raises(ValueError, match="give size .--size. to resize all to one size"):
        load("stanford_cars", root, crop="boxes", background="white")


def test_one_image_at_a_time_is_held_at_its_stored_size(root, load, monkeypatch):
    alive, most = set(), []

    class Held(Image.Image):
        def __init__(self, picture):
            super().__init__()
            self._im, self._mode, self._size = picture.im, picture.mode, picture.size
            alive.add(id(self))
            most.append(len(alive))

        def __del__(self):
            alive.discard(id(self))

    def note(source, name, known=_pixels.open_with_kind):
        picture, kind = known(source, name)
        return Held(picture), kind

    monkeypatch.setattr(_pixels, "open_with_kind", note)
    dataset = load("stanford_cars", root, size=16)
    assert len(most) >= len(dataset.train) + len(dataset.validation)
    # The one that is decoded, while the one before has not been let go yet.
    assert max(most) <= 2


# Bad input ---------------------------------------------------------------------------------------


def column(name: str, row: int, value):
    """Damage a number or a text of the annotations of layout one, in a row from 1."""

    def damage(root, written_cars, cars):
        columns = {
            "relative_im_path": [f"car_ims/{car.file}" for car in cars],
            "test": [car.test for car in cars],
        }
        content = written_cars.records(cars, **columns)
        content[name][0, row - 1] = value if isinstance(value, str) else np.array([[value]])
        save(root / "cars_annos.mat", annotations=content)

    return damage


def save(path: pathlib.Path, **content) -> None:
    import scipy.io

    names = np.empty((1, 3), object)
    names[0] = ["a", "b", "c"]
    scipy.io.savemat(path, {"class_names": names} | content)


def without(*names: str):
    return lambda root, *_: [(root / name).unlink() for name in names]


def cut(root, written_cars, cars) -> None:
    path = root / "car_ims" / cars[2].file
    path.write_bytes(path.read_bytes()[:-300])


ROW = r"cars_annos\.mat, row 3"
ONE = {
    "no annotations": (
        without("cars_annos.mat"),
        r"cars has no cars_annos\.mat\. stanford_cars is",
    ),
    "an image is gone": (
        lambda root, _, cars: (root / "car_ims" / cars[2].file).unlink(),
        rf"{ROW}: car_ims/\d+\.jpg is not in .*cars \(1 of 15 images are missing\)",
    ),
    "an image without a label": (
        lambda root, *_: shutil.copy(next((root / "car_ims").iterdir()), root / "car_ims/x.jpg"),
        r"car_ims/x\.jpg has no label: no row names it \(1 images lack theirs\)",
    ),
    "an image twice": (
        column("relative_im_path", 3, "car_ims/000001.jpg"),
        r"annos\.mat, row \d+: car_ims/000001\.jpg a second time: .*annos\.mat, row \d+",
    ),
    "no image": (
        lambda root, *_: [path.unlink() for path in (root / "car_ims").iterdir()],
        r"cars has no images\. stanford_cars is",
    ),
    "broken image": (cut, rf"car_ims/\d+\.jpg \(.*{ROW}\): .*truncated"),
    "class 0": (column("class", 3, 0), rf"{ROW}: class 0 is none of 1 to 3"),
    "class too high": (column("class", 3, 4), rf"{ROW}: class 4 is none of 1 to 3"),
    "class is half": (column("class", 3, 1.5), rf"{ROW}: class is 1\.5, not a whole number"),
    "class is a text": (column("class", 3, "2"), rf"{ROW}: class is '2', not a whole number"),
    "class is missing": (column("class", 3, []), rf"{ROW}: class is \[\], not a whole number"),
    "class is not a number": (column("class", 3, np.nan), rf"{ROW}: class is nan, not a whole"),
    "test is neither": (column("test", 3, 2), rf"{ROW}: test is 2, neither 0 nor 1"),
    "a name is missing": (
        column("relative_im_path", 3, 7),
        rf"{ROW}: relative_im_path is 7, not a",
    ),
    "box from 0": (
        column("bbox_x1", 3, 0),
        rf"jpg \(.*{ROW}\): the box from \(-1, \d+\) to .*, counted from 0, reaches outside of",
    ),
    "box too wide": (
        column("bbox_x2", 3, EDGE + 1),
        rf"jpg \(.*{ROW}\): the box .* reaches outside of the image, which is \d+x\d+ pixels",
    ),
    "box too high": (
        column("bbox_y2", 3, 60_000),
        rf"jpg \(.*{ROW}\): the box .* reaches outside of the image, which is \d+x\d+ pixels",
    ),
    "swapped corners": (
        column("bbox_x1", 3, EDGE),
        rf"{ROW}: the box from .* to .* is empty, or its corners are swapped",
    ),
    "no field": (
        lambda root, *_: save(root / "cars_annos.mat", annotations=np.zeros(2, [("fname", "O")])),
        r"cars_annos\.mat: its annotations have no field relative_im_path",
    ),
    "nothing in it": (
        lambda root, *_: save(root / "cars_annos.mat"),
        r"cars_annos\.mat: its annotations have no field",
    ),
    "no .mat file": (
        lambda root, *_: (root / "cars_annos.mat").write_text("<html>"),
        r"cars_annos\.mat is no \.mat file that SciPy reads",
    ),
    "cut .mat file": (
        lambda root, *_: (root / "cars_annos.mat").write_bytes(
            (root / "cars_annos.mat").read_bytes()[:2000]
        ),
        r"cars_annos\.mat is no \.mat file that SciPy reads",
    ),
}


@pytest.mark.parametrize("how", ONE)
def test_broken_layout_one(how, one, load, written_cars, cars):
    damage, message = ONE[how]
    damage(one, written_cars, cars)
    with pytest.raises(ValueError, match=message):
        load("stanford_cars", one, size=16)


LABELED = "devkit/cars_test_annos_withlabels.mat"


def unlabeled(root, *_) -> None:
    (root / LABELED).rename(root / "devkit/cars_test_annos.mat")


def mixed_up(root, *_) -> None:
    (root / "devkit/cars_train_annos.mat").rename(root / "devkit/moved")
    (root / LABELED).rename(root / "devkit/cars_train_annos.mat")
    (root / "devkit/moved").rename(root / LABELED)


TWO = {
    "the devkit's own": (
        unlabeled,
        r"devkit/cars_test_annos\.mat has no labels: cars_test_annos_withlabels\.mat is needed",
    ),
    "no test labels": (without(LABELED), r"cars has no cars_test_annos_withlabels\.mat\."),
    "no training labels": (without("devkit/cars_train_annos.mat"), "no cars_train_annos.mat"),
    "no names": (without("devkit/cars_meta.mat"), r"cars has no cars_meta\.mat"),
    "names without any": (
        lambda root, *_: save(root / "devkit/cars_meta.mat", class_names=np.zeros((0, 0))),
        r"cars_meta\.mat holds no class_names, a list of texts",
    ),
    "no test images": (
        lambda root, *_: shutil.rmtree(root / "cars_test"),
        r"withlabels\.mat, row 1: cars_test/\d+\.jpg is not in .*\(6 of 15 images are missing",
    ),
    "files that are mixed up": (mixed_up, r"cars_test_annos_withlabels\.mat, row \d+: cars_test/"),
    "a table twice": (
        lambda root, *_: shutil.copy(root / LABELED, root),
        r"cars_test_annos_withlabels\.mat is there twice, as .*: remove one",
    ),
}


@pytest.mark.parametrize("how", TWO)
def test_broken_layout_two(how, two, load, written_cars, cars):
    damage, message = TWO[how]
    damage(two, written_cars, cars)
    with pytest.raises(ValueError, match=message):
        load("stanford_cars", two, size=16)


def test_the_written_set_has_the_real_shape(tmp_path, load, written_cars):
    """What `written_cars.py` writes when nothing is asked for, here of small images."""
    root = written_cars.write(tmp_path, written_cars.cars(196, 2, 2, edge=12), "two")
    dataset = load("stanford_cars", root, size=12)
    for split in (dataset.train, dataset.validation):
        assert np.bincount(split.labels).tolist() == [2] * 196
