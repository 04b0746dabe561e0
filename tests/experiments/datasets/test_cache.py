"""The cache of decoded images: whole or absent, and made again when its source changes."""

import errno
import os
import pathlib
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest
from PIL import Image

from experiments.datasets import _cache, _decode


@pytest.fixture
def reads(monkeypatch) -> list:
    """Grows by one with each decode."""
    calls, build = [], _cache._build
    monkeypatch.setattr(_cache, "_build", lambda *a: calls.append(a[0]) or build(*a))
    return calls


def test_cache_serves_the_second_call(tiny, reads, cache, load):
    first, second = load("tiny_imagenet", tiny), load("tiny_imagenet", tiny)
    assert len(reads) == 1
    assert [path.name for path in cache.iterdir()] == [second.origin.cache.name]
    assert isinstance(second.train.images.base, np.memmap)
    assert not second.train.images.flags.writeable
    for key in ("images", "labels", "boxes"):
        assert np.array_equal(getattr(first.train, key), getattr(second.train, key))
    assert first.origin == second.origin


def test_cache_dir_comes_before_the_environment(tiny, tmp_path, cache, load):
    assert (
        tmp_path / "mine"
        in load("tiny_imagenet", tiny, cache_dir=tmp_path / "mine").origin.cache.parents
    )
    assert not cache.exists()


CHANGES = {
    "content": lambda r: Image.new("RGB", (8, 8)).save(r / "train/n001/images/n001_0.JPEG"),
    "time": lambda r: os.utime(r / "words.txt", (1, 1)),
    "added": lambda r: (r / "val/extra.txt").touch(),
    "empty folder": lambda r: (r / "train/n009").mkdir(),
}


@pytest.mark.parametrize("how", CHANGES)
def test_changed_folder_is_read_again(tiny, reads, how, load):
    load("tiny_imagenet", tiny)
    CHANGES[how](tiny)
    try:
        load("tiny_imagenet", tiny)
    except ValueError:
        assert how == "added"  # a file outside the layout, found only by reading again
    assert len(reads) == 2


def test_changed_archive_is_read_again(tiny, reads, load, pack):
    (path,) = pack(tiny, "zip").iterdir()
    load("tiny_imagenet", path)
    load("tiny_imagenet", path.parent)
    assert len(reads) == 1
    os.utime(path, (1, 1))
    load("tiny_imagenet", path)
    assert len(reads) == 2


def test_size_and_filter_are_part_of_the_key(tiny, reads, load):
    load("tiny_imagenet", tiny)
    load("tiny_imagenet", tiny, resample="nearest")  # decides nothing without a size
    assert len(reads) == 1
    load("tiny_imagenet", tiny, size=7)
    load("tiny_imagenet", tiny, size=7, resample="nearest")
    assert len(reads) == 3


def test_failed_decode_leaves_nothing(tiny, monkeypatch, cache, load, check_tiny):
    monkeypatch.setattr(_decode, "_TASK_IMAGES", 1)

    def interrupt(start, *rest, block=_decode._block):
        if start == 5:
            raise KeyboardInterrupt
        return block(start, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(_decode, "_block", interrupt)
        with pytest.raises(KeyboardInterrupt):
            load("tiny_imagenet", tiny)
    assert not list(cache.iterdir())
    check_tiny(load("tiny_imagenet", tiny), tiny)


WAITING = """
import sys
from experiments import datasets
from experiments.datasets import _decode
_decode._TASK_IMAGES, block = 1, _decode._block
def wait(start, *task):
    if start == 5:
        print("decoding", flush=True)
        sys.stdin.readline()
    return block(start, *task)
_decode._block = wait
datasets.load("tiny_imagenet", data_dir=sys.argv[1])
"""


def start_waiting(tiny: pathlib.Path) -> subprocess.Popen:
    """Start a process that loads `tiny` and, amid decoding, waits for a line from us."""
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING, str(tiny)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=pathlib.Path(__file__).parents[3],
    )
    assert process.stdout.readline() == "decoding\n"
    return process


def test_killed_decode_is_not_taken_for_a_cache(tiny, cache, load, check_tiny):
    process = start_waiting(tiny)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (part,) = cache.iterdir()
    # An old one is swept away, since nobody holds its lock any more.
    os.utime(part, (time.time() - 3600,) * 2)
    check_tiny(load("tiny_imagenet", tiny), tiny)
    assert not part.exists()
    assert len(list(cache.iterdir())) == 1


def test_two_at_once(tiny, cache, load, check_tiny):
    """The slow one keeps its folder while the fast one finishes, and then takes what it finds."""
    process = start_waiting(tiny)
    (part,) = cache.iterdir()
    os.utime(part, (time.time() - 3600,) * 2)
    check_tiny(load("tiny_imagenet", tiny), tiny)
    assert part.exists()
    process.communicate("go on\n" * 2)
    assert process.returncode == 0
    assert len(list(cache.iterdir())) == 1
    check_tiny(load("tiny_imagenet", tiny), tiny)


def test_damaged_cache_says_so(tiny, load):
    place = load("tiny_imagenet", tiny).origin.cache
    os.truncate(place / "train_images.npy", 500)
    with pytest.raises(ValueError, match=f"{place.name} are damaged .*delete that folder"):
        load("tiny_imagenet", tiny)


@pytest.mark.parametrize("content", ["[]", "{}", '{"name": "x"}'])
def test_damaged_description_says_so(tiny, load, content):
    place = load("tiny_imagenet", tiny).origin.cache
    (place / "dataset.json").write_text(content)
    with pytest.raises(ValueError, match=f"{place.name} are damaged .*delete that folder"):
        load("tiny_imagenet", tiny)


def test_cache_that_cannot_be_written(tiny, tmp_path, load, write):
    write(tmp_path / "file", "")
    with pytest.raises(ValueError, match="cannot write to .*file.*--cache-dir.*SMALLZOO_CACHE"):
        load("tiny_imagenet", tiny, cache_dir=tmp_path / "file")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_disk_that_refuses_amid_writing(tiny, monkeypatch, cache, load, number):
    def refuse(*task):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(_decode, "_block", refuse)
    with pytest.raises(ValueError, match=f"{cache} .*{os.strerror(number)}.*SMALLZOO_CACHE"):
        load("tiny_imagenet", tiny)
    assert not list(cache.iterdir())


def test_full_disk(tiny, monkeypatch, cache, load):
    monkeypatch.setattr(_cache.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=1000))
    with pytest.raises(ValueError, match="disk of .* is full .*set SMALLZOO_CACHE"):
        load("tiny_imagenet", tiny)
    assert not list(cache.iterdir())


def test_workers_do_the_same(tiny, monkeypatch, load, check_tiny):
    """Decoding in other processes gives the same arrays and the same errors."""
    monkeypatch.setattr(_decode, "_PARALLEL_BYTES", 0)
    monkeypatch.setattr(_decode, "_TASK_IMAGES", 5)
    check_tiny(load("tiny_imagenet", tiny), tiny)
    (tiny / "val/images/val_3.JPEG").write_bytes(b"")
    with pytest.raises(ValueError, match="val_3.JPEG: the file is empty"):
        load("tiny_imagenet", tiny)
