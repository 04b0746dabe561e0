"""Pixels of image files: one rule for decoding a data set and for predicting."""

import io
import pathlib
import stat
import warnings
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from experiments.datasets import _boxes

RESAMPLE = {name.lower(): filter for name, filter in Image.Resampling.__members__.items()}
_MODES = {1: "L", 3: "RGB"}
# What may fill an image up to a square.
BACKGROUNDS = ("white",)

# Modes of 8 bits per channel by their kind; others ("I;16", "F") would lose their range.
_KINDS = {
    "RGB": "RGB",
    **dict.fromkeys(("1", "L", "LA", "La"), "grayscale"),
    **dict.fromkeys(("P", "PA"), "palette"),
    **dict.fromkeys(("RGBA", "RGBa", "RGBX"), "transparent"),
    **dict.fromkeys(("CMYK", "YCbCr", "LAB", "HSV"), "other"),
}
# Where a file may say how the camera was held.
_ORIENTATION = {"exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"}


def open_picture(source: pathlib.Path | bytes, name: str) -> Image.Image:
    """Decode an image file, or the bytes of one, to 8 bits per channel.

    A photograph is turned upright by its EXIF orientation, and what is transparent becomes
    white. Raises `ValueError` that calls the file `name`: nothing there, no regular file, no
    image, cut off, damaged, with more than 8 bits per channel, of more pixels than Pillow allows.
    """
    return open_with_kind(source, name)[0]


def open_with_kind(source: pathlib.Path | bytes, name: str) -> tuple[Image.Image, str]:
    """`open_picture`, and what kind of image it was: RGB, grayscale, palette, ..."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(_content(source)))
        if picture.mode not in _KINDS:
            raise ValueError(f"mode {picture.mode}: save it with 8 bits per channel")
        picture.load()
        if picture.info.keys() & _ORIENTATION:
            picture = ImageOps.exif_transpose(picture)
        kind = _KINDS[picture.mode]
        if picture.has_transparency_data:
            solid = picture.convert("RGBA")
            white = Image.new("RGBA", solid.size, "white")
            picture = Image.alpha_composite(white, solid).convert("RGB")
        return picture, kind
    # PIL raises a dozen kinds of error on damaged files, SyntaxError and struct.error among them.
    except Exception as error:
        raise ValueError(f"{name}: {_reason(error)}") from error


def fit_picture(
    picture: Image.Image,
    size: tuple[int, int] | None,
    channels: int,
    resample: str,
    background: str | None = None,
) -> np.ndarray:
    """Return the picture as (h, w, channels) uint8, gray (PIL's luma) or RGB by `channels`, 1 or 3.

    With a `background` it is padded to a square of that color first, in the middle of it. Resized
    to `size`, (w, h), with PIL's filter `resample` where it has another; None leaves it.
    """
    if channels not in _MODES:
        raise ValueError(f"{channels} channels: pictures become gray (1 channel) or RGB (3)")
    check_filter(resample)
    if picture.mode != _MODES[channels]:
        picture = picture.convert(_MODES[channels])
    if background is not None and picture.width != picture.height:
        edge = max(picture.size)
        square = Image.new(picture.mode, (edge, edge), background)
        square.paste(picture, _boxes.margins(*picture.size))
        picture = square
    if size is not None and picture.size != tuple(size):
        picture = picture.resize(size, RESAMPLE[resample])
    return np.asarray(picture).reshape(picture.height, picture.width, channels)


def crop_picture(picture: Image.Image, box: np.ndarray) -> Image.Image:
    """Return what is inside a box of whole pixels, both of whose corners are."""
    left, top, right, bottom = (int(number) for number in box)
    return picture.crop((left, top, right + 1, bottom + 1))


def fit_pixels(pixels: np.ndarray, size: tuple[int, int], resample: str) -> np.ndarray:
    """Return an image's (h, w, c) uint8 pixels, of 1 or 3 channels, resized as `fit_picture`."""
    channels = pixels.shape[-1]
    picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    return fit_picture(picture, size, channels, resample)


def check_filter(resample: str) -> None:
    """Raise `ValueError` for a name that is no filter of PIL's."""
    if resample not in list(RESAMPLE):
        raise ValueError(f"resample {resample!r}: choose of {', '.join(RESAMPLE)}")


def open_pictures(paths: Sequence[pathlib.Path]) -> list[Image.Image]:
    """`open_picture` of every file; one error names all that fail."""
    pictures, failures = [], []
    for path in map(pathlib.Path, paths):
        try:
            pictures.append(open_picture(path, str(path)))
        except ValueError as error:
            failures.append(str(error))
    if failures:
        raise ValueError("cannot read " + "; ".join(failures))
    return pictures


def read_pixels(
    paths: Sequence[pathlib.Path],
    shape: tuple[int, int, int],
    resample: str = "lanczos",
    background: str | None = None,
) -> list[tuple[np.ndarray, tuple[int, int]]]:
    """Of each file: (h, w, c) uint8 pixels in `shape`, and its upright (w, h) before resizing.

    The same pixels as `load` makes of the file where it does not crop. One `ValueError` names all
    files that fail.
    """
    height, width, channels = shape
    return [
        (fit_picture(picture, (width, height), channels, resample, background), picture.size)
        for picture in open_pictures(paths)
    ]


def _content(source: pathlib.Path | bytes) -> bytes:
    if not isinstance(source, bytes):
        # Opening a named pipe would wait for its writer.
        if not stat.S_ISREG(source.stat().st_mode):
            raise ValueError("not an image file, but a folder, a pipe or a device")
        source = source.read_bytes()
    if not source:
        raise ValueError("the file is empty")
    return source


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    # Its text shows our buffer in place of the file.
    if isinstance(error, UnidentifiedImageError):
        return "not an image that Pillow can read"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
