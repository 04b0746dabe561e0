"""A policy as a Keras layer."""

import keras
import numpy as np
from keras import ops

from augment import _draw, _warp
from augment.policy import Policy, get


@keras.saving.register_keras_serializable(package="augment")
class Augment(keras.layers.Layer):
    """Augments in training, passes images through at inference; works inside a jitted step.

    Images are (n, h, w, c), raw pixels 0..255. Random numbers come from Keras' generator of the
    backend, so a seed repeats on one backend; `augment.batch` has the draws that do not depend on
    backend and batch size. Touch `augment.Augment` before loading a saved model that has one:
    that registers the class.

    Args:
        policy: a Policy or what `augment.get` takes.
        seed: seed of the layer's SeedGenerator, whose state counts the calls.
        **options: arguments of `keras.layers.Layer`. `dtype` is float32 unless given, also under
            mixed precision: bfloat16 has too few bits for pixel coordinates.

    """

    def __init__(self, policy: Policy | str | dict, seed: int | None = None, **options):
        options.setdefault("dtype", "float32")
        super().__init__(**options)
        self.policy = get(policy)
        if self.policy.alternating_flip:
            raise ValueError(
                "policy field alternating_flip: a layer knows neither epoch nor image number: use "
                "horizontal_flip: 0.5 here, or augment.batch"
            )
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        # Only where they are read: layers that were saved without it have no such variable.
        self.later = None
        if _draw.reads_later(self.policy):
            # Another stream, of a seed that is as long: torch takes 31 bits.
            self.later = keras.random.SeedGenerator(None if seed is None else seed ^ 0x2545F491)

    def call(self, images, training: bool = False):
        """(n, h, w, c) -> (n, h, w, c), float32."""
        if not training:
            return ops.cast(images, self.compute_dtype)
        shape = tuple(images.shape[1:])
        n = ops.shape(images)[0]
        # The columns up to the channels' order, read or not, so that a seed's images stay as they
        # are; likewise all later ones.
        together = _draw.COLUMNS["channel_order"].first + shape[2]
        u = keras.random.uniform((n, together), dtype="float32", seed=self.seed_generator)
        plan = _draw.plan(self.policy, shape)
        columns = plan.columns
        if self.later is not None:
            size = (n, _draw.END - _draw.LATER)
            later = keras.random.uniform(size, dtype="float32", seed=self.later)
            u = ops.concatenate([u, later], axis=1)
            columns = np.where(columns < _draw.LATER, columns, columns - _draw.LATER + together)
        drawn = _draw.parameters(plan, ops.take(u, columns, axis=1), ops)
        images = _warp.transform(images, drawn, _warp.sampling(self.policy))
        return ops.cast(images, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict:
        """Return the configuration, with the policy as a plain dict."""
        return {**super().get_config(), "policy": self.policy.to_dict(), "seed": self.seed}
