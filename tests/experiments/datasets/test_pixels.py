"""One rule makes pixels of a file, for decoding a data set and for predicting."""

import io
import os
import warnings

import numpy as np
import pytest
from PIL import Image

from experiments import datasets
from experiments.datasets import _decode, _pixels

EDGE = 9


@pytest.fixture
def kinds(tmp_path, picture, write):
    """A tree of class folders with a file of each kind, upright 12 wide and 10 high."""
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: turned by 90 degrees
    palette = picture(4, (12, 10)).quantize(16)
    files = {
        "alpha.png": (picture(0, (12, 10), "RGBA"), {}),
        "palette.png": (palette, {"transparency": bytes([0, 128, 255])}),
        "palette.gif": (palette, {"transparency": 3}),
        "opaque.gif": (palette, {}),
        "gray.png": (picture(1, (12, 10), "L"), {}),
        "gray with a hole.png": (picture(1, (12, 10), "L"), {"transparency": 7}),
        "gray alpha.png": (picture(2, (12, 10), "LA"), {}),
        "bits.png": (picture(3, (12, 10)).convert("1"), {}),
        "color.bmp": (picture(3, (12, 10)), {}),
        "color with a hole.png": (picture(3, (12, 10)), {"transparency": (1, 2, 3)}),
        "print.jpg": (picture(5, (12, 10), "CMYK"), {}),
        "turned.jpg": (picture(6, (10, 12)), {"exif": exif}),
        "turned.webp": (picture(7, (10, 12)), {"exif": exif}),
    }
    for split in ("train", "val"):
        write(tmp_path / "pets" / split / "b" / "0.png", picture(8, (12, 10)))
        (tmp_path / "pets" / split / "a").mkdir()
        for name, (image, options) in files.items():
            image.save(tmp_path / "pets" / split / "a" / name, **options)
    return tmp_path / "pets"


@pytest.mark.parametrize("resample", [None, *datasets.RESAMPLE])
def test_decoding_and_predicting_see_the_same(kinds, load, files_of, resample):
    size = EDGE if resample else None
    dataset = load("folder", kinds, size=size, resample=resample or "lanczos")
    found = datasets.read_pixels(
        files_of(kinds / "train"), dataset.image_shape, resample or "lanczos"
    )
    assert len(found) == len(dataset.train) == 14
    assert dataset.image_shape == ((EDGE, EDGE, 3) if resample else (10, 12, 3))
    for image, (pixels, stored) in zip(dataset.train.images, found, strict=True):
        assert np.array_equal(image, pixels)
        assert pixels.dtype == np.uint8 and stored == (12, 10)


def test_kinds_are_counted(kinds, load):
    """In both splits."""
    counted = {"palette": 6, "grayscale": 8, "transparent": 2, "other": 2}
    assert load("folder", kinds).origin.converted == counted


def test_every_kind_of_image_becomes_rgb(tmp_path, load, picture, write, decoded, tree):
    """What is solid looks as PIL shows it."""
    root = tree(tmp_path / "pets", ("val",))
    pictures = {
        "train/a/0.jpg": picture(1, mode="L"),
        "train/a/1.jpg": picture(2, mode="CMYK"),
        "train/b/0.png": picture(3).convert("RGBA"),
        "train/b/1.gif": picture(4).quantize(),
    }
    for name, image in pictures.items():
        write(root / name, image)
    dataset = load("folder", root)
    assert dataset.origin.converted == {"grayscale": 1, "other": 1, "transparent": 1, "palette": 1}
    for row, name in enumerate(pictures):
        assert np.array_equal(dataset.train.images[row], decoded(root / name))


def test_photographs_are_upright(tmp_path, load, picture, tree):
    root = tree(tmp_path / "pets", size=(6, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: turned by 90 degrees
    image = picture(5, size=(8, 6))
    image.save(root / "train/a/0.png", exif=exif)
    expected = np.asarray(image.transpose(Image.Transpose.ROTATE_270))
    assert np.array_equal(load("folder", root).train.images[0], expected)


def test_what_is_transparent_becomes_white(tmp_path):
    red = Image.new("RGBA", (3, 1), (255, 0, 0, 255))
    red.putpixel((1, 0), (255, 0, 0, 0))
    red.putpixel((2, 0), (0, 0, 0, 127))
    indices = Image.new("P", (3, 1))
    indices.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 0])
    indices.putdata([0, 1, 2])
    red.save(tmp_path / "alpha.png")
    indices.save(tmp_path / "palette.png", transparency=bytes([255, 0, 127]))
    indices.save(tmp_path / "palette.gif", transparency=1)
    half = [[255, 0, 0], [255, 255, 255], [128, 128, 128]]
    for name, expected in (
        ("alpha.png", half),
        ("palette.png", half),
        ("palette.gif", [*half[:2], [0, 0, 0]]),
    ):
        ((pixels, _),) = datasets.read_pixels([tmp_path / name], (1, 3, 3))
        assert pixels[0].tolist() == expected


