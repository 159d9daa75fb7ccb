"""Batch normalization with TensorFlow's fused kernel, over all replicas.

The only module of models/ that uses TensorFlow: keras.ops has no fused kernel,
and Keras's own layer takes three times as long (docs/performance.md).
"""

import keras
import tensorflow as tf

from attngan_tf.models.layers.glu import glu

MOMENTUM = 0.9  # weight of the old moving statistics in each update
EPSILON = 1e-5  # added to the variance


class BatchNorm(keras.layers.Layer):
    """Batch normalization with gamma initialized from N(1, 0.02).

    Moments are those of the global batch. The moving variance is updated with
    the unbiased variance, as in PyTorch. The computation is in float32 in every
    precision.
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
            y, mean, variance = self._fused(maps, *self._scale())
            self._move(mean, variance)
        else:
            mean, variance, count = self._global_moments(maps)
            y = self._normalize(maps, mean, variance)
            self._move(mean, variance * count / (count - 1.0))
        return y if len(x.shape) == 4 else y[:, 0, 0, :]

    def _fused(self, maps, gamma, beta):
        """The output, and the batch's mean and unbiased variance."""
        return tf.compat.v1.nn.fused_batch_norm(
            maps, gamma, beta, epsilon=EPSILON, is_training=True
        )

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
        """Mean and biased variance [C] over all replicas, and the count."""
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
        """Moves the statistics towards those of the batch."""
        for moving, new in (
            (self.moving_mean, mean),
            (self.moving_variance, variance),
        ):
            moving.assign(MOMENTUM * moving + (1.0 - MOMENTUM) * new)

    def compute_output_shape(self, input_shape):
        return input_shape


class GatedBatchNorm(BatchNorm):
    """BN, then a GLU: [..., 2C] -> [..., C]."""

    def _normalize(self, maps, mean, variance):
        return _gated(super()._normalize(maps, mean, variance))

    def _fused(self, maps, gamma, beta):
        if maps.dtype == tf.float32:
            return _normalized_and_gated(maps, gamma, beta)
        # In bfloat16, recomputation takes longer and saves half as much.
        y, mean, variance = super()._fused(maps, gamma, beta)
        return _gated(y), mean, variance

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] // 2)


@tf.custom_gradient
def _gated(x):
    """A GLU of x [..., 2C] that stores only x for the gradient."""

    def gradient(upstream):
        return _gate_gradient(_after(upstream, x), upstream)

    return glu(x), gradient


@tf.custom_gradient
def _normalized_and_gated(x, gamma, beta):
    """BN with the batch's moments, and a GLU; stores only x for the gradient.

    Args:
      x: float32 [B, H, W, 2C].
      gamma: float32 [2C].
      beta: float32 [2C].

    Returns:
      The output [B, H, W, C], and the mean and the unbiased variance [2C],
      which have no gradient.
    """
    y, mean, variance, *saved = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=[], variance=[], epsilon=EPSILON
    )

    def gradient(upstream, *unused):
        later = _after(upstream, x)
        count = tf.cast(tf.size(x) // x.shape[-1], tf.float32)
        again = tf.raw_ops.FusedBatchNormV3(
            x=later,
            scale=gamma,
            offset=beta,
            mean=mean,
            variance=variance * (count - 1.0) / count,
            epsilon=EPSILON,
            is_training=False,
        )
        return tf.raw_ops.FusedBatchNormGradV3(
            y_backprop=_gate_gradient(again.y, upstream),
            x=later,
            scale=gamma,
            epsilon=EPSILON,
            **{f"reserve_space_{i + 1}": s for i, s in enumerate(saved)},
        )[:3]

    return (glu(y), mean, variance), gradient


def _after(upstream, x):
    """Returns x, but only after `upstream` has been computed.

    Otherwise TensorFlow would recompute from x, and store the results, as soon
    as x is available.
    """
    with tf.control_dependencies([upstream]):
        return tf.identity(x)


def _gate_gradient(x, upstream):
    """The gradient for a GLU's input x [..., 2C] from that for its output."""
    values, gates = tf.split(x, 2, axis=-1)
    gates = tf.sigmoid(gates)
    opened = upstream * gates
    shut = opened * (1.0 - gates)
    return tf.concat([opened, shut * values], axis=-1)
