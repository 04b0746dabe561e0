"""Whether TensorFlow's bfloat16 on a CPU is faster, and right, on a network's kinds of layers.

One layer of each important kind (`_pieces`) is trained alone, forward and backward, in float32 and
as the rewritten graph; times count by the kind's share of the network's work. The answer is kept
per machine, versions and network, so that the same network is decided the same way next time.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from experiments import _files
from experiments.listener import Listener
from experiments.training._pieces import Piece, digest, pieces, probe, representatives

SECONDS = 3.0  # after this no further piece is begun
# Relative errors (L2) of values and gradients. bfloat16 has 8 bits: 0.004 a rounding, up to 0.07
# after a normalized layer and back; a wrong kernel is off by its whole size.
TOLERANCE = 0.2
GAIN = 1.05  # times faster that bfloat16 must be: less is within the noise of measuring
_HOPELESS = 4  # times slower, where nothing more is measured
_TURNS = 4
_FLAGS = ("avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16")  # the last on ARM
# Settings of the environment that change the speed of layers.
_SETTINGS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_ENABLE_ONEDNN_OPTS")

Rewriting = Callable[[], contextlib.AbstractContextManager]


class Measured(NamedTuple):
    """Seconds of a piece's step for one image, and the relative error of bfloat16."""

    float32: float
    bfloat16: float
    error: float


def compare(
    model: keras.Model, rewriting: Rewriting, folder: pathlib.Path, listener: Listener
) -> dict:
    """Return the faster right precision (`chosen`), the `reason`, and the rates that decided.

    `rewriting` is a context in which called functions are rewritten to bfloat16, `folder` that of
    the caches. Rates are those of the network as estimated, in GFLOP/s, 6 per multiply-add.
    """
    if not has_instructions():
        return {"chosen": "float32", "reason": "this processor multiplies no bfloat16"}
    on, found = machine(), pieces(model)
    key = hashlib.sha256(json.dumps(on, sort_keys=True).encode()).hexdigest()[:16]
    file = folder / f"{key}-{digest(found)}.json"
    with contextlib.suppress(ValueError, KeyError, TypeError):  # absent or damaged: made anew
        return dict(_files.read_json(file)["answer"])
    with _own_randomness():
        answer = _decided(found, _all_measured(found, rewriting))
    try:
        _files.write_json(file, {"machine": on, "answer": answer})
    except ValueError as error:
        listener.say(f"the self-test of bfloat16 is not kept: {error}")
    return answer


def _all_measured(found: Sequence[Piece], rewriting: Rewriting) -> dict[Piece, Measured]:
    """Measure the pieces that stand for all; the probe alone where bfloat16 is hopeless."""
    first = probe()
    tried = measured(first, rewriting)
    if tried.bfloat16 > _HOPELESS * tried.float32:
        return {first: tried}
    end, times = time.perf_counter() + SECONDS, {}
    for piece in representatives(found):
        if not times or time.perf_counter() < end:
            times[piece] = measured(piece, rewriting)
    return times


def _decided(found: Sequence[Piece], times: dict[Piece, Measured]) -> dict:
    seconds = {name: _seconds(found, times, name) for name in ("float32", "bfloat16")}
    error = max(one.error for one in times.values())
    reason = "faster" if seconds["float32"] >= GAIN * seconds["bfloat16"] else "not faster"
    reason = reason if error < TOLERANCE else "wrong values"
    flop = 6 * sum(piece.macs for piece in found)
    return {
        "chosen": "bfloat16" if reason == "faster" else "float32",
        "reason": f"bfloat16 is {reason}" if reason != "wrong values" else f"bfloat16 has {reason}",
        **{name: float(f"{flop / taken / 1e9:.4g}") for name, taken in seconds.items()},
        "unit": "GFLOP/s of the self-test",
        "error": round(error, 4) if math.isfinite(error) else str(error),
    }


