"""The files of a data set, in a folder or in archives, read alike."""

import dataclasses
import hashlib
import os
import pathlib
import stat
from collections.abc import Callable
from typing import NamedTuple

from experiments.datasets import _archive


class Extent(NamedTuple):
    """Where the bytes of one file lie; `name` is what an error calls it."""

    name: str
    file: str
    offset: int
    size: int

    def read(self) -> bytes:
        """Return the bytes; an error names the file as the user knows it."""
        try:
            with open(self.file, "rb") as file:
                file.seek(self.offset)
                data = file.read(self.size)
        except OSError as error:
            raise ValueError(f"{self.name} cannot be read ({error.strerror})") from error
        if len(data) != self.size:
            raise ValueError(f"{self.name}: {len(data)} bytes where {self.size} were listed")
        return data


class Listing(NamedTuple):
    """Files and folders by their path inside the data set, `/` between the parts."""

    place: str
    files: dict[str, Extent]
    folders: set[str]

    def read(self, path: str) -> bytes:
        """Return a file's bytes; a file that is not there is an error naming it."""
        if path not in self.files:
            raise ValueError(f"{self.place} has no {path}: is the data set complete?")
        return self.files[path].read()

    def lines(self, path: str) -> list[str]:
        """Return the lines of a text file, without empty ones at its end."""
        try:
            return self.read(path).decode().rstrip().splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.files[path].name} is not a text file: {error}") from None


@dataclasses.dataclass(frozen=True)
class Folder:
    """A folder; of its entries those in `only`, where that is given."""

    root: pathlib.Path
    only: tuple[str, ...] = ()

    def __str__(self) -> str:
        return str(self.root)

    def fingerprint(self) -> str:
        """Digest of every path, size and time of change (0.4 s for 110,000 files)."""
        return _digest([str(self.root.resolve()), *self._walk("")])

    def open(self, spool: pathlib.Path, advance: Callable[[int, int], None]) -> Listing:
        """List the folder; nothing is copied."""
        listing = Listing(str(self), {}, set())
        for path, size, _ in self._walk(""):
            if size is None:
                listing.folders.add(path)
            else:
                name = str(self.root / path)
                listing.files[path] = Extent(name, name, 0, size)
        advance(1, 1)
        return listing

    def _walk(
        self, under: str, around: frozenset[tuple[int, int]] = frozenset()
    ) -> list[tuple[str, int | None, int]]:
        """(path, bytes or None for a folder, time of change in ns), in a fixed order.

        `around` identifies the folders that `under` lies in: a link to one of them has no end.
        """
        place = self.root / under
        try:
            status = place.stat()
            with os.scandir(place) as scan:
                entries = sorted(
                    (e for e in scan if not _archive.is_litter(e.name)), key=lambda e: e.name
                )
        except OSError as error:
            raise ValueError(f"{place} cannot be read ({error.strerror})") from error
        here = (status.st_dev, status.st_ino)
        if here in around:
            raise ValueError(f"{place} is a link to a folder that it lies in: remove the link")
        found, below = [], []
        for entry in entries:
            path = under + entry.name
            if self.only and not under and entry.name not in self.only:
                continue
            try:
                status = entry.stat()
            except FileNotFoundError:
                raise ValueError(f"{entry.path} is a link to a file that is gone") from None
            except OSError as error:  # a link to itself among them
                raise ValueError(f"{entry.path} cannot be read ({error.strerror})") from error
            if stat.S_ISDIR(status.st_mode):
                found.append((path, None, 0))
                below += self._walk(path + "/", around | {here})
            elif stat.S_ISREG(status.st_mode):
                found.append((path, status.st_size, status.st_mtime_ns))
            else:
                raise ValueError(
                    f"{entry.path} is a pipe, a socket or a device, not a file: remove it"
                )
        return found + below


