"""Batches for training: our own order, augmented on the device, endless.

Batch k of epoch e is a function of (seed, e, k) alone. Keras' own shuffling is not used: on
TensorFlow under a seed it repeats one permutation in every epoch, and no backend can resume it.
"""

import itertools
from collections.abc import Callable, Iterator

import keras
import numpy as np

import augment

# Share of the device's memory that the whole data set may take.
RESIDENT_SHARE = 0.4


def order(seed: int, epoch: int, n: int) -> np.ndarray:
    """Permutation of n images, a function of (seed, epoch)."""
    return np.random.default_rng((seed, epoch)).permutation(n)


def batches(
    split, policy: augment.Policy | None, *, batch_size: int, seed: int, epoch: int
) -> Iterator[tuple]:
    """Yield (images, labels) without end, from the start of `epoch` on; epochs count from 0.

    Images are (batch, h, w, c): float32 on the device when augmented, uint8 otherwise. The last
    batch of an epoch holds what is left. Being one stream over all epochs, a prefetching thread
    runs across their borders without harm.
    """
    pixels = _pixels(split)
    for current in itertools.count(epoch):
        permutation = order(seed, current, len(split.labels))
        for start in range(0, len(permutation), batch_size):
            indices = permutation[start : start + batch_size]
            images = pixels(indices)
            if policy is not None:
                images = augment.batch(images, policy, seed=seed, epoch=current, indices=indices)
            yield images, split.labels[indices]


class Validation(keras.utils.PyDataset):
    """A split in its own order, in batches of (uint8 images, labels)."""

    def __init__(self, split, batch_size: int):
        super().__init__()
        self.split, self.batch_size = split, batch_size

    def __len__(self) -> int:
        return -(-len(self.split.labels) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        start = index * self.batch_size
        indices = np.arange(start, min(start + self.batch_size, len(self.split.labels)))
        return self.split.batch(indices), self.split.labels[indices]


def device() -> str:
    """Name of the device that the active backend computes on."""
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


def _pixels(split) -> Callable[[np.ndarray], object]:
    """Return indices -> images, from the accelerator's own memory where all of them fit.

    TensorFlow reads from the host: its input pipeline would copy each batch back and forth.
    """
    n = len(split.labels)
    sample = split.batch(np.arange(min(n, 1)))
    size = sample.nbytes * n
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        first = jax.devices()[0]
        stats = (first.memory_stats() or {}) if first.platform != "cpu" else {}
        if size < RESIDENT_SHARE * stats.get("bytes_limit", 0):
            resident = jax.device_put(split.batch(np.arange(n)), first)
            take = jax.jit(lambda images, indices: images[indices])
            return lambda indices: take(resident, indices)
    if backend == "torch":
        import torch

        if torch.cuda.is_available() and size < RESIDENT_SHARE * torch.cuda.mem_get_info()[1]:
            resident = torch.from_numpy(split.batch(np.arange(n))).cuda()
            return lambda indices: resident[torch.from_numpy(indices).cuda()]
    return split.batch
