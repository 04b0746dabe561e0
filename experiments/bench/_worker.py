"""One network in a process of its own: ours or its reference, one step whenever told.

A case is a pair: what to tell of it, and its steps by name. Every step ends with its result on the
host, so that the device has finished.
"""

import importlib.metadata
import math
import os
import resource
import sys
from collections.abc import Callable

import numpy as np

import zoo

# Small, so that hundreds of steps on one batch of noise stay finite.
SGD = {"lr": 1e-3, "momentum": 0.9}


def serve(pipe, make: Callable[..., tuple[dict, dict]], options: dict) -> None:
    """Make a case, tell about it, then do each step that is asked for, until the process ends."""
    # All cores for torch, as for TensorFlow and JAX; several processes share an accelerator.
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    facts, steps = make(**options)
    pipe.send(facts)
    while True:
        pipe.send(steps[pipe.recv()]())


def ours(name: str, *, batch: int, size: int, jit: bool) -> tuple[dict, dict]:
    """Return the case of a network of the zoo as Keras runs it, its overhead per batch included.

    With the ImageNet stem where there is a choice: that is the one which the references have.
    """
    from experiments import backend

    backend.load(None)
    import keras

    framework, device = keras.backend.backend(), backend.device()
    loaded = _peak_mb(framework, device)
    model = zoo.build(
        name,
        input_shape=(size, size, 3),
        stem="imagenet" if zoo.info(name).stem else "auto",
        classifier_activation=None,
    )
    model.compile(
        keras.optimizers.SGD(SGD["lr"], SGD["momentum"]),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jit,
    )
    images, labels = _batch(name, batch, size)
    images, labels = keras.ops.convert_to_tensor(255 * images), keras.ops.convert_to_tensor(labels)

    def forward():
        model.predict_on_batch(images)

    def training():
        model.train_on_batch(images, labels)

    parameters = sum(math.prod(v.shape) for v in model.trainable_variables)
    facts = {"device": device, "parameters": parameters, "framework_mb": loaded}
    return facts, _steps(forward, training, framework, device)


def reference(name: str, *, batch: int, size: int, accelerator: bool) -> tuple[dict, dict]:
    """Return the case of the same network on torch, channels last; or only why there is none.

    That is the first of `LIBRARIES` which has the name, with as many parameters as ours.
    """
    try:
        import torch
    except ImportError as error:
        return {"missing": [f"torch cannot be imported ({error})"]}, {}
    device = "cuda" if accelerator else "cpu"
    loaded = _peak_mb("torch", device)
    library, model, missing = find_reference(name)
    if model is None:
        return {"missing": missing}, {}
    model = model.to(device, memory_format=torch.channels_last)
    images, labels = (torch.from_numpy(array).to(device) for array in _batch(name, batch, size))
    images = images.permute(0, 3, 1, 2)  # of (batch, h, w, c): channels last in memory
    optimizer = torch.optim.SGD(model.parameters(), **SGD)

    def forward():
        if model.training:
            model.eval()
        with torch.inference_mode():
            model(images).cpu()

    def training():
        if not model.training:
            model.train()
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        loss.item()

    facts = {
        "case": f"{library} {importlib.metadata.version(library)}",
        "parameters": _count(model),
        "framework_mb": loaded,
    }
    return facts, _steps(forward, training, "torch", device)


def _steps(forward, training, framework: str, device: str) -> dict:
    return {
        "forward": forward,
        "training": training,
        "peak_mb": lambda: _peak_mb(framework, device),
    }


def _batch(name: str, batch: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noise in 0..1 and labels: the cost does not depend on content."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, zoo.info(name).classes, batch)
    return rng.random((batch, size, size, 3), dtype="float32"), labels


def _timm(name: str):
    import timm

    return timm.create_model(name) if timm.is_model(name) else None


def _torchvision(name: str):
    from torchvision import models

    return models.get_model(name) if name in models.list_models() else None


def _pytorchcv(name: str):
    from pytorchcv.model_provider import get_model

    try:
        return get_model(name)
    except ValueError:  # its way to say that it has no such network
        return None


LIBRARIES = {"timm": _timm, "torchvision": _torchvision, "pytorchcv": _pytorchcv}


def find_reference(name: str) -> tuple:
    """Return library and model of the same network, and why each library before it has none."""
    missing, wanted = [], zoo.info(name).parameters
    for library, build in LIBRARIES.items():
        try:
            model = build(name)
        except ImportError as error:
            missing.append(f"{library} cannot be imported ({error})")
            continue
        if model is None:
            missing.append(f"{library} has none of this name")
        elif _count(model) != wanted:
            missing.append(f"{library}'s has {_count(model):,} parameters, ours {wanted:,}")
        else:
            return library, model, missing
    return None, None, missing


def _count(model) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _peak_mb(framework: str, device: str) -> float:
    """Peak memory so far in MB: the process's, on an accelerator what is taken there."""
    if device == "cpu":
        unit = 1 if sys.platform == "darwin" else 1024  # bytes in which macOS and Linux count
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    if framework == "jax":
        import jax

        return jax.devices()[0].memory_stats()["peak_bytes_in_use"] / 1e6
    if framework == "torch":
        import torch

        return torch.cuda.max_memory_allocated() / 1e6
    import tensorflow as tf

    return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 1e6