@dataclasses.dataclass(frozen=True)
class Archive:
    """One archive, or all parts of one; never unpacked, only poured into one file."""

    paths: tuple[pathlib.Path, ...]

    def __str__(self) -> str:
        others = f" and {len(self.paths) - 1} more" if len(self.paths) > 1 else ""
        return f"{self.paths[0]}{others}"

    def fingerprint(self) -> str:
        """Digest of the archives' paths, sizes and times of change; they stay closed."""
        status = [(str(path.resolve()), path.stat()) for path in self.paths]
        return _digest([(path, s.st_size, s.st_mtime_ns) for path, s in status])

    def open(self, spool: pathlib.Path, advance: Callable[[int, int], None]) -> Listing:
        """Pour every file into `spool`; `advance` hears how many bytes of all are read."""
        listing = Listing(str(self), {}, set())
        total, before = sum(path.stat().st_size for path in self.paths), 0
        with open(spool, "ab") as out:  # behind what other archives have poured
            for path in self.paths:
                for number, member in enumerate(_archive.pour(path, out)):
                    _enter(listing, path, spool, member)
                    # Often enough for a progress bar, and no cost beside the copying.
                    if number % 256 == 0:
                        advance(before + member.position, total)
                before += path.stat().st_size
        advance(total, total)
        return _without_common_folder(listing)


@dataclasses.dataclass(frozen=True)
class Builtin:
    """A data set that a library brings or downloads by a hash: `version` says which."""

    version: str

    def __str__(self) -> str:
        return self.version

    def fingerprint(self) -> str:
        """Return the version: the content is fixed by it."""
        return self.version

    def open(self, spool: pathlib.Path, advance: Callable[[int, int], None]) -> Listing:
        """Return an empty listing: there are no files of ours."""
        advance(1, 1)
        return Listing(str(self), {}, set())


@dataclasses.dataclass(frozen=True)
class Several:
    """Trees that make one data set together, each with the folder that it is put under, or ""."""

    trees: tuple[tuple[str, "Folder | Archive"], ...]

    def __str__(self) -> str:
        (_, first), *others = self.trees
        return f"{first} with {', '.join(str(tree) for _, tree in others)}"

    def fingerprint(self) -> str:
        """Digest of those of the trees."""
        return _digest([(under, tree.fingerprint()) for under, tree in self.trees])

    def open(self, spool: pathlib.Path, advance: Callable[[int, int], None]) -> Listing:
        """List all trees as one; archives are poured into the one spool, behind each other."""
        listing, count = Listing(str(self), {}, set()), len(self.trees)
        for number, (under, tree) in enumerate(self.trees):

            def told(done: int, total: int, number: int = number) -> None:
                # In thousandths of each tree.
                advance(1000 * number + 1000 * done // max(total, 1), 1000 * count)

            found = tree.open(spool, told)
            for path, extent in found.files.items():
                if f"{under}{path}" in listing.files:
                    raise ValueError(f"{extent.name} is there twice: remove one of the two")
                listing.files[f"{under}{path}"] = extent
            listing.folders.update(f"{under}{path}" for path in found.folders)
        advance(1000 * count, 1000 * count)
        return listing


Tree = Folder | Archive | Several | Builtin


def _enter(
    listing: Listing, path: pathlib.Path, spool: pathlib.Path, member: _archive.Member
) -> None:
    key, offset, size, _ = member
    if size is None:
        listing.folders.add(key)
    elif key in listing.files:
        raise ValueError(f"{path} holds {key}, which {listing.files[key].name} is already")
    else:
        listing.files[key] = Extent(f"{path}: {key}", str(spool), offset, size)


def _without_common_folder(listing: Listing) -> Listing:
    """Drop the folders that hold everything else, such as `tiny-imagenet-200/`."""
    files, folders = listing.files, listing.folders
    while files and len(tops := {path.partition("/")[0] for path in files}) == 1:
        top = tops.pop() + "/"
        if not all(path.startswith(top) for path in files):
            break
        files = {path.removeprefix(top): extent for path, extent in files.items()}
        folders = {path.removeprefix(top) for path in folders if path.startswith(top)} - {""}
    return Listing(listing.place, files, folders)


def _digest(content: list) -> str:
    return hashlib.sha256(repr(content).encode()).hexdigest()
