"""Decoded data sets as memory-mapped arrays, whole or absent.

One folder per data set, named by a digest of all that decides its content: what was read, size,
filter and version of this reader. It is filled under another name and renamed when complete:
a killed decode leaves nothing that `load` would take, and of two at once the first one counts.

Images of one size that are to be larger are kept as they are stored, for all sizes together, and
enlarged when they are read: 64 to 224 pixels would be twelve times the bytes.
"""

import collections
import contextlib
import dataclasses
import errno
import functools
import hashlib
import os
import pathlib
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator

import numpy as np

from experiments import _files
from experiments.datasets import _boxes, _dataset, _decode, _left_out
from experiments.datasets._dataset import Dataset, Enlarged, Origin, Split
from experiments.datasets._decode import Target
from experiments.datasets._source import Plan, Source

try:
    import fcntl
except ImportError:  # Windows: folders of killed processes stay
    fcntl = None

Progress = Callable[[str, int, int], None]

# Raise it when decoding, the order of images or what is kept of them changes: old arrays are then
# made again.
_VERSION = 3
_SPLITS = ("train", "validation")
# Held by whoever fills a folder; the folder of a killed process is found by its free lock.
_LOCK = "lock"
# A folder this young may belong to a process that has not locked it yet.
_YOUNG_SECONDS = 10
_ELSEWHERE = "give cache_dir (--cache-dir), or set SMALLZOO_CACHE, to keep decoded images elsewhere"


def folder(cache_dir: str | pathlib.Path | None = None) -> pathlib.Path:
    """Return where decoded images are kept."""
    return _files.cache_folder(cache_dir) / "datasets"


def fetch(
    name: str, source: Source, target: Target, parent: pathlib.Path, progress: Progress | None
) -> Dataset:
    """Return the data set from the cache in `parent`, filling it first if need be."""
    if not source.keep:
        # Made before a bar could be read: nothing is told.
        with (
            _files.explained(pathlib.Path(tempfile.gettempdir()), "set TMPDIR to another folder"),
            tempfile.TemporaryDirectory() as part,
        ):
            _build(name, source, target, pathlib.Path(part), None)
            return _enlarged(_open(pathlib.Path(part), keep=False), target)
    fingerprint = source.tree.fingerprint()

    def place(of: Target) -> pathlib.Path:
        key = repr([_VERSION, fingerprint, *of.key, *source.variant])
        return parent / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"

    with _files.explained(parent, _ELSEWHERE):
        if (stored := target.stored()) and place(stored).exists():
            dataset = _open(place(stored), keep=True)
            if target.enlarges(dataset.image_shape):
                return _enlarged(dataset, target)
        final = place(target)
        if not final.exists():
            with _staging(parent, name) as part:
                final = place(_build(name, source, target, part, progress))
                try:
                    os.rename(part, final)
                except OSError:
                    # Another process was faster, and has written the same.
                    if not final.exists():
                        raise
    return _enlarged(_open(final, keep=True), target)


def size(place: pathlib.Path) -> int:
    """Return the bytes of a data set's folder."""
    return sum(path.stat().st_size for path in place.iterdir())


@contextlib.contextmanager
def _staging(parent: pathlib.Path, name: str) -> Iterator[pathlib.Path]:
    """Yield a new folder in `parent`, which is gone in the end unless it was renamed."""
    part = parent / f".{name}-{uuid.uuid4().hex}.part"
    part.mkdir(parents=True)
    try:
        with _locked(part / _LOCK):
            for other in parent.glob(".*.part"):
                if other != part and _is_abandoned(other):
                    shutil.rmtree(other, ignore_errors=True)
            yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextlib.contextmanager
def _locked(path: pathlib.Path) -> Iterator[None]:
    """Hold a lock that the system drops when this process ends, however it ends."""
    if fcntl is None:
        yield
        return
    with open(path, "w") as file:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _is_abandoned(part: pathlib.Path) -> bool:
    """Whether the process that was filling `part` is gone."""
    if fcntl is None:
        return False
    try:
        if time.time() - part.stat().st_mtime < _YOUNG_SECONDS:
            return False
        with open(part / _LOCK) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except OSError:  # locked, or another process has just removed or finished it
        return False


def _build(
    name: str, source: Source, target: Target, part: pathlib.Path, progress: Progress | None
) -> Target:
    """Read and decode the whole data set into the folder `part`; return to what it was decoded."""

    def advance(what: str) -> Callable[[int, int], None]:
        return functools.partial(progress or _silent, f"{name}: {what}")

    spool = part / "spool"
    plan = source.plan(source.tree.open(spool, advance("reading")))
    _check_classes(source, plan)
    _check_boxes(name, source, plan, target)
    target, kinds, left_out = _decode_all(plan, target, part, advance)
    usual = {"array", "grayscale" if target.channels == 1 else "RGB"}
    for temporary in (spool, part / _LOCK):
        temporary.unlink(missing_ok=True)
    content = {
        "name": name,
        "read": str(source.tree),
        "converted": {kind: n for kind, n in kinds.items() if kind not in usual},
        "notes": [*target.told(), *plan.notes, *_missing(plan), *left_out],
        "class_names": list(plan.class_names),
        "class_ids": list(plan.class_ids),
        "digest": {key: _dataset.digest(_open_split(part, key, keep=True)) for key in _SPLITS},
    }
    _files.write_json(part / "dataset.json", content)
    return target


