"""Archives: nothing is written outside, and what is cut or damaged is named."""

import io
import os
import tarfile
import zipfile

import numpy as np
import pytest

from experiments.datasets import _tree


def test_missing_part(tiny, load, pack):
    place = pack(tiny, "tar.xz", parts=3)
    (place / "tiny-imagenet-200.part1.tar.xz").unlink()
    with pytest.raises(ValueError, match="but not tiny-imagenet-200.part1.tar.xz"):
        load("tiny_imagenet", place)


def test_file_in_two_parts(tiny, load, pack):
    place = pack(tiny, "tar.gz", parts=2)
    first, second = sorted(place.iterdir())
    second.write_bytes(first.read_bytes())
    with pytest.raises(ValueError, match=r"part1.tar.gz holds .*, which .*part0.tar.gz: .*already"):
        load("tiny_imagenet", place)


@pytest.mark.parametrize("share", [0.3, 0.7])
@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz", "tar.xz", "tar.bz2"])
def test_cut_archive(tmp_path, suffix, share, load, pack, tree):
    """Also where the cut falls between two files: a class folder cannot show what is missing."""
    (path,) = pack(tree(tmp_path / "pets", count=5), suffix).iterdir()
    os.truncate(path, int(path.stat().st_size * share) // 512 * 512)
    with pytest.raises(ValueError, match=f"pets.{suffix} is damaged or incomplete"):
        load("folder", path)


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_no_archive_at_all(tmp_path, suffix, load):
    path = tmp_path / f"pets.{suffix}"
    path.write_bytes(b"<html>404 not found</html>" * 100)
    with pytest.raises(ValueError, match="is damaged or incomplete"):
        load("folder", path)


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
@pytest.mark.parametrize(
    "name", ["../outside.png", "a/../../outside.png", "/outside.png", "..\\outside.png", "C:x.png"]
)
def test_unsafe_names_are_refused(tmp_path, suffix, name, cache, load, files_of):
    path = tmp_path / "set" / f"pets.{suffix}"
    path.parent.mkdir()
    if suffix == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, b"content")
    else:
        with tarfile.open(path, "w:gz") as archive:
            member = tarfile.TarInfo(name)
            member.size = 7
            archive.addfile(member, io.BytesIO(b"content"))
    with pytest.raises(ValueError, match="holds the unsafe name .*: refused"):
        load("folder", path)
    assert files_of(tmp_path) == [path]
    assert not list(cache.iterdir())


def test_links_in_archives_are_refused(tmp_path, load):
    path = tmp_path / "pets.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("pets/a/0.png")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(ValueError, match="pets/a/0.png is a link or a device"):
        load("folder", path)


def test_encrypted_zip(tmp_path, load, pack, tree):
    (path,) = pack(tree(tmp_path / "pets"), "zip").iterdir()
    content = bytearray(path.read_bytes())
    # The flags of the first entry of the central directory, 8 bytes behind its signature.
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is encrypted"):
        load("folder", path)


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz", "tar.xz", "tar.bz2"])
def test_damaged_archive(tmp_path, suffix, pack, tree):
    """One wrong bit anywhere: the archive is named, or it hits nothing that is read."""
    (path,) = pack(tree(tmp_path / "pets"), suffix).iterdir()
    whole, refused = path.read_bytes(), 0
    for bit in np.random.default_rng(0).integers(0, 8 * len(whole), 200):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        try:
            _tree.Archive((path,)).open(tmp_path / "spool", lambda done, total: None)
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 20


def test_images_in_archives_are_named_as_the_user_knows_them(tmp_path, load, pack, tree):
    root = tree(tmp_path / "pets")
    (root / "train/b/1.png").write_bytes(b"no image")
    (path,) = pack(root, "zip").iterdir()
    with pytest.raises(ValueError, match="cannot be used") as caught:
        load("folder", path)
    assert f"{path}: pets/train/b/1.png: not an image" in str(caught.value)
    assert "spool" not in str(caught.value) and "_io." not in str(caught.value)
