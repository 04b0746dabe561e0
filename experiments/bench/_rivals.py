"""One network in training, in a process of its own: ours on a backend, or as plain PyTorch.

Each `make` returns what is told of the case, and its step by name; `missing` where there is none.
A step ends with its loss on the host, so that the device has finished. Keras is imported inside
functions: the process chooses its backend.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

SGD = {"learning_rate": 1e-3, "momentum": 0.9, "nesterov": True}


def keras_case(
    network: str, *, size: int, classes: int, batch: int, augmented: bool, backend: str, asked: str
) -> tuple[dict, dict]:
    """Return the case of a network as `experiments` trains it, in the precision that is asked."""
    from experiments import backend as backends

    try:
        backends.load(backends.choose(backend))
    except ValueError as error:
        return {"missing": str(error)}, {}
    import keras

    from experiments import recipes
    from experiments.training import precision

    content = {"recipe": "bench/train", "data": {"name": "digits"}, "model": {"name": network}}
    row = recipes.parse(content | {"epochs": 1, "precision": asked}, "bench train")

    def build(policy: str) -> keras.Model:
        keras.config.set_dtype_policy(policy)
        try:
            return _network(network, size, classes)
        finally:
            keras.config.set_dtype_policy("float32")

    trainer, found = precision.choose(row, build)
    trainer.compile(
        keras.optimizers.SGD(**SGD), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    precision.apply(trainer, found["chosen"])
    batches = _batches(size, classes, batch, augmented)

    def training():
        trainer.train_on_batch(*next(batches))

    facts = {"precision": found["chosen"], "device": backends.device()}
    return facts | _cost(trainer), {"training": training}


def torch_case(
    network: str,
    *,
    size: int,
    classes: int,
    batch: int,
    augmented: bool,
    asked: str,
    compiled: bool,
) -> tuple[dict, dict]:
    """Return the case of the same network as a plain PyTorch module, channels last.

    `asked` is float32, or bfloat16 for autocast. With `compiled` it is compiled here; what the
    compiler refuses is `missing`.
    """
    from experiments import backend as backends

    try:
        backends.load(backends.choose("torch"))
    except ValueError as error:
        return {"missing": str(error)}, {}
    import torch

    from experiments.bench._torch import convert

    model = _network(network, size, classes)
    net = convert(model)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    net = net.to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(
        [p for p in net.parameters() if p.requires_grad],
        SGD["learning_rate"],
        SGD["momentum"],
        nesterov=SGD["nesterov"],
    )
    forward = torch.compile(net) if compiled else net
    batches = _batches(size, classes, batch, augmented)
    autocast: Callable[[], Any] = contextlib.nullcontext
    if asked == "bfloat16":
        autocast = functools.partial(torch.autocast, device, torch.bfloat16)

    def training():
        images, labels = next(batches)
        optimizer.zero_grad()
        with autocast():
            logits = forward(images)
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    facts = {"precision": asked, "device": device} | _cost(model)
    if compiled:
        try:
            training()
        except RuntimeError as error:  # also what torch's compiler raises
            return {"missing": f"torch.compile fails ({str(error).splitlines()[0]})"}, {}
    return facts, {"training": training}


def _network(name: str, size: int, classes: int) -> Any:
    """Return a network of the zoo up to its logits."""
    import keras

    import zoo

    model = zoo.build(name, input_shape=(size, size, 3), classes=classes)
    return keras.Model(model.input, model.get_layer("logits").output, name=name)


def _cost(model: Any) -> dict:
    import zoo

    parameters, macs = zoo.profile(model)
    return {"parameters": parameters, "macs": macs}


def _batches(size: int, classes: int, batch: int, augmented: bool) -> Iterator[tuple]:
    """Yield batches of noise on the device: the same one, or augmented by class C anew."""
    import keras

    import augment

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (batch, size, size, 3), np.uint8)
    labels = keras.ops.convert_to_tensor(rng.integers(0, classes, batch))
    images, indices, epoch = keras.ops.convert_to_tensor(pixels), np.arange(batch), 0
    while True:
        if augmented:
            images = augment.batch(pixels, augment.C, seed=0, epoch=epoch, indices=indices)
            epoch += 1
        yield images, labels
