"""MNIST, 28x28 grey, one channel: through keras.datasets, or from local files.

Local files are Keras' `mnist.npz` or the four original ones, gzipped or not.
"""

import gzip
import io
import pathlib
import zipfile
import zlib

import numpy as np

from experiments.datasets import _source
from experiments.datasets._source import Plan, Source, Wanted
from experiments.datasets._tree import Builtin, Listing

_NAMES = [str(digit) for digit in range(10)]
_NPZ = "mnist.npz"
_ORIGINAL = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
_FILES = (_NPZ, *_ORIGINAL.values(), *(f"{name}.gz" for name in _ORIGINAL.values()))
WANTED = Wanted(
    name="mnist",
    holds=lambda folder: any((folder / name).is_file() for name in _FILES),
    archives=None,
    looks=f"a folder with {_NPZ} or {', '.join(_ORIGINAL.values())} (or .gz)",
    get="without data_dir (--data-dir), keras.datasets downloads it",
    only=_FILES,
)


def source(data_dir: str | pathlib.Path | None) -> Source:
    """Find MNIST at `data_dir`; without one, it comes from keras.datasets."""
    if data_dir is None:
        return Source(Builtin("keras.datasets.mnist"), _from_keras)
    return Source(_source.find(WANTED, data_dir), _from_files)


def _from_keras(listing: Listing) -> Plan:
    (x_train, y_train), (x_test, y_test) = _source.from_keras("mnist")
    content = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    return _plan(listing.place, content)


def _from_files(listing: Listing) -> Plan:
    if _NPZ not in listing.files:
        content = {key: _original(listing, name) for key, name in _ORIGINAL.items()}
        return _plan(listing.place, content)
    place = listing.files[_NPZ].name
    try:
        with np.load(io.BytesIO(listing.read(_NPZ)), allow_pickle=False) as file:
            content = {key: file[key] for key in _ORIGINAL}
    # ValueError: an array of objects, which would have to be unpickled.
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{place} is no MNIST file or damaged ({error})") from error
    return _plan(place, content)


def _original(listing: Listing, name: str) -> np.ndarray:
    """Read the original format: 0, 0, type, dimensions, each length as 4 bytes, then the data."""
    name = name if name in listing.files else f"{name}.gz"
    data = listing.read(name)
    place = listing.files[name].name
    try:
        data = gzip.decompress(data) if name.endswith(".gz") else data
        shape = np.frombuffer(data, ">u4", count=data[3], offset=4)
        if data[:3] != b"\0\0\x08":
            raise ValueError(f"begins with {data[:3]!r}, not with bytes of type 8")
        return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)
    except (ValueError, IndexError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{place} is no MNIST file or damaged ({error})") from error


def _plan(place: str, content: dict[str, np.ndarray]) -> Plan:
    train, test = (
        _source.arrays(place, content[f"x_{key}"][..., None], content[f"y_{key}"], len(_NAMES))
        for key in ("train", "test")
    )
    return Plan(train, test, _NAMES, _NAMES)
