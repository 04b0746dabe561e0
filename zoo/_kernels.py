"""Layers of Keras on TensorFlow's own kernels, where Keras 3.15 takes slower ways around them.

They compute the same, and saved models name and load as Keras' own layers.
"""

import functools
import math


@functools.cache
def conv2d() -> type:
    """Return `keras.layers.Conv2D`, with TensorFlow's own grouped kernels where it has them.

    Keras has XLA compile every grouped convolution, because TensorFlow on a CPU once had none; on
    a CPU the gradient that XLA makes is slower by orders of magnitude. TensorFlow with oneDNN has
    had them since, gradients too.
    """
    import keras

    class Conv2D(keras.layers.Conv2D):
        __module__ = "keras.layers"

        def convolution_op(self, inputs, kernel):
            if (
                self.groups == 1
                or self.data_format != "channels_last"
                or keras.backend.backend() != "tensorflow"
                or not _trains(keras.backend.standardize_dtype(inputs.dtype))
            ):
                return super().convolution_op(inputs, kernel)
            import tensorflow as tf

            return tf.nn.conv2d(
                inputs, kernel, self.strides, self.padding.upper(), dilations=self.dilation_rate
            )

    return Conv2D


@functools.cache
def batch_normalization() -> type:
    """Return `keras.layers.BatchNormalization`, of maps as one kernel of TensorFlow.

    Keras composes it of moments, differences and products, each a pass over the maps.
    """
    import keras

    class BatchNormalization(keras.layers.BatchNormalization):
        __module__ = "keras.layers"

        def call(self, inputs, training=None, mask=None):
            if (
                keras.backend.backend() != "tensorflow"
                or len(inputs.shape) != 4
                or self.axis not in (-1, 3)
                or keras.backend.standardize_dtype(inputs.dtype) != "float32"
                or mask is not None
                or self.renorm
                or self.synchronized
            ):
                return super().call(inputs, training=training, mask=mask)
            import tensorflow as tf

            learns = bool(training and self.trainable)
            width = inputs.shape[-1:]
            outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
                x=inputs,
                scale=self.gamma if self.scale else tf.ones(width),
                offset=self.beta if self.center else tf.zeros(width),
                mean=[] if learns else self.moving_mean,
                variance=[] if learns else self.moving_variance,
                epsilon=self.epsilon,
                is_training=learns,
            )
            if learns:
                # The kernel returns the variance of the population that the batch is drawn from,
                # Keras keeps that of the batch.
                n = tf.cast(tf.size(inputs) // width[0], "float32")
                for moving, found in (
                    (self.moving_mean, mean),
                    (self.moving_variance, variance * (n - 1) / n),
                ):
                    moving.assign(moving * self.momentum + found * (1 - self.momentum))
            return outputs

    return BatchNormalization


@functools.cache
def activation() -> type:
    """Return `keras.layers.Activation`, with a GELU that trains as one kernel each way.

    TensorFlow composes it of an error function and products, each a pass over the maps; compiled
    by XLA it took a quarter of the time on a CPU. At inference it is Keras' own, so that it is
    exported as any other.
    """
    import keras

    class Activation(keras.layers.Activation):
        __module__ = "keras.layers"

        def call(self, inputs, training=None):
            if (
                not training
                or self.activation is not keras.activations.gelu
                or keras.backend.backend() != "tensorflow"
                or keras.backend.standardize_dtype(inputs.dtype) != "float32"
            ):
                return super().call(inputs)
            return _gelu()(inputs)

    return Activation


@functools.cache
def _gelu():
    import tensorflow as tf

    def upper(x):  # share of the normal distribution below x
        return 0.5 * (1 + tf.math.erf(x * 0.5**0.5))

    @tf.function(jit_compile=True)
    def forward(x):
        return x * upper(x)

    @tf.function(jit_compile=True)
    def backward(x, gradient):
        return gradient * (upper(x) + x * tf.exp(-0.5 * x * x) * (2 * math.pi) ** -0.5)

    @tf.custom_gradient
    def fused(x):
        return forward(x), lambda gradient: backward(x, gradient)

    return fused


@functools.cache
def _trains(dtype: str) -> bool:
    """Try whether TensorFlow has grouped convolutions and their gradients: not without oneDNN."""
    import tensorflow as tf

    with tf.init_scope():
        images, kernel = tf.ones((1, 3, 3, 4), dtype), tf.ones((3, 3, 2, 4), dtype)
        try:
            with tf.GradientTape() as tape:
                tape.watch((images, kernel))
                maps = tf.nn.conv2d(images, kernel, 1, "SAME")
            tape.gradient(maps, (images, kernel))
        except tf.errors.OpError:
            return False
    return True
