"""The backend that Keras computes with, chosen before Keras is imported."""

import contextlib
import importlib.util
import logging
import os
import tempfile
from collections.abc import Iterator

BACKENDS = ("tensorflow", "jax", "torch")


def choose(backend: str | None) -> str:
    """Set `KERAS_BACKEND` to `backend`, or to TensorFlow if nothing is chosen, and return it.

    Raises `ValueError` for a backend that there is not, or that is not installed.
    """
    backend = backend or os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend not in BACKENDS:
        raise ValueError(f"backend {backend!r}: there are {', '.join(BACKENDS)}")
    if importlib.util.find_spec(backend) is None:
        raise ValueError(
            f"backend {backend}: {backend} is not installed here: pip install 'smallzoo[{backend}]'"
            f" (in a checkout: pip install -e '.[{backend}]')"
        )
    os.environ["KERAS_BACKEND"] = backend
    return backend


def load(backend: str | None) -> None:
    """Import Keras with the chosen backend, without the start-up notes of its libraries."""
    if backend or os.environ.get("KERAS_BACKEND"):
        choose(backend)
    with quiet():
        device()
    # One model after the other is no retracing that a user could avoid.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def device() -> str:
    """Name of the device that the active backend computes on."""
    import keras

    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        first = jax.devices()[0]
        return first.device_kind if first.platform != "cpu" else "cpu"
    if backend == "torch":
        import torch

        return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(gpus[0])["device_name"] if gpus else "cpu"


def multiplies_bfloat16() -> bool:
    """Whether the accelerator is known to be fast at bfloat16: NVIDIA's from 8.0 on, and TPUs."""
    import keras

    backend, version = keras.backend.backend(), None
    if backend == "jax":
        import jax

        first = jax.devices()[0]
        if first.platform == "tpu":
            return True
        version = getattr(first, "compute_capability", None)  # "9.0"
    elif backend == "torch":
        import torch

        version = torch.cuda.get_device_capability() if torch.cuda.is_available() else None
    else:
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
        version = details.get("compute_capability")
    # AMD's devices have names here ("gfx90a") or no version at all.
    major = str(version[0] if isinstance(version, tuple) else version).partition(".")[0]
    return major.isdecimal() and int(major) >= 8


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back what is written to the standard error, and show it only if the block fails.

    C++ libraries write there before any setting is read, errors about an absent GPU among it.
    """
    with tempfile.TemporaryFile() as notes:
        stderr = os.dup(2)
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except BaseException:
            notes.seek(0)
            os.write(stderr, notes.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
