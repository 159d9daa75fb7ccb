"""Batch normalization by TensorFlow's fused kernel, over all replicas.

The one file of models/ that uses TensorFlow: keras.ops has no fused kernel,
and Keras's own layer takes three times as long (BUILD_NOTES.md).
"""

import keras
import tensorflow as tf

MOMENTUM = 0.9  # share of the moving statistics that stays at each step
EPSILON = 1e-5  # added to the variance


class BatchNorm(keras.layers.Layer):
    """Normalizes channels to beta and gamma; gamma starts from N(1, 0.02).

    Moments are those of the global batch. The moving variance takes the
    unbiased one, as PyTorch's does. float32 inside, whatever the precision.
    """

    def build(self, input_shape):
        shape = (input_shape[-1],)
        self.gamma = self.add_weight(
            shape=shape,
            name="gamma",
            dtype="float32",
            autocast=False,
            initializer=keras.initializers.RandomNormal(1.0, 0.02),
        )
        self.beta = self.add_weight(
            shape=shape,
            name="beta",
            dtype="float32",
            autocast=False,
            initializer="zeros",
        )
        moving = {"trainable": False, "dtype": "float32", "autocast": False}
        self.moving_mean = self.add_weight(
            shape=shape,
            name="moving_mean",
            initializer="zeros",
            aggregation="mean",
            **moving,
        )
        self.moving_variance = self.add_weight(
            shape=shape,
            name="moving_variance",
            initializer="ones",
            aggregation="mean",
            **moving,
        )

    def call(self, x, training=False):
        maps = x if len(x.shape) == 4 else x[:, None, None, :]
        if not training:
            y = self._normalize(maps, self.moving_mean, self.moving_variance)
        elif tf.distribute.get_strategy().num_replicas_in_sync == 1:
            y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
                maps, *self._scale(), epsilon=EPSILON, is_training=True
            )
            self._move(mean, variance)
        else:
            mean, variance, count = self._global_moments(maps)
            y = self._normalize(maps, mean, variance)
            self._move(mean, variance * count / (count - 1.0))
        return y if len(x.shape) == 4 else y[:, 0, 0, :]

    def _scale(self):
        """Gamma and beta in float32, also under mixed precision."""
        return (
            tf.cast(self.gamma, tf.float32),
            tf.cast(self.beta, tf.float32),
        )

    def _normalize(self, maps, mean, variance):
        gamma, beta = self._scale()
        factor = gamma * tf.math.rsqrt(variance + EPSILON)
        scaled = tf.cast(maps, tf.float32) * factor + (beta - mean * factor)
        return tf.cast(scaled, maps.dtype)

    def _global_moments(self, maps):
        """Mean and biased variance [C] of all replicas, and their count."""
        context = tf.distribute.get_replica_context()
        maps = tf.cast(maps, tf.float32)
        count = tf.cast(tf.size(maps) // maps.shape[-1], tf.float32)
        total, count = context.all_reduce(
            "SUM", [tf.reduce_sum(maps, [0, 1, 2]), count]
        )
        mean = total / count
        squares = context.all_reduce(
            "SUM", tf.reduce_sum(tf.square(maps - mean), [0, 1, 2])
        )
        return mean, squares / count, count

    def _move(self, mean, variance):
        """Moves the statistics towards those of a batch."""
        for moving, new in (
            (self.moving_mean, mean),
            (self.moving_variance, variance),
        ):
            moving.assign(MOMENTUM * moving + (1.0 - MOMENTUM) * new)

    def compute_output_shape(self, input_shape):
        return input_shape
