"""Files of a run folder, read so that an error names the file and what to do."""

import pathlib
from typing import Any

from experiments._files import read_json


def mapping(path: pathlib.Path, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read a JSON file that holds a mapping with the `required` keys."""
    content = read(path, read_json)
    if not isinstance(content, dict):
        raise damaged(path, f"a mapping is expected, it holds a {type(content).__name__}")
    missing = [key for key in required if content.get(key) is None]
    if missing:
        raise damaged(path, f"no value for {', '.join(missing)}")
    return content


def read(path: pathlib.Path, reader: Any, *options: Any) -> Any:
    try:
        return reader(existing(path), *options)
    except Missing:
        raise
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error


class Missing(ValueError):
    """A file of a run is not there."""


def existing(path: pathlib.Path) -> pathlib.Path:
    if not path.is_file():
        raise Missing(
            f"{path} is missing: the run has not finished, or its folder was not copied whole; "
            "start the same command again to finish it, or leave the folder out"
        )
    return path


def damaged(path: pathlib.Path, reason: object) -> ValueError:
    return ValueError(f"{path} cannot be used ({reason}): run it again, or leave the folder out")
