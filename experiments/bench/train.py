"""Training steps: ours on TensorFlow and JAX beside the same networks as plain PyTorch.

The networks, weights, batches, loss and optimizer (SGD, Nesterov) are the same: PyTorch gets what
`_torch.convert` makes of the Keras graph. Every column runs in a process of its own; those of one
case take turns.
"""

import contextlib
import fnmatch
import functools
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import zoo
from experiments.bench import _rivals, check, models
from experiments.listener import SILENT, Listener
from experiments.timing import side_by_side


class Case(NamedTuple):
    """A network at a size; a network that the zoo has not is left out, in a told way."""

    network: str
    size: int
    classes: int = 200


CASES = {
    "alphanet_v4": Case("alphanet_v4", 64),
    "resnet18_64": Case("resnet18", 64),
    "resnet18_32": Case("resnet18", 32, 100),
    "wrn_16_4": Case("wrn_16_4", 32, 100),
    "ghostnet_100": Case("ghostnet_100", 64),
    "sprint_m": Case("sprint_m", 64),
}


class Column(NamedTuple):
    """One way to train a network; `options` are those of its `make`."""

    framework: str
    mode: str
    make: Any
    options: dict


_keras, _torch = _rivals.keras_case, _rivals.torch_case
COLUMNS = (
    Column("TensorFlow", "graph", _keras, {"backend": "tensorflow", "asked": "float32"}),
    Column("TensorFlow", "graph", _keras, {"backend": "tensorflow", "asked": "auto"}),
    Column("JAX", "jit", _keras, {"backend": "jax", "asked": "auto"}),
    Column("PyTorch", "eager", _torch, {"asked": "float32", "compiled": False}),
    Column("PyTorch", "compile", _torch, {"asked": "float32", "compiled": True}),
    Column("PyTorch", "eager", _torch, {"asked": "bfloat16", "compiled": False}),
    Column("PyTorch", "compile", _torch, {"asked": "bfloat16", "compiled": True}),
)
PYTORCH = "PyTorch"
# What a narrow terminal has room for; the rest stands in the file.
SHOWN = ("case", "framework", "precision", "mode", "images_s", "of_best_torch", "gflop_s", "load")
# Of `quick`: turns, and the most seconds of a turn and of all turns of a column.
_QUICK = {"repeats": 2, "turn": 0.2, "limit": 2.0}


def each(
    only: Sequence[str] = (),
    *,
    batch: int = 128,
    repeats: int = 10,
    quick: bool = False,
    augmented: bool = False,
    listener: Listener = SILENT,
) -> Iterator[list[dict]]:
    """Time the cases whose names match `only`, or all; one case's rows after the other.

    Images per second are medians over `repeats` turns; `of_best_torch` compares with the fastest
    column of PyTorch, `gflop_s` counts 6 per multiply-add. `quick` takes two short turns, which
    shows that it runs and little more. `augmented` has class C made anew for every batch, by the
    same code on each backend.
    Raises ValueError, before any process starts, for names that match no case and numbers outside
    `bench.LIMITS`.
    """
    check(batch=batch, repeats=repeats)
    chosen = _chosen(only)
    how = _QUICK if quick else {"repeats": repeats}

    def rows() -> Iterator[list[dict]]:
        for done, name in enumerate(chosen):
            listener.progress("cases", done, len(chosen))
            case = CASES[name]
            if case.network not in zoo.list_models():
                listener.say(f"{name} is left out: the zoo has no network {case.network}")
            elif found := _case(name, {"batch": batch, "augmented": augmented}, how, listener):
                yield found
        listener.progress("cases", len(chosen), len(chosen))

    return rows()


def _chosen(only: Sequence[str]) -> list[str]:
    for pattern in only:
        if not fnmatch.filter(CASES, pattern):
            raise ValueError(f"no case matches {pattern!r} (--only); there are {', '.join(CASES)}")
    return [name for name in CASES if not only or any(fnmatch.fnmatch(name, p) for p in only)]


def _case(name: str, shape: dict, how: dict, listener: Listener) -> list[dict]:
    with contextlib.ExitStack() as stack:
        running = {}
        for column in COLUMNS:
            case = CASES[name]
            options = {**case._asdict(), **shape, **column.options}
            what = f"{column.framework} {column.options['asked']} {column.mode}"
            one = stack.enter_context(models.process(column.make, options))
            if "missing" in one.facts:
                listener.say(f"{name}: no {what}: {one.facts['missing']}")
                continue
            running[column.framework, column.options["asked"], column.mode] = one
        steps = {key: functools.partial(one.ask, "training") for key, one in running.items()}
        seconds = side_by_side(steps, **how)
    best = min((taken for key, taken in seconds.items() if key[0] == PYTORCH), default=None)
    rows = []
    for key, taken in seconds.items():
        framework, asked, mode = key
        facts, speed = running[key].facts, shape["batch"] / taken
        rows.append(
            {
                "case": name,
                "framework": framework,
                "precision": f"{asked}: {facts['precision']}" if asked == "auto" else asked,
                "mode": mode,
                "images_s": speed,
                "of_best_torch": best / taken if best else "",
                "gflop_s": 6e-9 * facts["macs"] * speed,
                "load": os.getloadavg()[0],
                **shape,
                "repeats": how["repeats"],
                "parameters": facts["parameters"],
            }
        )
    return rows
