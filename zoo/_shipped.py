"""Weights that come with the package: `weights/MODEL-NAME.safetensors`, each with a card, a .md.

The files hold float16 under the names of `load_state_dict`, and say in their metadata what the
network was trained on.
"""

import json
import pathlib
from typing import NamedTuple

FOLDER = pathlib.Path(__file__).parent / "weights"


class Shipped(NamedTuple):
    """A network with weights of ours, and what it expects and answers."""

    model: str
    weights: str
    """What `build(weights=...)` takes; also the data set's name."""
    path: pathlib.Path
    class_names: list[str]
    class_ids: list[str]
    input_shape: tuple[int, int, int]
    resample: str
    """Pillow's filter that made its training images of larger ones."""


def path(model: str, weights: str) -> pathlib.Path:
    """Return where the weights of a model lie, whether they do or not."""
    return FOLDER / f"{model}-{weights}.safetensors"


def names() -> dict[str, list[str]]:
    """Return the weights that come with the package, by model."""
    found: dict[str, list[str]] = {}
    for file in sorted(FOLDER.glob("*-*.safetensors")):
        model, _, weights = file.stem.partition("-")
        found.setdefault(model, []).append(weights)
    return found


def shipped(model: str, weights: str | None = None) -> Shipped:
    """Return what is known of weights that come with the package, by default a model's first.

    Raises ValueError, with those that there are, where there are none.
    """
    known = names()
    chosen = weights or next(iter(known.get(model, [])), None)
    if chosen not in known.get(model, []):
        all_of_them = ", ".join(f"{one} ({', '.join(known[one])})" for one in known)
        raise ValueError(f"no weights of {model} come with the package: there are {all_of_them}")
    from safetensors import safe_open

    file = path(model, chosen)
    with safe_open(file, framework="numpy") as opened:
        facts = json.loads(opened.metadata()["facts"])
    shape = tuple(facts.pop("input_shape"))
    return Shipped(model, chosen, file, input_shape=shape, **facts)


def write(file: pathlib.Path, tensors: dict, facts: dict) -> None:
    """Write what `state_dict` returns as float16, with facts: those of `Shipped` from names on."""
    import numpy as np
    from safetensors.numpy import save

    rounded = {name: np.ascontiguousarray(x, np.float16) for name, x in tensors.items()}
    file.write_bytes(save(rounded, metadata={"facts": json.dumps(facts)}))