def _decode_all(
    plan: Plan, target: Target, part: pathlib.Path, advance: Callable
) -> tuple[Target, collections.Counter[str], list[str]]:
    """Write both splits; return their target, how many images of each kind, what was left out.

    They stay as they are stored where all have one size that is to become no smaller.
    """
    if stored := target.stored():
        first = _decode.first(plan.train, stored.of("train"))
        if target.enlarges(first[1]):
            with contextlib.suppress(_decode.Varying):
                return stored, *_write(plan, stored, first, part, advance, or_give_up=True)
    first = _decode.first(plan.train, target.of("train"))
    return target, *_write(plan, target, first, part, advance)


def _write(
    plan: Plan,
    target: Target,
    first: tuple[str, tuple[int, int, int]],
    part: pathlib.Path,
    advance: Callable,
    **options: bool,
) -> tuple[collections.Counter[str], list[str]]:
    splits = {key: getattr(plan, key) for key in _SPLITS}
    _check_room(part, sum(len(s.labels) for s in splits.values()) * int(np.prod(first[1])))
    kinds, notes = collections.Counter(), []
    for key, split in splits.items():
        file, told = part / f"{key}_images.npy", advance(f"decoding {key}")
        report = _decode.write(split, file, target.of(key), first, told, **options)
        kinds += report.kinds
        if report.unread:
            split, sizes = _left_out.apply(file, split, plan.class_names, report)
            report = report._replace(sizes=sizes)
            notes += _left_out.notes(key, report)
        np.save(part / f"{key}_labels.npy", np.asarray(split.labels, np.int64))
        if split.boxes is not None:
            how = {"crop": target.crops(key), "pad": target.background is not None}
            boxes = _boxes.follow(split.boxes, report.sizes, first[1], **how)
            np.save(part / f"{key}_boxes.npy", boxes)
    return kinds, notes


def _silent(what: str, done: int, total: int) -> None:
    pass


def _check_classes(source: Source, plan: Plan) -> None:
    if len(plan.class_names) < 2:
        raise ValueError(
            f"{source.tree} has {len(plan.class_names)} class ({', '.join(plan.class_names)}): a "
            f"classifier tells two or more apart; give data_dir (--data-dir) a folder with more"
        )


def _check_boxes(name: str, source: Source, plan: Plan, target: Target) -> None:
    """Raise `ValueError` where images are to be cropped to boxes that there are not."""
    for key in _SPLITS:
        if target.crops(key) and getattr(plan, key).boxes is None:
            raise ValueError(
                f"crop (--crop) {target.crop!r}: the {key} images of {name} in {source.tree} have "
                f"no boxes; leave it out"
            )


def _missing(plan: Plan) -> Iterator[str]:
    """Say which classes have no images, as a part of a public data set may leave some."""
    for key, part in (("training", plan.train), ("validation", plan.validation)):
        absent = np.setdiff1d(np.arange(len(plan.class_names)), part.labels)
        if len(absent):
            more = ", ..." if len(absent) > 5 else ""
            named = ", ".join(plan.class_names[label] for label in absent[:5])
            yield f"no {key} images of {len(absent)} classes: {named}{more}"


def _enlarged(dataset: Dataset, target: Target) -> Dataset:
    """Return the data set at the target's size, where its images are stored smaller."""
    shape = dataset.image_shape
    if target.size is None or shape[:2] == (target.size, target.size):
        return dataset
    splits, digests = {}, {}
    for key in _SPLITS:
        split = getattr(dataset, key)
        images = Enlarged(split.images, target.size, target.resample)
        boxes = split.boxes
        if boxes is not None:
            boxes = _boxes.scaled(boxes, np.array([shape[1], shape[0]]), images.shape[1:])
        splits[key] = Split(images, split.labels, boxes)
        digests[key] = _dataset.digest(splits[key], dataset.digest[key])
    return dataclasses.replace(dataset, **splits, digest=digests)


def _open(place: pathlib.Path, keep: bool) -> Dataset:
    """Open a finished folder; without `keep`, all of it goes to memory."""
    try:
        content = _files.read_json(place / "dataset.json")
        train, validation = (_open_split(place, key, keep) for key in _SPLITS)
        names = [tuple(content[key]) for key in ("class_names", "class_ids")]
        told = [content[key] for key in ("name", "read", "converted", "notes", "digest")]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"the decoded images in {place} are damaged ({error}): delete that folder, and they "
            f"are made again"
        ) from error
    name, read, converted, notes, digest = told
    origin = Origin(read, place if keep else None, converted, tuple(notes))
    return Dataset(name, train, validation, *names, origin, digest)


def _open_split(place: pathlib.Path, key: str, keep: bool) -> Split:
    images = np.load(place / f"{key}_images.npy", mmap_mode="r" if keep else None)
    boxes = place / f"{key}_boxes.npy"
    return Split(
        # A plain view: one image costs ten times as much through NumPy's memmap class.
        images.view(np.ndarray),
        np.load(place / f"{key}_labels.npy"),
        np.load(boxes) if boxes.exists() else None,
    )


def _check_room(part: pathlib.Path, needed: int) -> None:
    free = shutil.disk_usage(part).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{needed / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free")
