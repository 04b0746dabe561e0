"""Files that are either whole or absent: write beside the target, then rename.

What cannot be written is a `ValueError` that names the path, the reason and the fix.
"""

import contextlib
import errno
import functools
import hashlib
import itertools
import json
import os
import pathlib
import platform
import re
import shutil
from collections.abc import Iterator

# .HOST-PROCESS-NUMBER.part.NAME: what is written until it gets its name.
_PART = re.compile(r"\.([0-9a-f]{8})-(\d{1,9})-\d+\.part\.(.+)", re.DOTALL)
_COUNT = itertools.count()
# Names of the parts that this process is writing.
_WRITING: set[str] = set()

_FULL = (errno.ENOSPC, errno.EDQUOT)
_IN_THE_WAY = "a file stands where a folder is needed: remove it, or choose another place"
_FIXES = {
    **dict.fromkeys(_FULL, "make room there, or choose another place"),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), _IN_THE_WAY),
    errno.EISDIR: "it is a folder: give a file's name, or remove it",
    errno.ENOTEMPTY: "it is there already: remove it, or choose another name",
    errno.ENAMETOOLONG: "choose a shorter name",
}


@contextlib.contextmanager
def explained(
    path: pathlib.Path, fix: str | None = None, part: pathlib.Path | None = None
) -> Iterator[None]:
    """Turn the system's refusals to write `path` into a `ValueError` with the fix.

    `part` is what the block writes in its stead. Errors that name a file elsewhere, such as one
    that the block reads, pass as they are.
    """
    try:
        yield
    except OSError as error:
        culprit = error.filename
        if isinstance(culprit, str | bytes | os.PathLike):
            culprit = pathlib.Path(os.fsdecode(culprit))
            ours = [place for place in (path, part) if place is not None]
            if not any(p.is_relative_to(culprit) or culprit.is_relative_to(p) for p in ours):
                raise
        reason = error.strerror or str(error)
        if isinstance(culprit, pathlib.Path) and culprit in path.parents:
            reason += f": {culprit}"
        what = f"the disk of {path} is full" if error.errno in _FULL else f"cannot write to {path}"
        fix = fix or _FIXES.get(error.errno, "choose a place that you may write to")
        raise ValueError(f"{what} ({reason}): {fix}") from error


def cache_folder(cache_dir: str | pathlib.Path | None = None) -> pathlib.Path:
    """Return where caches lie: `cache_dir`, else $SMALLZOO_CACHE, else ~/.cache/smallzoo."""
    place = cache_dir or os.environ.get("SMALLZOO_CACHE") or "~/.cache/smallzoo"
    return pathlib.Path(os.path.expanduser(place))


def check_writable(path: pathlib.Path) -> pathlib.Path:
    """Raise what `atomic` would, as far as it shows before the work is done; return `path`."""
    path = pathlib.Path(path)
    with explained(path):
        if path.is_dir():
            raise _error(errno.EISDIR, path)
        place = next(parent for parent in path.parents if parent.exists())
        if not place.is_dir():
            raise _error(errno.ENOTDIR, place)
        if not os.access(place, os.W_OK | os.X_OK):
            raise _error(errno.EACCES, place)
    return path


@contextlib.contextmanager
def atomic(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield a temporary path beside `path` that replaces it when the block ends without error.

    The temporary name keeps the suffix, since Keras and NumPy choose the format by it.
    """
    with _beside(path) as part:
        yield part
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.replace(part, path)


@contextlib.contextmanager
def atomic_folder(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield a new folder beside `path` that gets that name when the block ends without error."""
    with _beside(path) as part:
        part.mkdir()
        yield part
        os.rename(part, path)


def sweep(folder: pathlib.Path, name: str | None = None) -> None:
    """Remove what killed processes of this host have left half-written in `folder`.

    Of the target `name` only, where that is given. What a live process writes stays, and so
    does what comes from another host, of whose processes nothing is known here.
    """
    for entry in os.listdir(folder):
        found = _PART.fullmatch(entry)
        if found and found[1] == _host() and name in (None, found[3]):
            if _is_dead(int(found[2]), entry):
                _remove(pathlib.Path(folder) / entry)


def write_text(path: pathlib.Path, text: str) -> None:
    """Write a whole text file atomically."""
    with atomic(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: pathlib.Path, content: object) -> None:
    """Write JSON atomically, in a form that reads well in a diff."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: pathlib.Path) -> dict:
    """Read JSON; a damaged file is an error that names it."""
    try:
        return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} is missing: is {path.parent} a finished run folder?") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None


@contextlib.contextmanager
def _beside(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield a new name beside `path`; what still has it in the end is removed."""
    path = pathlib.Path(path)
    part = path.with_name(f".{_host()}-{os.getpid()}-{next(_COUNT)}.part.{path.name}")
    _WRITING.add(part.name)
    try:
        with explained(path, part=part):
            path.parent.mkdir(parents=True, exist_ok=True)
            sweep(path.parent, path.name)
            yield part
    finally:
        _remove(part)
        _WRITING.discard(part.name)


@functools.cache
def _host() -> str:
    """Where the number of a process means something: this host, and in it this container."""
    space = ""
    with contextlib.suppress(OSError):  # a system without /proc has no such containers
        space = os.readlink("/proc/self/ns/pid")
    return hashlib.blake2b(f"{platform.node()} {space}".encode(), digest_size=4).hexdigest()


def _is_dead(process: int, entry: str) -> bool:
    if process == os.getpid():
        # A predecessor may have had our number.
        return entry not in _WRITING
    if os.name == "nt":  # there, signal 0 is not a question
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:  # it lives and is another user's
        return False
    return False


def _remove(part: pathlib.Path) -> None:
    """Remove a file or folder; one that resists is hidden and does no harm."""
    if os.path.isdir(part):
        shutil.rmtree(part, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            part.unlink()


def _error(number: int, path: pathlib.Path) -> OSError:
    return OSError(number, os.strerror(number), str(path))
