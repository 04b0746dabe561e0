"""Formats of `export`: who writes them, what runs them, and how their users load them.

Keras and the runtimes are imported inside functions.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

Runner = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Format:
    """How a model is written to a path, how its artifact is run, and how its users load it."""

    suffix: str
    writers: dict[str, tuple[str, ...]]
    """Backends that can write it, with what writing and checking import beyond Keras."""
    write: Callable[[keras.Model, pathlib.Path], None]
    open: Callable[[pathlib.Path], Runner]
    usage: str
    """Python that makes `probs` of `images`; {path} stands for the artifact."""


def _export(model: keras.Model, path: pathlib.Path, format: str, **options) -> None:
    import keras

    image = keras.layers.InputSpec("float32", (None, *model.input_shape[1:]), name="image")
    model.export(str(path), format, verbose=False, input_signature=[image], **options)


def _write_saved_model(model: keras.Model, path: pathlib.Path) -> None:
    import keras

    options = {}
    if keras.config.backend() == "jax":  # its code is else for this machine's kind of device alone
        options["jax2tf_kwargs"] = {"native_serialization_platforms": ("cpu", "cuda")}
    _export(model, path, "tf_saved_model", **options)


def _open_saved_model(path: pathlib.Path) -> Runner:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return lambda images: loaded.serve(images).numpy()


def _write_onnx(model: keras.Model, path: pathlib.Path) -> None:
    import keras

    if keras.config.backend() != "tensorflow":
        return _export(model, path, "onnx")

    import tensorflow as tf

    # Keras makes a function of its own of each grouped convolution, which tf2onnx does not know;
    # functions that run eagerly become part of the graph around them.
    eager = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        _export(model, path, "onnx")
    finally:
        tf.config.run_functions_eagerly(eager)


def _open_onnx(path: pathlib.Path) -> Runner:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"image": images})[0]


def _open_litert(path: pathlib.Path) -> Runner:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(path)).get_signature_runner()
    return lambda images: runner(image=images)["output_0"]


def _open_keras(path: pathlib.Path) -> Runner:
    import keras

    model = keras.saving.load_model(path)
    return lambda images: np.asarray(model.predict_on_batch(images))


# Writers that Keras has and we leave out: torch needs torch_xla for a SavedModel, and litert-torch
# for LiteRT, which fixes the batch size; JAX needs jax2onnx for ONNX, with all it brings along.
FORMATS = {
    "saved_model": Format(
        suffix=".saved_model",
        writers={"tensorflow": (), "jax": ("tensorflow",)},
        write=_write_saved_model,
        open=_open_saved_model,
        usage="import tensorflow as tf\n\nmodel = tf.saved_model.load({path!r})\n"
        "probs = model.serve(images)",
    ),
    "onnx": Format(
        suffix=".onnx",
        writers={
            "tensorflow": ("onnx", "onnxruntime", "tf2onnx"),
            "torch": ("onnx", "onnxruntime"),
        },
        write=_write_onnx,
        open=_open_onnx,
        usage="import onnxruntime\n\nsession = onnxruntime.InferenceSession({path!r})\n"
        'probs = session.run(None, {{"image": images}})[0]',
    ),
    "litert": Format(
        suffix=".tflite",
        writers={"tensorflow": ("ai_edge_litert",)},
        write=functools.partial(_export, format="litert"),
        open=_open_litert,
        usage="from ai_edge_litert.interpreter import Interpreter\n\n"
        "runner = Interpreter({path!r}).get_signature_runner()\n"
        'probs = runner(image=images)["output_0"]',
    ),
    "keras": Format(
        suffix=".keras",
        writers={"tensorflow": (), "jax": (), "torch": ()},
        write=lambda model, path: model.save(path),
        open=_open_keras,
        usage="import keras\n\nmodel = keras.saving.load_model({path!r})\n"
        "probs = model.predict(images)",
    ),
}