@pytest.mark.parametrize("channels, mode", [(1, "L"), (3, "RGB")])
def test_fit_picture(picture, channels, mode):
    image = picture(0, (12, 10))
    plain = image.convert(mode)
    for size in (None, (12, 10)):
        pixels = datasets.fit_picture(image, size, channels, "box")
        assert np.array_equal(pixels, np.asarray(plain).reshape(10, 12, channels))
    resized = np.asarray(plain.resize((5, 7), Image.Resampling.BOX)).reshape(7, 5, channels)
    assert np.array_equal(datasets.fit_picture(image, (5, 7), channels, "box"), resized)


def test_fit_picture_names_what_it_cannot_do(picture):
    with pytest.raises(ValueError, match="4 channels: pictures become gray"):
        datasets.fit_picture(picture(0), None, 4, "lanczos")
    with pytest.raises(ValueError, match="resample 'cubic': choose of nearest"):
        datasets.fit_picture(picture(0), None, 3, "cubic")


def encoded(image: Image.Image, format: str) -> bytes:
    file = io.BytesIO()
    image.save(file, format)
    return file.getvalue()


@pytest.mark.parametrize("dtype, mode", [(np.uint16, "I;16"), (np.int32, "I"), (np.float32, "F")])
def test_more_than_8_bits_are_refused_alike(tmp_path, load, tree, dtype, mode):
    deep = Image.fromarray(np.zeros((8, 8), dtype))
    root = tree(tmp_path / "pets")
    message = f"deep.tif: mode {mode}: save it with 8 bits per channel"
    deep.save(root / "train/a/deep.tif")
    with pytest.raises(ValueError, match=message):
        load("folder", root)
    with pytest.raises(ValueError, match=message):
        datasets.read_pixels([root / "train/a/deep.tif"], (8, 8, 3))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "PPM", "TIFF"])
def test_what_is_cut_off_is_named(picture, format):
    """Wherever it is cut: an error with the name, or, of what lies behind the image, nothing."""
    data = encoded(picture(0, (16, 16)), format)
    whole = np.asarray(datasets.open_picture(data, "whole"))
    refused = 0
    with warnings.catch_warnings():
        # As for users: what Pillow warns of must fail in the end all the same.
        warnings.simplefilter("ignore")
        for length in range(0, len(data), 5):
            try:
                found = datasets.open_picture(data[:length], "my file")
            except ValueError as error:
                assert str(error).startswith("my file: ") and "_io." not in str(error)
                refused += 1
            else:
                assert np.array_equal(np.asarray(found), whole)
    assert refused > 0.9 * len(data) / 5


@pytest.mark.parametrize("edge", [8, 20])
@pytest.mark.parametrize("strict", [True, False])
def test_decompression_bombs_are_named(picture, monkeypatch, edge, strict):
    """Pillow warns above its limit and refuses above twice that: both are one error here."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    data = encoded(picture(0, (edge, edge)), "PNG")
    with warnings.catch_warnings(), pytest.raises(ValueError, match="bomb.png: Image size"):
        warnings.simplefilter("error" if strict else "ignore")
        datasets.open_picture(data, "bomb.png")


def test_no_file_to_open_is_named_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "empty.png").touch()
    (tmp_path / "notes.png").write_text("no image")
    special = "not an image file, but a folder, a pipe or a device"
    reasons = {
        tmp_path / "pipe.png": special,
        tmp_path / "folder.png": special,
        "/dev/zero": special,
        tmp_path / "loop.png": "Too many levels of symbolic links",
        tmp_path / "empty.png": "the file is empty",
        tmp_path / "notes.png": "not an image that Pillow can read",
        tmp_path / "absent.png": "no such file",
    }
    with pytest.raises(ValueError, match="cannot read") as caught:
        datasets.read_pixels(reasons, (8, 8, 3))
    told = [f"{path}: {reason}" for path, reason in reasons.items()]
    assert str(caught.value) == "cannot read " + "; ".join(told)


def test_decoding_has_no_rule_of_its_own(monkeypatch, tmp_path, load, tree):
    """The one function is what both call."""
    names = []

    def note(source, name, known=_pixels.open_with_kind):
        names.append(name)
        return known(source, name)

    monkeypatch.setattr(_pixels, "open_with_kind", note)
    root = tree(tmp_path / "pets")
    load("folder", root)
    assert len(set(names)) == 8
    names.clear()
    datasets.read_pixels([root / "val/a/0.png"], (8, 8, 3))
    assert names == [str(root / "val/a/0.png")]
    assert not hasattr(_decode, "ImageOps")
