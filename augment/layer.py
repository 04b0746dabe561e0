"""A policy as a Keras layer."""

import keras
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
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, images, training: bool = False):
        """(n, h, w, c) -> (n, h, w, c), float32."""
        if not training:
            return ops.cast(images, self.compute_dtype)
        shape = tuple(images.shape[1:])
        n = ops.shape(images)[0]
        u = keras.random.uniform(
            (n, _draw.columns(shape[2])), dtype="float32", seed=self.seed_generator
        )
        drawn = _draw.parameters(self.policy, u, shape, ops)
        images = _warp.transform(images, drawn, _warp.sampling(self.policy))
        return ops.cast(images, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict:
        """Return the configuration, with the policy as a plain dict."""
        return {**super().get_config(), "policy": self.policy.to_dict(), "seed": self.seed}
