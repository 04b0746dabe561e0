"""Files of models and weights, and downloads: found, read, or refused by name."""

import importlib
import io
import pathlib
import stat
import zipfile
from typing import NamedTuple

from zoo import _blocks, _families, _shipped

SUFFIXES = (".keras", ".weights.h5", ".safetensors")

# What is told of files that are there and are not files.
NOT_FILES = {
    stat.S_IFDIR: "is a folder, not a file",
    stat.S_IFIFO: "is a pipe, not a file",
    stat.S_IFSOCK: "is a socket, not a file",
    stat.S_IFCHR: "is a device, not a file",
    stat.S_IFBLK: "is a device, not a file",
}


class MissingPackage(ValueError, ImportError):
    """A package is needed that is not installed; it is the caller's wish that needs it."""


def load(path):
    """Return the model saved in a `.keras` file; ValueError names a file that cannot be read."""
    import keras

    path = _existing(path, (".keras",), fix="zoo.build(name, weights=path) reads weights alone.")
    _check_archive(path)
    try:
        return keras.saving.load_model(path, custom_objects=_blocks.host_objects())
    except Exception as error:  # Keras raises many kinds, from zipfile, json, h5py and its own
        raise ValueError(f"{path} cannot be loaded as a Keras model: {error}") from error


class Found(NamedTuple):
    """What `weights` of `build` means: a file, or else a download."""

    label: str
    path: pathlib.Path | None


class Source(NamedTuple):
    """Tensors of a file, by layer and number if Keras saved it, else under reference names."""

    label: str
    saved: bool
    tensors: dict
    sized: frozenset[str] = frozenset()
    """Layers whose shapes go by the size of the images, fresh where they do not fit."""


def layer_of(name: str) -> str:
    """Return the layer in the name of a tensor."""
    return name.rpartition(".")[0]


def find(weights, name: str) -> Found:
    """Find what `weights` of `build` means for a model; ValueError if there is no such thing."""
    label, known = str(weights), _families.info(name).weights
    if label == "imagenet" and label in known:
        return Found(label, None)
    if label in known and _shipped.path(name, label).is_file():
        _package("safetensors", label)
        return Found(label, _shipped.path(name, label))
    if label == "timm":
        label = next((x for x in known if x.startswith("timm:")), label)
        if label == "timm":
            raise ValueError(f"weights='timm': timm has none for {name}; give a file or None.")
    if label.startswith("timm:"):
        for package in ("huggingface_hub", "safetensors"):
            _package(package, label)
        return Found(label, None)
    choices = ", ".join(repr(x) for x in (*known, "timm:<name>"))
    path = _existing(weights, SUFFIXES, fix=f"Or give {choices} or None.")
    if path.suffix == ".safetensors":
        _package("safetensors", label)
    return Found(label, path)


def read(found: Found, name: str) -> Source:
    """Read the weights that were found for a model, downloading them where they are no file."""
    if found.path is None and found.label == "imagenet":
        tensors = _keras_weights(name)
        dense = frozenset(layer_of(key) for key, tensor in tensors.items() if tensor.ndim == 2)
        return Source(found.label, True, tensors, dense)
    path = found.path or _download(found.label.removeprefix("timm:"))
    saved = path.suffix != ".safetensors"
    return Source(found.label, saved, _read_saved(path) if saved else _read_safetensors(path))


def _package(package: str, label: str):
    """Import what reads weights."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingPackage(
            f"weights={label!r} needs {package}: pip install 'smallzoo[weights]'"
        ) from error


def _existing(path, suffixes: tuple[str, ...], fix: str) -> pathlib.Path:
    try:
        path = pathlib.Path(path).expanduser()
    except (TypeError, RuntimeError) as error:  # no path; the home of no user
        raise ValueError(f"{path!r} is not the path of a file ({error}). {fix}") from error
    if not path.name.endswith(suffixes):
        raise ValueError(f"{str(path)!r} must end in {' or '.join(suffixes)}. {fix}")
    try:
        status = path.stat()
        other = NOT_FILES.get(stat.S_IFMT(status.st_mode))
        if other is None:  # a pipe would wait here
            path.open("rb").close()
    except FileNotFoundError as error:
        raise ValueError(f"there is no file {path}. {fix}") from error
    except (OSError, ValueError) as error:  # a loop of links, no permission; a null character
        raise ValueError(f"{str(path)!r} cannot be opened: {error}. {fix}") from error
    if other:
        raise ValueError(f"{path} {other}. {fix}")
    if status.st_size == 0:
        raise ValueError(f"{path} is empty: copy or download it again. {fix}")
    return path


def _check_archive(path: pathlib.Path) -> None:
    """Raise ValueError where the directory of a `.keras` file, which is its end, is missing."""
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"{path} is damaged or cut off: the end of its archive is missing. Copy or download it "
            "again."
        )


def _read_saved(path: pathlib.Path) -> dict:
    """Read a file that Keras saved, by the names of its layers.

    Keras' own loader goes by the order of layers: it takes files of networks that are laid out
    alike, and warns of weights that it did read where the files differ in dropout alone.
    """
    import h5py

    if path.suffix == ".keras":
        _check_archive(path)
    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                file = h5py.File(io.BytesIO(archive.read("model.weights.h5")))
        else:
            file = h5py.File(path)
        with file:
            saved = [layer["vars"] for layer in file["layers"].values() if "vars" in layer]
            return {f"{x.attrs['name']}.{i}": x[i][()] for x in saved for i in x}
    except Exception as error:  # of many kinds, from zipfile, zlib and h5py
        raise ValueError(
            f"{path} cannot be read as weights that Keras saved; it is of another kind, damaged or "
            f"cut off: {error}"
        ) from error


def _read_safetensors(path: pathlib.Path) -> dict:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a safetensors file, or is cut off: {error}") from error


def _keras_weights(name: str) -> dict:
    architecture, spec = _families.find(name)
    try:
        return architecture.pretrained(spec)
    except Exception as error:  # of no kind of its own where the network or the server fails
        raise ValueError(
            f"weights='imagenet': keras.applications has not got its weights of {name} ({error}): "
            "check the connection, or give the path of a .keras or .weights.h5 file."
        ) from error


def _download(name: str) -> pathlib.Path:
    from huggingface_hub import hf_hub_download

    try:
        return pathlib.Path(hf_hub_download(f"timm/{name}", "model.safetensors"))
    except Exception as error:  # of the hub and of its HTTP client: no such model, no connection
        raise ValueError(
            f"weights='timm:{name}' cannot be downloaded ({error}): check the name and the "
            "connection, or give the path of its model.safetensors."
        ) from error
