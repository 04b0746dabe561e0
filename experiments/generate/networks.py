"""Paper P2's DCGAN: a generator and a discriminator of images from 8 pixels on.

Published are the kinds of layers and their number: a dense layer, four transposed convolutions and
a regular one; four convolutions, dense, batch normalization, dense; batch normalization between
convolutions. Widths, kernels, strides and activations are DCGAN's (Radford et al., arXiv
1511.06434). Class-conditional forms are ours, as future work of the paper.
"""

import functools

import keras
from keras import layers, ops

from experiments.generate.sizes import strides_of
from experiments.recipes.gan import Discriminator, Generator

SLOPE = 0.2
conv = functools.partial(layers.Conv2D, kernel_size=4, padding="same")
grow = functools.partial(layers.Conv2DTranspose, kernel_size=4, padding="same", use_bias=False)


def generator(
    spec: Generator, shape: tuple[int, int, int], classes: int | None, name: str = "generator"
) -> keras.Model:
    """Return the network (latent numbers (n, latent)[, classes (n,)]) -> images 0..255 of `shape`.

    `classes` is their number, None for an unconditional one. Raises ValueError for images that are
    not square or smaller than 4 pixels.
    """
    first, strides = strides_of(shape)
    numbers = x = keras.Input((spec.latent,), name="latent")
    inputs = [numbers]
    if classes is not None:
        inputs.append(keras.Input((), dtype="int32", name="class"))
        known = layers.Embedding(classes, spec.latent, name="class_numbers")(inputs[1])
        x = layers.Concatenate(name="both")([numbers, known])
    widths = [spec.width * factor for factor in (8, 4, 2, 1, 1)]
    # (2 latent) -> (first, first, 8 width)
    x = layers.Dense(first * first * widths[0], use_bias=False, name="dense")(x)
    x = layers.Reshape((first, first, widths[0]), name="maps")(x)
    x = _normed(x, "dense_norm")
    for number, (width, stride) in enumerate(zip(widths[1:], strides, strict=True), start=1):
        # (h, w, c) -> (stride h, stride w, width)
        x = grow(width, strides=stride, name=f"grow{number}")(x)
        x = _normed(x, f"grow{number}_norm")
    x = conv(shape[-1], kernel_size=3, activation="tanh", name="image")(x)
    x = layers.Rescaling(127.5, offset=127.5, name="pixels")(x)
    return keras.Model(inputs if classes is not None else numbers, x, name=name)


def discriminator(
    spec: Discriminator, shape: tuple[int, int, int], classes: int | None
) -> keras.Model:
    """Return the network (images 0..255[, classes (n,)]) -> (n, 1): the higher, the more real."""
    _, strides = strides_of(shape)
    constraint = SpectralNorm() if spec.spectral_norm else None
    options = {"kernel_constraint": constraint, "use_bias": True}
    images = keras.Input(shape, name="images")
    inputs = [images]
    x = layers.Rescaling(1 / 127.5, offset=-1, name="pixels")(images)
    if classes is not None:
        inputs.append(keras.Input((), dtype="int32", name="class"))
    if classes is not None and spec.condition == "image":
        plane = layers.Embedding(classes, shape[0] * shape[1], name="class_plane")(inputs[1])
        plane = layers.Reshape((*shape[:2], 1), name="class_channel")(plane)
        x = layers.Concatenate(name="both")([x, plane])
    widths = [spec.width * factor for factor in (1, 2, 4, 8)]
    for number, (width, stride) in enumerate(zip(widths, reversed(strides), strict=True), start=1):
        # (h, w, c) -> (h / stride, w / stride, width)
        x = conv(width, strides=stride, name=f"conv{number}", **options)(x)
        if number > 1 and constraint is None:  # none on the first maps, as DCGAN has it
            x = layers.BatchNormalization(momentum=0.9, name=f"conv{number}_norm")(x)
        x = layers.LeakyReLU(SLOPE, name=f"conv{number}_relu")(x)
    x = layers.Flatten(name="flat")(x)
    x = layers.Dense(widths[-1], name="dense", **options)(x)
    if constraint is None:
        x = layers.BatchNormalization(momentum=0.9, name="dense_norm")(x)
    x = layers.LeakyReLU(SLOPE, name="dense_relu")(x)
    real = layers.Dense(1, name="real", **options)(x)
    if classes is not None and spec.condition == "projection":
        known = layers.Embedding(classes, widths[-1], name="class_direction")(inputs[1])
        real = real + layers.Dot(axes=1, name="of_class")([x, known])
    return keras.Model(inputs if classes is not None else images, real, name="discriminator")


class SpectralNorm(keras.constraints.Constraint):
    """Divides a kernel by its largest singular value where that is above 1, after each update.

    The kernel is seen as a matrix of all its inputs and its outputs (Miyato et al., arXiv
    1802.05957). Keras' layer of that name assigns the kernel within the step, which leaves none of
    its gradient on JAX; what is computed here has no state, so that resuming needs none.
    """

    steps = 12  # of the power iteration; from the row sums it is right to a percent

    def __call__(self, kernel):
        """Return the kernel with a largest singular value of at most about 1."""
        matrix = ops.reshape(kernel, (-1, kernel.shape[-1]))
        right = ops.sum(matrix, axis=0) + 1e-3
        for _ in range(self.steps):
            left = ops.normalize(ops.matmul(matrix, right[:, None])[:, 0], axis=0)
            right = ops.normalize(ops.matmul(ops.transpose(matrix), left[:, None])[:, 0], axis=0)
        largest = ops.norm(ops.matmul(matrix, right[:, None]))
        return kernel / ops.maximum(largest, 1.0)

    def get_config(self) -> dict:
        """Return no arguments."""
        return {}


def _normed(x, name: str):
    x = layers.BatchNormalization(momentum=0.9, name=name)(x)
    return layers.ReLU(name=f"{name}_relu")(x)
