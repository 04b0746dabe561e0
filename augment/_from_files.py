"""Iterators of ImageDataGenerator that read image files: of class folders, or named by a table."""

import concurrent.futures
import os
import pathlib
import warnings
from collections.abc import Sequence

import numpy as np

from augment import _files
from augment._iterators import Iterator, Options

CATEGORICAL = ("categorical", "sparse", "binary")  # class modes whose labels are class numbers
OF_FOLDERS = (*CATEGORICAL, "input", None)
OF_TABLES = (*CATEGORICAL, "input", "raw", "multi_output", None)


class FileIterator(Iterator):
    """Over image files, read when a batch asks for them.

    Attributes:
        filenames: paths relative to the folder.
        classes: class number of each image; a list of them where images have several classes.
        class_indices: number by class name.

    """

    classes: Sequence = ()
    class_indices: dict[str, int] = {}

    def __init__(self, generator, directory, read, filenames, class_mode, options: Options):
        self.directory, self.filenames, self.class_mode = directory, filenames, class_mode
        self._read, self.samples = read, len(filenames)
        self.labels, self.num_classes = self.classes, len(self.class_indices)
        if class_mode == "binary" and self.num_classes != 2:
            found = ", ".join(self.class_indices)
            raise ValueError(f"class_mode 'binary' needs two classes, there are: {found}")
        super().__init__(generator, self.samples, options)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images."""
        return self._read.shape

    @property
    def filepaths(self) -> list[str]:
        """Paths of the images, in the order of `filenames`."""
        return [os.path.join(self.directory, name) for name in self.filenames]

    def _images(self, chosen) -> np.ndarray:
        paths = (os.path.join(self.directory, self.filenames[index]) for index in chosen)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            return np.stack(list(pool.map(self._read, paths)))

    def _with_labels(self, images, chosen):
        if self.class_mode is None:
            return images
        if self.class_mode == "input":
            return images, images.copy()
        if self.class_mode == "categorical":
            found = np.zeros((len(chosen), self.num_classes), images.dtype)
            for row, index in zip(found, chosen, strict=True):
                row[self.classes[index]] = 1  # one of them, or several
            return images, found
        return images, np.asarray(self.classes)[chosen].astype(images.dtype)


class DirectoryIterator(FileIterator):
    """Over a folder with one folder per class; see ImageDataGenerator.flow_from_directory."""

    def __init__(self, generator, directory, read, classes, class_mode, **options):
        follow_links = options.pop("follow_links", False)
        options = Options(**options)
        _check(class_mode, OF_FOLDERS)
        directory = pathlib.Path(directory)
        if not directory.is_dir():
            raise ValueError(f"{directory} is not a folder")
        names = classes or _files.class_folders(directory)
        self.class_indices = {name: number for number, name in enumerate(names)}
        filenames, numbers = [], []
        for name, number in self.class_indices.items():
            files = _files.image_files(directory / name, follow_links)
            files = files[options.split(len(files), generator.validation_split)]
            filenames += [os.path.relpath(path, directory) for path in files]
            numbers += [number] * len(files)
        self.classes = np.array(numbers, "int32")
        if not numbers and not options.subset:
            raise ValueError(
                f"no images ({', '.join(_files.SUFFIXES)}) in the class folders of {directory}"
            )
        super().__init__(generator, directory, read, filenames, class_mode, options)
        print(f"Found {self.samples} images belonging to {self.num_classes} classes.")


class DataFrameIterator(FileIterator):
    """Over image files that a table names; see ImageDataGenerator.flow_from_dataframe.

    Attributes:
        sample_weight: weight of each image, or None.

    """

    def __init__(
        self,
        generator,
        table,
        read,
        columns,
        *,
        directory=None,
        classes=None,
        class_mode="categorical",
        **options,
    ):
        x, y, weight = columns
        validate = options.pop("validate_filenames", True)
        options = Options(**options)
        _check(class_mode, OF_TABLES)
        self._targets = None
        names = _column(table, x, str)
        rows = np.arange(len(names))
        if validate:
            rows = _readable(names, directory or "", x)
        if class_mode in CATEGORICAL:
            rows, labels = self._known(_column(table, y, str | list | tuple), rows, classes, y)
            self.classes = labels
        # As in Keras, the part is one of the rows that are left.
        part = options.split(len(rows), generator.validation_split)
        rows = rows[part]
        self.classes = self.classes[part]
        if class_mode in ("raw", "multi_output"):
            wanted = [y] if class_mode == "raw" else y
            self._targets = [np.array(_column(table, name))[rows] for name in wanted]
        self.sample_weight = None if weight is None else np.asarray(_column(table, weight))[rows]
        filenames = [names[row] for row in rows]
        super().__init__(generator, directory or "", read, filenames, class_mode, options)
        kind = "validated" if validate else "non-validated"
        of = f" belonging to {self.num_classes} classes" if class_mode in CATEGORICAL else ""
        print(f"Found {self.samples} {kind} image filenames{of}.")

    def _known(self, labels, rows: np.ndarray, classes, column) -> tuple[np.ndarray, list]:
        """Return the rows whose class is wanted, and their numbers; set `class_indices`."""
        several = [label if isinstance(label, list | tuple) else [label] for label in labels]
        found = sorted({name for row in rows for name in several[row]})
        wanted = list(dict.fromkeys(classes or found))
        if missing := sorted(set(wanted) - set(found)):
            raise ValueError(
                f"classes {', '.join(missing)}: column {column!r} has none of them, but "
                f"{', '.join(found)}"
            )
        self.class_indices = {name: number for number, name in enumerate(wanted)}
        kept = [row for row in rows if set(several[row]) & set(wanted)]
        numbers = [[self.class_indices[n] for n in several[r] if n in wanted] for r in kept]
        single = all(isinstance(labels[row], str) for row in kept)
        return np.array(kept, int), [n[0] for n in numbers] if single else numbers

    def _with_labels(self, images, chosen):
        found = images
        if self._targets is not None:
            targets = [target[chosen] for target in self._targets]
            found = images, targets[0] if self.class_mode == "raw" else tuple(targets)
        else:
            found = super()._with_labels(images, chosen)
        if self.sample_weight is None:
            return found
        found = found if isinstance(found, tuple) else (found, None)
        return (*found, self.sample_weight[chosen])


def _check(class_mode, modes) -> None:
    if class_mode not in modes:
        raise ValueError(f"class_mode must be one of {modes}, got {class_mode!r}")


def _column(table, name, kind=object) -> list:
    """Return the values of a column; ValueError where it is not there or holds something else."""
    try:
        values = list(table[name])
    except (KeyError, TypeError) as error:
        columns = ", ".join(map(str, getattr(table, "columns", table)))
        raise ValueError(f"the table has no column {name!r}, but {columns}") from error
    for row, value in enumerate(values):
        if not isinstance(value, kind):
            told = "a text" if kind is str else "a text or a list of them"
            raise ValueError(f"column {name!r}, row {row}: {value!r} is not {told}")
    return values


def _readable(names: Sequence[str], directory, column) -> np.ndarray:
    """Return the rows whose file is there and called like an image; a warning tells of others."""
    usable = [
        name.lower().endswith(_files.SUFFIXES) and os.path.isfile(os.path.join(directory, name))
        for name in names
    ]
    rows = np.flatnonzero(usable)
    if len(rows) < len(names):
        first = names[usable.index(False)]
        warnings.warn(
            f"{len(names) - len(rows)} of {len(names)} files in column {column!r} are left out, "
            f"{first!r} first: no file, or none of {', '.join(_files.SUFFIXES)}",
            stacklevel=4,
        )
    return rows
