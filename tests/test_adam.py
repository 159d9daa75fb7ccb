"""Adam by TensorFlow's kernel against Keras's own."""

import keras
import numpy as np
import tensorflow as tf

from attngan_tf.adam import Adam


def trained(optimizer):
    """A weight and its moments after five steps of random gradients."""
    rng = np.random.default_rng(0)
    weight = keras.Variable(rng.normal(size=(3, 4)))
    optimizer.build([weight])
    step = tf.function(lambda gradient: optimizer.apply([gradient], [weight]))
    for _ in range(5):
        step(tf.constant(rng.normal(size=(3, 4)), tf.float32))
    return [weight, *optimizer.variables]


def test_weights_and_moments_equal_those_of_keras():
    settings = {"learning_rate": 0.01, "beta_1": 0.5, "epsilon": 1e-4}
    found = trained(Adam(**settings))
    expected = trained(keras.optimizers.Adam(**settings))
    assert [v.shape for v in found] == [v.shape for v in expected]
    for ours, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, reference, rtol=1e-5, atol=1e-6)
