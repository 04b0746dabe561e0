"""Files are whole or absent, and what cannot be written is told with its path and the fix."""

import errno
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from experiments import _files

ROOT = pathlib.Path(__file__).parents[2]


def names(folder: pathlib.Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_whole_or_absent(tmp_path):
    target = tmp_path / "deep" / "down" / "text.csv"
    _files.write_text(target, "first")
    with pytest.raises(RuntimeError), _files.atomic(target) as part:
        assert part.suffix == ".csv" and part.parent == target.parent
        part.write_text("half")
        raise RuntimeError
    assert target.read_text() == "first"
    assert names(target.parent) == ["text.csv"]


def test_a_folder_is_whole_or_absent(tmp_path):
    with pytest.raises(RuntimeError), _files.atomic_folder(tmp_path / "set") as part:
        (part / "images.npy").write_text("half")
        raise RuntimeError
    assert names(tmp_path) == []
    with _files.atomic_folder(tmp_path / "set") as part:
        (part / "images.npy").write_text("whole")
    assert names(tmp_path) == ["set"] and names(tmp_path / "set") == ["images.npy"]


WRITERS = {
    "atomic": lambda path: _files.write_text(path, "text"),
    "atomic_folder": lambda path: _files.atomic_folder(path).__enter__(),
    "check_writable": _files.check_writable,
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("below", ["result", "more/result"])
def test_a_file_where_a_folder_is_needed(tmp_path, write, below):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / below
    message = f"cannot write to {path} .*: {tmp_path / 'file'}.*: a file stands where a folder is"
    with pytest.raises(ValueError, match=message):
        write(path)
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("write", [WRITERS["atomic"], WRITERS["check_writable"]])
def test_a_folder_where_a_file_is_to_be(tmp_path, write):
    (tmp_path / "result").mkdir()
    with pytest.raises(ValueError, match="cannot write to .*result .*it is a folder: give a file"):
        write(tmp_path / "result")
    assert names(tmp_path) == ["result"]


def test_a_folder_that_is_there_already(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "kept").touch()
    with pytest.raises(ValueError, match="cannot write to .*set .*it is there already"):
        with _files.atomic_folder(tmp_path / "set") as part:
            (part / "new").touch()
    assert names(tmp_path) == ["set"] and names(tmp_path / "set") == ["kept"]


def test_a_name_that_is_too_long(tmp_path):
    with pytest.raises(ValueError, match="File name too long.*: choose a shorter name"):
        _files.write_text(tmp_path / ("n" * 250), "")


@pytest.mark.parametrize("kind", [_files.atomic, _files.atomic_folder])
def test_a_full_disk(tmp_path, kind):
    """Told by writing itself, which names no file."""
    message = f"the disk of {tmp_path / 'result'} is full .*: make room there, or choose another"
    with pytest.raises(ValueError, match=message) as caught, kind(tmp_path / "result"):
        with open("/dev/full", "w") as file:
            file.write("more than fits")
    assert isinstance(caught.value.__cause__, OSError)
    assert names(tmp_path) == []


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_a_disk_that_refuses(tmp_path, monkeypatch, number):
    """Rights do not bind root: the system's refusals are played."""

    def refuse(*_, **__):
        raise OSError(number, os.strerror(number), str(tmp_path))

    monkeypatch.setattr(pathlib.Path, "mkdir", refuse)
    with pytest.raises(ValueError, match=f"{tmp_path / 'result'} .*{os.strerror(number)}"):
        _files.write_text(tmp_path / "result", "")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ValueError, match=f"{tmp_path}.*choose a place that you may write to"):
        _files.check_writable(tmp_path / "result")


def test_errors_of_other_files_pass(tmp_path):
    with pytest.raises(FileNotFoundError), _files.atomic(tmp_path / "result"):
        (tmp_path / "source").read_text()
    assert names(tmp_path) == []


def test_what_can_be_written_may_be_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("result", "new/result", tmp_path / "new" / "deep" / "result"):
        assert _files.check_writable(path) == pathlib.Path(path)
    assert names(tmp_path) == []


KILLED = """
import pathlib, sys
from experiments import _files
path = pathlib.Path(sys.argv[2])
with getattr(_files, sys.argv[1])(path) as part:
    (part / "images.npy" if part.is_dir() else part).write_text("half")
    print("writing", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def start():
    """Start processes that have written half of something and wait; all end with the test."""
    started = []

    def begin(kind: str, path: pathlib.Path) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, kind, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        started.append(process)
        assert process.stdout.readline() == "writing\n"
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("kind", ["atomic", "atomic_folder"])
def test_what_a_killed_process_left_is_swept(tmp_path, start, kind):
    process = start(kind, tmp_path / "result [1].x")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (left,) = tmp_path.iterdir()
    with getattr(_files, kind)(tmp_path / "another") as part:
        part.touch()
    assert left.exists()
    with getattr(_files, kind)(tmp_path / "result [1].x") as part:
        part.touch()
        assert not left.exists()
    assert names(tmp_path) == ["another", "result [1].x"]


def test_what_a_live_process_writes_stays(tmp_path, start):
    process = start("atomic", tmp_path / "result")
    _files.write_text(tmp_path / "result", "ours")
    _files.sweep(tmp_path)
    assert len(names(tmp_path)) == 2
    process.communicate("go on\n")
    assert process.returncode == 0
    assert names(tmp_path) == ["result"]
    assert (tmp_path / "result").read_text() == "half"


def test_only_what_is_surely_left_is_swept(tmp_path):
    """Other hosts' parts may be alive; other files merely look alike; ours may still be open."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    here, gone, own = _files._host(), process.pid, os.getpid()
    stay = [f".00000000-{gone}-0.part.x", ".part.x", f".{gone}.part.x", f".{here}-1-0.part.x"]
    go = [f".{here}-{gone}-3.part.x", f".{here}-{own}-99.part.x", f".{here}-{gone}-3.part.y"]
    for name in (*stay, *go):
        (tmp_path / name).touch()
    with _files.atomic(tmp_path / "x") as part:
        part.touch()
        with _files.atomic(tmp_path / "x") as second:
            second.touch()
            assert part.exists()
    assert set(names(tmp_path)) == {*stay, go[2], "x"}
    _files.sweep(tmp_path)
    assert set(names(tmp_path)) == {*stay, "x"}


BROKEN = {
    "absent": (lambda path: None, "is missing: is .* a finished run folder"),
    "folder": (lambda path: path.mkdir(), "cannot be read .Is a directory"),
    "text": (lambda path: path.write_text("{"), "is not valid JSON"),
    "bytes": (lambda path: path.write_bytes(b"\xff\xfe\x00"), "is not valid JSON"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_json_that_cannot_be_read(tmp_path, how):
    damage, message = BROKEN[how]
    damage(tmp_path / "a.json")
    with pytest.raises(ValueError, match=f"a.json {message}"):
        _files.read_json(tmp_path / "a.json")


def test_json_comes_back(tmp_path):
    content = {"names": ["ä", "b"], "count": 3}
    _files.write_json(tmp_path / "a.json", content)
    assert _files.read_json(tmp_path / "a.json") == content
