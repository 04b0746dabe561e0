"""Steps of a generator and a discriminator, their draws, and the state that resumes them."""

import types
from collections.abc import Callable, Iterator
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

import augment
from experiments.datasets import Dataset
from experiments.generate import networks
from experiments.generate.updates import update
from experiments.recipes.averages import Ema
from experiments.recipes.gan import Gan
from experiments.training import optimizers
from experiments.training.feed import order

# Independent streams of draws of a step.
_LEARNS, _FOOLS, _VIEWS = 0, 1, 2


class Loss(NamedTuple):
    """What the discriminator learns of (real, generated) scores, and the generator of its own."""

    of_discriminator: Callable
    of_generator: Callable


LOSSES = {
    "hinge": Loss(
        lambda real, made: ops.mean(ops.relu(1 - real)) + ops.mean(ops.relu(1 + made)),
        lambda made: -ops.mean(made),
    ),
    "logistic": Loss(
        lambda real, made: ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(made)),
        lambda made: ops.mean(ops.softplus(-made)),
    ),
}


class Pair:
    """Both networks of a row, their optimizers, and steps of them.

    Everything that a step draws is a function of (seed, number of the step); the networks'
    variables and the optimizers' are the whole state.
    """

    def __init__(self, row: Gan, data: Dataset):
        keras.utils.set_random_seed(row.seed)
        self.row, self.shape, self.classes = row, data.image_shape, len(data.class_names)
        conditional = self.classes if row.conditional else None
        self.generator = networks.generator(row.generator, self.shape, conditional)
        self.discriminator = networks.discriminator(row.discriminator, self.shape, conditional)
        self._loss = LOSSES[row.loss]
        ema = Ema(name="ema", decay=row.generator.ema) if row.generator.ema else None
        self._of_generator = optimizers.make(row.generator.optimizer, average=ema)
        self._of_discriminator = optimizers.make(row.discriminator.optimizer)
        for optimizer, network in self._both():
            optimizer.build(network.trainable_variables)
        self._compiled: dict[tuple, tuple] = {}

    @property
    def variables(self) -> list:
        """Variables of both networks, as a checkpoint keeps them."""
        return [v for _, network in self._both() for v in network.variables]

    @property
    def optimizer(self) -> types.SimpleNamespace:
        """What has the variables of both optimizers, as a checkpoint keeps them."""
        found = [v for optimizer, _ in self._both() for v in optimizer.variables]
        return types.SimpleNamespace(variables=found)

    def _both(self) -> Iterator[tuple]:
        yield self._of_generator, self.generator
        yield self._of_discriminator, self.discriminator

    def averaged(self) -> keras.Model:
        """Return a generator of its own with the averaged weights."""
        spec, conditional = self.row.generator, self.classes if self.row.conditional else None
        model = networks.generator(spec, self.shape, conditional, name="averaged")
        model.set_weights(self.generator.get_weights())
        if self.row.generator.ema:
            pairs = self._of_generator.pairs()
            for variable, (_, mean) in zip(model.trainable_variables, pairs, strict=True):
                variable.assign(ops.copy(mean.value))  # JAX donates the buffers of what predicts
        return model

    def step(self, number: int, real: np.ndarray, labels: np.ndarray) -> tuple:
        """Make a step of both; return the losses of discriminator and generator, as tensors.

        `real` are images (n, h, w, c) uint8 of `labels` (n,); steps count from 0.
        """
        n, seed = len(real), self.row.seed
        learns, fools = (
            np.random.default_rng((seed, number, stream)) for stream in (_LEARNS, _FOOLS)
        )
        code, views = self._views(number, n)
        teach, fool = self._updates(code)
        latent = (n, self.row.generator.latent)
        labels = np.asarray(labels, np.int32)
        of_discriminator = teach(
            np.asarray(real, np.float32),
            labels,
            learns.standard_normal(latent, np.float32),
            *views[:2],
        )
        wanted = fools.integers(0, self.classes, n, np.int32)
        of_generator = fool(wanted, fools.standard_normal(latent, np.float32), views[2])
        return of_discriminator, of_generator

    def _views(self, number: int, n: int) -> tuple[tuple, list[np.ndarray]]:
        """Draw how real and generated images of a step are seen: all by the same policy."""
        if self.row.diff_augment is None:
            return (), [np.zeros((n, 0), np.float32)] * 3
        drawn = {"seed": self.row.seed + _VIEWS, "epoch": number, "shape": self.shape}
        policy = augment.get(self.row.diff_augment)
        parts = [
            augment.pack(policy, indices=np.arange(k * n, (k + 1) * n), **drawn) for k in range(3)
        ]
        return tuple(code for _, code in parts), [packed for packed, _ in parts]

    def _updates(self, code: tuple) -> tuple:
        """Return the compiled steps of both for views of this code."""
        if code not in self._compiled:
            codes = code or (None,) * 3

            def teach(real, labels, latent, of_real, of_made):
                made = self._asked(self.generator, latent, labels)
                seen = _seen(real, of_real, codes[0]), _seen(made, of_made, codes[1])
                said = [self._asked(self.discriminator, images, labels) for images in seen]
                return self._loss.of_discriminator(*said)

            def fool(labels, latent, of_made):
                made = _seen(self._asked(self.generator, latent, labels), of_made, codes[2])
                return self._loss.of_generator(self._asked(self.discriminator, made, labels))

            both = self.discriminator, self.generator
            self._compiled[code] = (
                update(teach, *both, self._of_discriminator),
                update(fool, *reversed(both), self._of_generator),
            )
        return self._compiled[code]

    def _asked(self, network: keras.Model, given, labels):
        inputs = [given, labels] if self.row.conditional else given
        return network(inputs, training=True)


def epoch(row: Gan, data: Dataset, number: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the whole batches (images, labels) of an epoch, counted from 0, in an order of its own.

    What is left of the images is not seen in it: batch normalization wants batches of one size.
    """
    labels = data.train.labels
    places = order(row.seed, number, len(labels))
    for start in range(0, len(labels) - row.batch_size + 1, row.batch_size):
        chosen = places[start : start + row.batch_size]
        yield data.train.batch(chosen), labels[chosen]


def steps(row: Gan, data: Dataset) -> int:
    """Return the steps of an epoch; ValueError where there is not one."""
    if not (found := len(data.train) // row.batch_size):
        raise ValueError(
            f"batch_size: {row.batch_size}, and there are {len(data.train)} training images: give "
            "at most as many"
        )
    return found


def _seen(images, packed, code):
    return images if code is None else augment.apply_packed(images, packed, code)
