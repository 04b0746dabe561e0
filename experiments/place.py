"""Where rows run: where the data, its cache and the run folders lie, and on which backend."""

import dataclasses
import pathlib
from collections.abc import Sequence

from experiments import backend, datasets
from experiments.listener import SILENT, Listener
from experiments.recipes import Images, Row, needed


@dataclasses.dataclass(frozen=True)
class Place:
    """Folders and backend that a command was given; None: the defaults.

    `data_dir` is the data set's folder or archive, or its parent, `cache_dir` holds decoded images
    (~/.cache/smallzoo), `runs` the run folders.
    """

    data_dir: pathlib.Path | None = None
    cache_dir: pathlib.Path | None = None
    runs: pathlib.Path = pathlib.Path("runs")
    backend: str | None = None

    def folder(self, row: Row) -> pathlib.Path:
        """Return the folder of a row's run."""
        return self.runs / row.recipe

    def named(self, row: Row, name: str) -> pathlib.Path:
        """Return the folder of a run that a row names: a row of its paper, or a folder itself."""
        return pathlib.Path(name) if "/" in name else self.runs / row.paper / name

    def names(self, row: Row, folders: Sequence[pathlib.Path]) -> list[str]:
        """Return folders as a row names its runs: by their rows where these lie there."""
        known = {self.named(row, name).resolve(): name for name in needed(row)}
        return [known.get(folder.resolve(), _as_path(folder)) for folder in folders]

    def has(self, images: Images) -> bool:
        """Whether the images need no download and no folder that was not named."""
        facts = datasets.facts(images.name)
        return self.data_dir is not None or (facts is not None and facts.built_in)

    def check(self, images: Images) -> None:
        """Raise `ValueError` for images that cannot be had; without Keras, nothing is decoded."""
        datasets.check(images.name, data_dir=self.data_dir, **_pixels(images))

    def dataset(self, images: Images, listener: Listener = SILENT) -> datasets.Dataset:
        """Load the images, from the cache where they were decoded before."""
        return datasets.load(
            images.name,
            data_dir=self.data_dir,
            cache_dir=self.cache_dir,
            progress=listener.progress,
            **_pixels(images),
        )

    def load_backend(self) -> None:
        """Import Keras with the chosen backend."""
        backend.load(self.backend)


def _as_path(folder: pathlib.Path) -> str:
    return str(folder) if "/" in str(folder) else f"./{folder}"


def _pixels(images: Images) -> dict:
    return images.model_dump(exclude={"name"})
