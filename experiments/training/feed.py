"""Batches for training: our own order, augmented on the device, endless.

Batch k of epoch e is a function of (seed, e, k) alone. Keras' own shuffling is not used: on
TensorFlow under a seed it repeats one permutation in every epoch, and no backend can resume it.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator

import keras
import numpy as np

import augment
from experiments.datasets import Split
from experiments.training import enlarging
from experiments.training.targets import Labels, paired

# Share of the device's memory that the whole data set may take.
RESIDENT_SHARE = 0.4


def order(seed: int, epoch: int, n: int, *stream: int) -> np.ndarray:
    """Permutation of n images, a function of (seed, epoch); other streams are independent."""
    return np.random.default_rng((seed, epoch, *stream)).permutation(n)


@dataclasses.dataclass(frozen=True)
class Plan:
    """Which of a split's images make up each batch.

    Each of the first `images` is seen once an epoch. Where there are `extra` images behind them,
    every batch ends in `per_batch` of those: all in turn, round after round across epochs, each
    round in an order of its own.
    """

    images: int
    batch_size: int
    seed: int
    extra: int = 0
    per_batch: int = 0

    def __post_init__(self):
        if self.extra and not 0 < self.per_batch < self.batch_size:
            raise ValueError(
                f"{self.per_batch} extra images in batches of {self.batch_size}: leave room for "
                "others"
            )

    @property
    def steps(self) -> int:
        """Batches of an epoch; the last one holds what is left."""
        return -(-self.images // self._fresh)

    @property
    def whole(self) -> int:
        """Batches of an epoch that are full: all, or all but the last."""
        return self.images // self._fresh

    @property
    def seen(self) -> int:
        """Images of an epoch, repeated ones included."""
        return self.seen_in(self.steps)

    def seen_in(self, steps: int) -> int:
        """Return the images of an epoch's first steps, repeated ones included."""
        return min(steps * self._fresh, self.images) + steps * (self.batch_size - self._fresh)

    def epoch(self, number: int) -> Iterator[np.ndarray]:
        """Yield the indices of each batch of an epoch; epochs count from 0."""
        permutation = order(self.seed, number, self.images)
        for step in range(self.steps):
            batch = permutation[step * self._fresh : (step + 1) * self._fresh]
            if self.extra:
                batch = np.concatenate([batch, self._turn(number * self.steps + step)])
            yield batch

    @property
    def _fresh(self) -> int:
        return self.batch_size - (self.per_batch if self.extra else 0)

    def _turn(self, step: int) -> np.ndarray:
        """Return indices of the extra images of a step, counted from the start of training."""
        places = range(step * self.per_batch, (step + 1) * self.per_batch)
        rounds = (divmod(place, self.extra) for place in places)
        picked = [order(self.seed, number, self.extra, 1)[place] for number, place in rounds]
        return self.images + np.array(picked)


def batches(
    split: Split,
    plan: Plan,
    policy: augment.Policy | None,
    targets: Labels,
    *,
    epoch: int,
    mix: augment.Mix | None = None,
) -> Iterator[tuple]:
    """Yield (images, targets) without end, from the start of `epoch` on; epochs count from 0.

    Images are (batch, h, w, c): float32 on the device when augmented or mixed, uint8 otherwise.
    Being one stream over all epochs, a prefetching thread runs across their borders without harm.
    """
    pixels = _pixels(split)
    for current in itertools.count(epoch):
        for indices in plan.epoch(current):
            images, drawn = seen(pixels, indices, plan, policy, mix, epoch=current)
            labels = split.labels[indices]
            if drawn is not None:
                labels = paired(labels, split.labels[drawn["partner"]], drawn["weight"])
            yield images, targets.of(images, labels)


def seen(
    pixels: Callable[[np.ndarray], object],
    indices: np.ndarray,
    plan: Plan,
    policy: augment.Policy | None,
    mix: augment.Mix | None = None,
    *,
    epoch: int,
) -> tuple[object, dict | None]:
    """Return images as training sees them in an epoch, and what was drawn to mix them.

    `pixels` returns images by their indices. An image's partner is augmented by its own draw, as
    when its turn comes; extra images of the plan are not mixed.
    """

    def view(numbers: np.ndarray) -> object:
        images = pixels(numbers)
        if policy is None:
            return images
        return augment.batch(images, policy, seed=plan.seed, epoch=epoch, indices=numbers)

    images = view(indices)
    if mix is None:
        return images, None
    draws = {"seed": plan.seed, "epoch": epoch, "n": plan.images, "shape": images.shape[1:]}
    drawn = augment.draw_mix(mix, indices=indices, **draws)
    return augment.apply_mix(images, view(drawn["partner"]), drawn), drawn


class Validation(keras.utils.PyDataset):
    """A split in its own order, in batches of (uint8 images, labels)."""

    def __init__(self, split, batch_size: int):
        super().__init__()
        self.labels, self.batch_size = split.labels, batch_size
        self._images, self._enlarge = enlarging.apart(split.images)

    def __len__(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        start = index * self.batch_size
        indices = np.arange(start, min(start + self.batch_size, len(self.labels)))
        return self._enlarge(self._images[indices]), self.labels[indices]


def room() -> float:
    """Return how many bytes of images may lie on JAX's accelerator; 0 on a CPU."""
    import jax

    first = jax.devices()[0]
    stats = (first.memory_stats() or {}) if first.platform != "cpu" else {}
    return RESIDENT_SHARE * stats.get("bytes_limit", 0)


def _pixels(split) -> Callable[[np.ndarray], object]:
    """Return indices -> images, from the accelerator's own memory where all of them fit.

    TensorFlow reads from the host: its input pipeline would copy each batch back and forth.
    """
    n, size = len(split.labels), enlarging.nbytes(split)
    images, enlarge = enlarging.apart(split.images)
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        if size < room():
            resident = jax.device_put(images[np.arange(n)], jax.devices()[0])
            take = jax.jit(lambda images, indices: images[indices])
            return lambda indices: enlarge(take(resident, indices))
    if backend == "torch":
        import torch

        if torch.cuda.is_available() and size < RESIDENT_SHARE * torch.cuda.mem_get_info()[1]:
            resident = torch.from_numpy(images[np.arange(n)]).cuda()
            return lambda indices: enlarge(resident[torch.from_numpy(indices).cuda()])
    return lambda indices: enlarge(images[indices])
