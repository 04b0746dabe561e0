"""Archives, read member by member; their names are keys and never become paths.

What is read is zip, tar, and tar under gzip, xz or bzip2, whole or in parts of which each is an
archive (`NAME.part0.tar.xz`, `NAME.part1.tar.xz`, ...).
"""

import bz2
import errno
import gzip
import lzma
import os
import pathlib
import re
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple

_NAME = re.compile(r"(.+?)(?:\.part(\d+))?\.(zip|tar|tgz|txz|tbz2|tar\.gz|tar\.xz|tar\.bz2)")
# By the last letters of the suffix.
_OPENERS = {"gz": gzip.open, "xz": lzma.open, "z2": bz2.open}
# What file managers leave behind is no part of a data set; nor are names that begin with a dot.
_LITTER = {"__MACOSX", "Thumbs.db", "desktop.ini"}
_DAMAGE = (
    EOFError,
    NotImplementedError,  # a compression inside a zip that Python does not know
    RuntimeError,  # a zip whose directory and entries disagree on encryption
    OSError,  # without a number, as gzip and bz2 raise it, or of a place outside the file
    lzma.LZMAError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


class Member(NamedTuple):
    """A file that now lies at `offset` of the spool, or a folder (`size` is None).

    `position` is how far the archive has been read, in its own bytes.
    """

    key: str
    offset: int
    size: int | None
    position: int


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name is left out everywhere."""
    return name.startswith(".") or name in _LITTER


def stem(path: pathlib.Path) -> str | None:
    """Return an archive's name without part and suffix, None for any other file."""
    match = _NAME.fullmatch(path.name)
    return match[1] if match else None


def parts(path: pathlib.Path) -> tuple[pathlib.Path, ...]:
    """Return the archive at `path`, or, if that is a part, all parts of it in their order."""
    whole, number, suffix = _NAME.fullmatch(path.name).groups()
    if number is None:
        return (path,)
    found = {}
    for other in path.parent.iterdir():
        match = _NAME.fullmatch(other.name)
        if match and match[1] == whole and match[2] and match[3] == suffix and other.is_file():
            found[int(match[2])] = other
    if missing := set(range(0 if 0 in found else 1, max(found))) - set(found):
        names = ", ".join(f"{whole}.part{number}.{suffix}" for number in sorted(missing))
        raise ValueError(f"{path.parent} has parts of {whole}, but not {names}")
    return tuple(found[number] for number in sorted(found))


def pour(path: pathlib.Path, spool: IO[bytes]) -> Iterator[Member]:
    """Append the content of an archive's files to `spool`, one after the other.

    Raises `ValueError` for a damaged archive, and for names outside the archive's own folder.
    """
    try:
        file = open(path, "rb")
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from error
    with file:
        members = _zip(file) if path.suffix == ".zip" else _tar(file, path)
        try:
            for name, content in members:
                key = _checked(name, path)
                if any(is_litter(part) for part in key.split("/")):
                    continue
                start, size = spool.tell(), None
                if content is not None:
                    shutil.copyfileobj(content, spool)
                    size = spool.tell() - start
                yield Member(key, start, size, file.tell())
        except _DAMAGE as error:
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise
            raise ValueError(
                f"{path} is damaged or incomplete ({error}): download or copy it again"
            ) from error


def _zip(file: IO[bytes]) -> Iterator[tuple[str, IO[bytes] | None]]:
    with zipfile.ZipFile(file) as members:
        for info in members.infolist():
            if info.flag_bits & 1:
                raise ValueError(f"{file.name} is encrypted: unpack it and give its folder")
            if info.is_dir():
                yield info.filename, None
            else:
                with members.open(info) as content:
                    yield info.filename, content


def _tar(file: IO[bytes], path: pathlib.Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    # tarfile takes a stream that ends at a header for a whole one. A decompressor of our own
    # notices that its stream is cut; a plain file must end in zeros.
    if path.suffix == ".tar":
        stream = file
        file.seek(-min(512, path.stat().st_size), os.SEEK_END)
        if any(file.read()):
            raise EOFError("it has no end mark")
        file.seek(0)
    else:
        stream = _OPENERS[path.name[-2:]](file)
    with tarfile.open(fileobj=stream, mode="r|") as members:
        for info in members:
            if info.isdir():
                yield info.name, None
            elif info.isreg():
                yield info.name, members.extractfile(info)
            else:
                raise ValueError(
                    f"{path}: {info.name} is a link or a device, not a file; pack the data set "
                    f"again with its files (tar --dereference --hard-dereference)"
                )


def _checked(name: str, path: pathlib.Path) -> str:
    """Return a member's name without a leading `./`, or refuse it."""
    steps = [step for step in name.split("/") if step not in ("", ".")]
    if name.startswith("/") or ".." in steps or "\\" in name or re.match("[A-Za-z]:", name):
        raise ValueError(f"{path} holds the unsafe name {name!r}, outside its own folder: refused")
    return "/".join(steps)
