"""Fixtures shared by all test files."""

import pathlib

import pytest

SHARED = pathlib.Path(__file__).resolve().parent.parent.parent / "shared"


def _existing(path: pathlib.Path) -> pathlib.Path:
    if not path.exists():
        pytest.skip(f"needs the reference data, which is not here: {path.name}")
    return path


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """Folder with reference facts and real images; tests that need it skip without it."""
    return _existing(SHARED)


@pytest.fixture(scope="session")
def reference() -> dict:
    """Facts about each network, by name, from `reference/architectures.yaml`."""
    import yaml

    text = _existing(SHARED / "reference" / "architectures.yaml").read_text()
    return yaml.safe_load(text)["architectures"]


@pytest.fixture(scope="session")
def tiny_imagenet_10(tmp_path_factory) -> pathlib.Path:
    """Ten classes of Tiny ImageNet in the official layout, unpacked once."""
    import tarfile

    archive = _existing(SHARED / "data" / "tiny-imagenet-10.tar.xz")
    folder = tmp_path_factory.mktemp("data")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / "tiny-imagenet-10"
