"""Networks as a phone runs them: LiteRT, one thread, one image at a time.

What is timed is the file that `export --format litert` writes, checked against Keras as there. The
cost does not depend on content: images are noise, and networks by name have random weights.
"""

import os
import pathlib
import tempfile
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

import zoo
from experiments import runs
from experiments.backend import choose
from experiments.bench import check
from experiments.listener import SILENT, Listener
from experiments.runs import Run
from experiments.studies.export import Exported, export, writable
from experiments.timing import side_by_side

# Of P3, which is about networks for a phone; each at its reference's input.
NETWORKS = (
    "ghostnet_cars",
    "ghostnet_100",
    "mobilenetv2_100",
    "efficientnet_b0",
    "squeezenet1_1",
    "shufflenet_v2_x1_0",
)
FORMAT, SUFFIX = "litert", ".tflite"
# What a narrow terminal has room for; the rest stands in the file.
SHOWN = ("case", "ms_per_image", "file_mb", "macs", "input", "load")
# What is told of a finished run: by this a report knows it again.
OF_RUN = ("recipe", "dataset", "top1", "top5")


class Case(NamedTuple):
    """A model to time, and what is told of it; `file` is its .keras file."""

    facts: dict[str, Any]
    file: pathlib.Path


def run(
    names: Sequence[str] = NETWORKS,
    *,
    repeats: int = 10,
    backend: str | None = None,
    listener: Listener = SILENT,
) -> list[dict]:
    """Time finished runs, `.keras` files and networks by name or wildcard, in turns: a row each.

    Milliseconds are the median over `repeats` turns of half a second, after a warm-up. Raises
    ValueError, before anything is built, for what is none of these, a backend other than
    TensorFlow, which alone writes LiteRT, missing packages and numbers out of range; later for an
    artifact that answers differently from its model.
    """
    check(repeats=repeats)
    found = _chosen(names)
    writable(FORMAT, choose(backend))
    with tempfile.TemporaryDirectory() as folder:
        rows, steps = {}, {}
        for done, (name, given) in enumerate(found.items()):
            listener.progress("exporting", done, len(found))
            place = pathlib.Path(folder) / str(done)
            place.mkdir()
            case = _of_run(given) if given else _of_network(name, place)
            exported = export(case.file, FORMAT, place / f"m{SUFFIX}", backend=backend)
            rows[name] = case.facts | _facts(exported)
            steps[name] = _step(exported)
        listener.progress("exporting", len(found), len(found))
        seconds = side_by_side(steps, repeats=repeats)
    load = os.getloadavg()[0]
    return [
        {"case": name, "ms_per_image": 1e3 * seconds[name], **rows[name]}
        | {"threads": 1, "batch": 1, "repeats": repeats, "load": load}
        for name in rows
    ]


def _chosen(names: Sequence[str]) -> dict[str, tuple[pathlib.Path, Run] | None]:
    """Return file and run of each path, in folders of all models; None for networks by name."""
    found = {}
    for name in names:
        networks, path = zoo.list_models(name), pathlib.Path(name)
        if networks:
            found |= dict.fromkeys(networks)
        elif path.is_dir() and not Run(path).begun:
            found |= {
                str(run): runs.of_model(run.path) for run in runs.find([path]) if run.kind.has_model
            }
        elif path.exists():
            found[name] = runs.of_model(path)
        else:
            raise ValueError(
                f"{name!r} is neither a finished run, a folder of such, a .keras file nor a "
                "network; python -m experiments list shows all networks"
            )
    if not found:
        raise ValueError("nothing to time: give finished runs, or networks by name")
    return found


def _of_network(name: str, folder: pathlib.Path) -> Case:
    file = folder / f"{name}.keras"
    model = zoo.build(name)
    model.save(file)
    return Case({"network": name, **_cost(model), "weights": "random", **_told(None)}, file)


def _of_run(given: tuple[pathlib.Path, Run]) -> Case:
    file, run = given
    known = run if run.begun and run.finished else None
    network = known.metrics["model"] if known else file.stem
    facts = {"network": network, **_cost(zoo.load(file)), "weights": "trained"}
    return Case(facts | _told(known), file)


def _cost(model) -> dict:
    parameters, macs = zoo.profile(model)
    return {"parameters": parameters, "macs": macs, "classes": model.output_shape[-1]}


def _told(run: Run | None) -> dict:
    """Tell which run it is, and how good: empty for a model that is none."""
    metrics = run.metrics if run else {}
    return {"run": str(run or "")} | {key: metrics.get(key, "") for key in OF_RUN}


def _facts(exported: Exported) -> dict:
    height, width, channels = exported.input_shape
    return {"input": f"{height}x{width}x{channels}", "file_mb": exported.bytes / 1e6}


def _step(exported: Exported) -> Callable[[], np.ndarray]:
    """Return a call of the artifact on one image, on one thread."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(exported.path), num_threads=1).get_signature_runner()
    shape = (1, *exported.input_shape)
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    return lambda: runner(image=image)["output_0"]
