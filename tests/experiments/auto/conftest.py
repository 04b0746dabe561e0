"""Pictures of two kinds on disk, and a table of ways that a test can afford."""

import dataclasses
import pathlib

import numpy as np
import pytest
from PIL import Image

from experiments.auto.ways import WAYS

SIDE = 32


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> None:
    """A cache of its own for every test, never the user's."""
    monkeypatch.setenv("SMALLZOO_CACHE", str(tmp_path_factory.mktemp("cache")))


def draw(path: pathlib.Path, number: int, warm: bool, size: int = SIDE) -> None:
    """Write a noisy picture, red or blue."""
    pixels = np.random.default_rng(number).integers(0, 120, (size, size, 3), np.uint8)
    pixels[..., 0 if warm else 2] += 120
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def pictures(tmp_path):
    """Return a function that writes class folders: `pictures(blue=30, red=30)` returns the root."""

    def write(root: str = "colors", **counts: int) -> pathlib.Path:
        folder = tmp_path / root
        for place, (name, count) in enumerate(counts.items()):
            (folder / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                draw(folder / name / f"{number}.png", 1000 * place + number, warm=place > 0)
        return folder

    return write


@pytest.fixture
def quick(monkeypatch):
    """Give all ways networks of a few maps, on images as they are, for one epoch or two."""
    for name, way in WAYS.items():
        small = {"name": "sprint_s", "widths": [8, 16, 16]}
        changes = {"model": small, "sides": (SIDE,), "side": SIDE, "epochs": 2, "least": 1}
        monkeypatch.setitem(WAYS, name, dataclasses.replace(way, **changes))
