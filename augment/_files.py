"""Image files in folders: which there are, and their pixels."""

import dataclasses
import os
import pathlib
import stat

import numpy as np
from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".tif", ".tiff")
MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}
RESAMPLING = {name.lower(): how for name, how in Image.Resampling.__members__.items()}


@dataclasses.dataclass(frozen=True)
class Reader:
    """How files become arrays; see ImageDataGenerator.flow_from_directory."""

    target_size: tuple[int, int]
    color_mode: str = "rgb"
    interpolation: str = "nearest"
    keep_aspect_ratio: bool = False

    def __post_init__(self):
        for name, table in (("color_mode", MODES), ("interpolation", RESAMPLING)):
            if getattr(self, name) not in table:
                raise ValueError(
                    f"{name} must be one of {', '.join(table)}, got {getattr(self, name)!r}"
                )

    @classmethod
    def taken_from(cls, options: dict):
        """Return a reader as `options` say, of which it takes its own out."""
        names = [field.name for field in dataclasses.fields(cls)]
        found = {name: options.pop(name) for name in names if name in options}
        return cls(**found | {"target_size": tuple(found.get("target_size", (256, 256)))})

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of what is read."""
        return (*self.target_size, len(MODES[self.color_mode]))

    def __call__(self, path: str | os.PathLike) -> np.ndarray:
        """Return the pixels (h, w, c) of a file, uint8; a ValueError names one that has none."""
        try:
            with Image.open(path) as picture:
                picture = self._fitted(self._colored(picture))
        # Pillow raises a dozen kinds of error on damaged files, SyntaxError among them.
        except Exception as error:
            raise ValueError(f"cannot read image {path}: {error}") from error
        return np.asarray(picture).reshape(*self.target_size, -1)

    def _colored(self, picture: Image.Image) -> Image.Image:
        if picture.mode[0] in "IF":  # 16 or 32 bits
            raise ValueError(f"mode {picture.mode}: save it with 8 bits per channel")
        if picture.has_transparency_data and self.color_mode != "rgba":
            solid = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", solid.size, "white"), solid)
        return picture.convert(MODES[self.color_mode])

    def _fitted(self, picture: Image.Image) -> Image.Image:
        (width, height), (rows, columns) = picture.size, self.target_size
        if (height, width) == (rows, columns):
            return picture
        box = None
        if self.keep_aspect_ratio:  # the largest part in the middle of that shape, as Keras cuts it
            tall, wide = min(height, width * rows // columns), min(width, height * columns // rows)
            top, left = (height - tall) // 2, (width - wide) // 2
            box = (left, top, left + wide, top + tall)
        return picture.resize((columns, rows), RESAMPLING[self.interpolation], box=box)


def class_folders(folder: pathlib.Path) -> list[str]:
    """List the names of the folders in `folder`, sorted; a ValueError names what leads nowhere."""
    names = []
    for path in sorted(folder.iterdir()):
        try:
            if stat.S_ISDIR(path.stat().st_mode):
                names.append(path.name)
        except OSError as error:
            raise _unusable(path, error.strerror) from error
    return names


def image_files(folder: str | os.PathLike, follow_links: bool) -> list[str]:
    """List the image files at any depth below `folder`, sorted by folder and name.

    `follow_links` enters folders that are links. Raises ValueError that names what is no regular
    file, what cannot be looked at, and a link that leads back to where it lies.
    """
    if not os.path.isdir(folder):
        raise ValueError(f"class folder {folder} does not exist")
    found, waiting = [], [(os.fspath(folder), ())]
    while waiting:
        place, above = waiting.pop()
        real = os.path.realpath(place)
        if real in above:
            raise _unusable(place, f"a loop of links, leads back to {real}")
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=follow_links):
                        waiting.append((entry.path, (*above, real)))
                    elif entry.name.lower().endswith(SUFFIXES) and _is_file(entry):
                        found.append((place, entry.name))
        except OSError as error:
            raise _unusable(error.filename or place, error.strerror) from error
    return [os.path.join(place, name) for place, name in sorted(found)]


def _is_file(entry: os.DirEntry) -> bool:
    """Whether an entry is a file, not a folder; what is neither, and might hang, raises."""
    if entry.is_file(follow_symlinks=False):  # the folder says so: no look at the file itself
        return True
    mode = entry.stat().st_mode
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise _unusable(entry.path, "no regular file")
    return stat.S_ISREG(mode)


def _unusable(path: str | os.PathLike, why: str) -> ValueError:
    return ValueError(f"cannot read {path}: {why}; repair it or take it away")
