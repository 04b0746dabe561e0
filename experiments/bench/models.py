"""Networks forward and in training, beside the same networks of other libraries.

Every case runs in a process of its own, with one framework; those of one network take turns.
"""

import contextlib
import functools
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import zoo
from experiments.backend import choose
from experiments.bench import _worker, check
from experiments.listener import SILENT, Listener
from experiments.timing import side_by_side

# One of each kind: residual, bottlenecks, Ghost, depthwise, dense, dual path, grouped, compound.
NETWORKS = (
    "resnet18",
    "resnet50",
    "ghostnet_100",
    "mobilenetv2_100",
    "densenet121",
    "dpn68",
    "resnext50_32x4d",
    "efficientnet_b0",
)
# Backend -> our cases: what `compile(jit_compile=...)` is given.
CASES = {
    "tensorflow": {"TensorFlow graph": False, "TensorFlow XLA": True},
    "jax": {"JAX jit": True},
    "torch": {"torch eager": False},
}
PHASES = ("forward", "training")


def run(names: Sequence[str] = NETWORKS, **options) -> list[dict]:
    """Return the rows of all networks that `each` times, with its options."""
    return [row for rows in each(names, **options) for row in rows]


def each(
    names: Sequence[str] = NETWORKS,
    *,
    batch: int = 32,
    size: int = 64,
    repeats: int = 10,
    backend: str | None = None,
    listener: Listener = SILENT,
) -> Iterator[list[dict]]:
    """Time networks whose names match `names`; one network's rows after the other, one per case.

    Images per second are medians over `repeats` turns, of `forward` in inference and of `training`
    (forward, backward and SGD) in float32; `times_slower` compares with the reference of the same
    network. Memory in MB is the peak of the process, of which `framework_mb` is importing; on an
    accelerator what is taken of its memory.
    Raises ValueError, before any process starts, for names that match no network, images that are
    too small, and numbers outside `bench.LIMITS`.
    """
    check(batch=batch, size=size, repeats=repeats)
    chosen = _chosen(names, size)
    jits = CASES[choose(backend)]
    shape = {"batch": batch, "size": size}

    def rows() -> Iterator[list[dict]]:
        for done, name in enumerate(chosen):
            listener.progress("networks", done, len(chosen))
            yield _network(name, jits, shape, repeats, listener)
        listener.progress("networks", len(chosen), len(chosen))

    return rows()


def _chosen(names: Sequence[str], size: int) -> list[str]:
    """Return the networks that names and wildcards mean, each once."""
    found = {}
    for pattern in names:
        models = zoo.list_models(pattern)
        if not models:
            raise ValueError(
                f"no network matches {pattern!r} (--names); python -m experiments list shows all"
            )
        found |= {name: zoo.info(name).min_size for name in models}
    if not found:
        raise ValueError("names (--names) are empty: give networks or wildcards, such as 'ghost*'")
    for name, least in found.items():
        if size < least:
            raise ValueError(f"size (--size) {size}: {name} needs at least {least} pixels")
    return list(found)


class Running(NamedTuple):
    """A case whose process is waiting."""

    facts: dict
    ask: Callable[[str], object]
    """Have a step done: `forward`, `training` or `peak_mb`."""


def _network(name: str, jits: dict, shape: dict, repeats: int, listener: Listener) -> list[dict]:
    with contextlib.ExitStack() as stack:

        def start(make, **options) -> Running:
            return stack.enter_context(process(make, {"name": name, **shape, **options}))

        cases = {case: start(_worker.ours, jit=jit) for case, jit in jits.items()}
        on_cpu = all(running.facts["device"] == "cpu" for running in cases.values())
        other = start(_worker.reference, accelerator=not on_cpu)
        reference = other.facts.get("case")
        if reference is None:
            listener.say(f"no reference for {name}: {'; '.join(other.facts['missing'])}")
        else:
            cases[reference] = other
        peaks = {}
        for phase in PHASES:
            for case, running in cases.items():
                running.ask(phase)
                peaks[case, phase] = running.ask("peak_mb")
        steps = {
            (case, phase): functools.partial(running.ask, phase)
            for case, running in cases.items()
            for phase in PHASES
        }
        seconds = side_by_side(steps, repeats=repeats)
    return [
        {
            "case": case,
            "network": name,
            **shape,
            "repeats": repeats,
            "parameters": running.facts["parameters"],
            **{f"{phase}_images_s": shape["batch"] / seconds[case, phase] for phase in PHASES},
            **{
                f"{phase}_times_slower": seconds[case, phase] / seconds[reference, phase]
                if reference
                else ""
                for phase in PHASES
            },
            "framework_mb": running.facts["framework_mb"],
            **{f"{phase}_peak_mb": peaks[case, phase] for phase in PHASES},
            "load": os.getloadavg()[0],
        }
        for case, running in cases.items()
    ]


@contextlib.contextmanager
def process(make: Callable, options: dict) -> Iterator[Running]:
    """Run `_worker.serve` with a case in a fresh process, which ends with the context."""
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=_worker.serve, args=(theirs, make, options), daemon=True)
    process.start()
    theirs.close()

    def answer():
        try:
            return pipe.recv()
        except EOFError:
            process.join()
            raise RuntimeError(
                f"the process of {make.__name__}({options}) ended with exit code "
                f"{process.exitcode}; what it wrote stands above"
            ) from None

    def ask(step: str):
        pipe.send(step)
        return answer()

    try:
        yield Running(answer(), ask)
    finally:
        process.kill()
        process.join()
