"""Grouped convolutions by TensorFlow's own kernels.

Keras 3.15 has XLA compile every grouped convolution, because TensorFlow on a CPU once had none; on
a CPU the gradient that XLA makes is slower by orders of magnitude. TensorFlow with oneDNN has had
them since, gradients too.
"""

import functools


@functools.cache
def conv2d() -> type:
    """Return `keras.layers.Conv2D`, on TensorFlow with its own grouped kernels where it has them.

    Saved layers name Keras' class and load as that.
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