def _seconds(found: Sequence[Piece], times: dict[Piece, Measured], name: str) -> float:
    """Estimate the network's time for an image: each layer like the measured one most like it."""
    rates = {piece: getattr(one, name) / piece.cost for piece, one in times.items()}
    total = 0.0
    for piece in found:
        like = [rate for other, rate in rates.items() if other.bucket == piece.bucket]
        like = like or [rate for other, rate in rates.items() if other.form == piece.form]
        like = like or list(rates.values())
        total += piece.cost * sum(like) / len(like)
    return total


def measured(piece: Piece, rewriting: Rewriting) -> Measured:
    """Time a piece's step in both precisions, in turns; the fastest of each counts."""
    step, batch = _step(piece), piece.batch
    plain, first = _timed(step)
    with rewriting():
        rewritten, slow = _timed(step)
    error = max(_error(a, b) for a, b in zip(plain, rewritten, strict=True))
    if slow > _HOPELESS * max(first, 0.2):  # the first calls compile
        return Measured(first / batch, slow / batch, error)
    times = {"float32": [], "bfloat16": []}
    for _ in range(_TURNS):
        times["float32"].append(_timed(step)[1])
        with rewriting():
            times["bfloat16"].append(_timed(step)[1])
    return Measured(*(min(taken) / batch for taken in times.values()), error)


def _timed(step: Callable[[], list]) -> tuple[list, float]:
    start = time.perf_counter()
    found = step()
    return found, time.perf_counter() - start


def _error(expected: Any, found: Any) -> float:
    expected, found = np.asarray(expected), np.asarray(found)
    error = np.linalg.norm(found - expected) / max(np.linalg.norm(expected), 1e-12)
    return float(error) if np.isfinite(error) else math.inf


def _step(piece: Piece) -> Callable[[], list]:
    """Return a function that trains a copy of the piece: its maps and all gradients."""
    import tensorflow as tf

    layers = [type(layer).from_config(layer.get_config()) for layer in piece.layers]
    rng = np.random.default_rng(0)
    images = tf.constant(rng.standard_normal((piece.batch, *piece.shape), np.float32))
    outputs = images
    for layer in layers:
        outputs = layer(outputs)
    # A bias before a normalization has the gradient 0, of which an error is no share.
    weights = [w.value for layer in layers for w in layer.trainable_weights if w.name != "bias"]
    for weight in weights:
        if len(weight.shape) > 1:  # an initializer of zeros would show no error
            scale = math.prod(weight.shape[:-1]) ** -0.5
            weight.assign(scale * rng.standard_normal(weight.shape, np.float32))
    slopes = tf.constant(rng.standard_normal(outputs.shape, np.float32))

    @tf.function(autograph=False)
    def step(images, slopes):
        with tf.GradientTape() as tape:
            tape.watch(images)
            maps = images
            for layer in layers:
                normalizes = "Normalization" in type(layer).__name__
                maps = layer(maps, training=True) if normalizes else layer(maps)
        return [maps, *tape.gradient(maps, [images, *weights], output_gradients=slopes)]

    return lambda: step(images, slopes)


@contextlib.contextmanager
def _own_randomness() -> Iterator[None]:
    """Leave no trace in what a run draws from: it must not depend on what was measured when."""
    states = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


# The machine -------------------------------------------------------------------------------------


def _cpu() -> dict[str, str]:
    """Return what Linux tells of the first processor; nothing elsewhere."""
    file = pathlib.Path("/proc/cpuinfo")
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    lines = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def _flags() -> list[str] | None:
    cpu = _cpu()
    flags = cpu.get("flags") or cpu.get("Features")  # the second on ARM
    return flags and sorted(flags.split())


def has_instructions() -> bool:
    """Whether the processor may multiply bfloat16; True where it does not say."""
    flags = _flags()
    return flags is None or bool(set(flags) & set(_FLAGS))


def machine() -> dict:
    """Return what times depend on beside the network: processor, cores, settings, versions."""
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "cpu": _cpu().get("model name") or platform.processor() or platform.machine(),
        "flags": hashlib.sha256(" ".join(_flags() or []).encode()).hexdigest()[:12],
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "settings": {name: os.environ[name] for name in _SETTINGS if name in os.environ},
        "versions": {name: importlib.metadata.version(name) for name in ("tensorflow", "keras")},
    }
