"""The backend that Keras computes with, chosen before Keras is imported."""

import logging
import os
import tempfile

BACKENDS = ("tensorflow", "jax", "torch")


def choose(backend: str | None) -> str:
    """Set `KERAS_BACKEND` to `backend`, or to TensorFlow if nothing is chosen, and return it.

    Raises `ValueError` for a backend that there is not.
    """
    backend = backend or os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend not in BACKENDS:
        raise ValueError(f"backend {backend!r}: there are {', '.join(BACKENDS)}")
    os.environ["KERAS_BACKEND"] = backend
    return backend


def load(backend: str | None) -> None:
    """Import Keras with the chosen backend, without the start-up notes of TensorFlow's libraries.

    Those are written by C++ before any setting is read, errors about an absent GPU among them;
    they are shown only when the import fails.
    """
    if backend:
        choose(backend)
    with tempfile.TemporaryFile() as notes:
        stderr = os.dup(2)
        os.dup2(notes.fileno(), 2)
        try:
            from experiments import feed

            feed.device()
            # One model after the other is no retracing that a user could avoid.
            logging.getLogger("tensorflow").setLevel(logging.ERROR)
        except BaseException:
            notes.seek(0)
            os.write(stderr, notes.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
