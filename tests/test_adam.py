"""Tests of attngan_tf.adam."""

import keras
import numpy as np
import tensorflow as tf

from attngan_tf.adam import Adam


def trained(optimizer, dtype="float32"):
    """A weight and its moments after five steps of random gradients."""
    draw = np.random.default_rng(0)
    weight = keras.Variable(draw.normal(size=(3, 4)), dtype=dtype)
    optimizer.build([weight])

    @tf.function
    def step(gradient):
        optimizer.apply([gradient], [weight])

    for _ in range(5):
        step(tf.constant(draw.normal(size=(3, 4)), dtype))
    return [weight, *optimizer.variables]


def test_it_is_kerass():
    settings = {"learning_rate": 0.01, "beta_1": 0.5, "epsilon": 1e-4}
    ours = trained(Adam(**settings))
    theirs = trained(keras.optimizers.Adam(**settings))
    assert [v.shape for v in ours] == [v.shape for v in theirs]
    for found, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_it_is_the_equations():
    draw = np.random.default_rng(0)
    weight = draw.normal(size=(3, 4))
    m = v = np.zeros((3, 4))
    for t in range(1, 6):
        gradient = draw.normal(size=(3, 4))
        m = 0.5 * m + 0.5 * gradient
        v = 0.999 * v + 0.001 * gradient**2
        rate = 0.01 * np.sqrt(1 - 0.999**t) / (1 - 0.5**t)
        weight -= rate * m / (np.sqrt(v) + 1e-4)
    settings = {"learning_rate": 0.01, "beta_1": 0.5, "epsilon": 1e-4}
    found = trained(Adam(**settings))[0]
    np.testing.assert_allclose(found, weight, rtol=1e-4)


def test_a_schedule_and_a_scaled_loss():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    ours, theirs = (
        trained(
            keras.optimizers.LossScaleOptimizer(
                kind(schedule, beta_1=0.5), initial_scale=4.0
            )
        )[0]
        for kind in (Adam, keras.optimizers.Adam)
    )
    np.testing.assert_allclose(ours, theirs, atol=5e-6)
