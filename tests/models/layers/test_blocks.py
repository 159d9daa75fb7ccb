"""Batch normalization and the start of the blocks.

What the blocks compute is compared with the PyTorch reference in
tests/models/test_generator.py and test_discriminator.py.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.models.layers.batch_norm import BatchNorm, GatedBatchNorm


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def randomize(layer, rng):
    """Sets every weight, including BN statistics, to random values."""
    for w in layer.weights:
        positive = "variance" in w.path
        values = rng.uniform(0.5, 1.5, w.shape) if positive else None
        w.assign(rng.normal(0.0, 0.5, w.shape) if values is None else values)


def bn_and_glu(x, gamma, beta):
    """BN with the batch's moments and a GLU, from plain operations."""
    mean, variance = tf.nn.moments(x, [0, 1, 2])
    y = gamma * (x - mean) / tf.sqrt(variance + 1e-5) + beta
    values, gates = tf.split(y, 2, axis=-1)
    return values / (1.0 + tf.exp(-gates))


def with_gradients(call, inputs, upstream):
    """The output and the gradients for all inputs, in float64."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y = call(*inputs)
    gradients = tape.gradient(y, inputs, tf.cast(upstream, y.dtype))
    return [tf.cast(found, tf.float64).numpy() for found in (y, *gradients)]


@pytest.mark.parametrize(
    ("policy", "tolerance"), [("float32", 2e-6), ("mixed_bfloat16", 0.02)]
)
def test_gated_batch_norm_has_the_gradient_of_bn_and_glu(
    rng, policy, tolerance
):
    x = rng.normal(2.0, 3.0, size=(2, 3, 4, 10))
    upstream = rng.normal(size=(2, 3, 4, 5))
    layer = GatedBatchNorm(dtype=policy)
    layer.build(x.shape)
    randomize(layer, rng)
    weights = [w.value for w in layer.trainable_weights]
    expected = with_gradients(
        bn_and_glu,
        [tf.constant(x), *(tf.cast(w, tf.float64) for w in weights)],
        upstream,
    )
    found = with_gradients(
        lambda x, *unused: layer(x, training=True),
        [tf.constant(x, layer.compute_dtype), *weights],
        upstream,
    )
    for ours, reference in zip(found, expected, strict=True):
        scale = np.abs(reference).max()
        np.testing.assert_allclose(ours, reference, atol=tolerance * scale)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_recomputation_for_the_gradient_waits_for_the_upstream_gradient(policy):
    layer = GatedBatchNorm(dtype=policy)
    layer.build((None, 4, 4, 6))

    @tf.function(autograph=False)
    def gradient(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        return tape.gradient(y, x, upstream)

    specs = [tf.TensorSpec([2, 4, 4, C], layer.compute_dtype) for C in (6, 3)]
    graph = gradient.get_concrete_function(*specs).graph
    _, upstream, *_ = [x.op for x in graph.inputs]
    sigmoids = [x for x in graph.get_operations() if x.type == "Sigmoid"]
    assert len(sigmoids) == 2
    waiting = [upstream in predecessors(sigmoid) for sigmoid in sigmoids]
    assert sorted(waiting) == [False, True]


def predecessors(operation):
    """The operations that must be done before one."""
    before, todo = set(), [operation]
    while todo:
        last = todo.pop()
        inputs = {*(x.op for x in last.inputs), *last.control_inputs}
        todo += inputs - before
        before |= inputs
    return before


@pytest.mark.parametrize("shape", [(4, 2, 2, 3), (16, 3)])
def test_batch_norm_moves_by_a_tenth_of_the_unbiased_variance(rng, shape):
    x = rng.normal(2.0, 3.0, size=shape).astype(np.float32)
    layer = BatchNorm()
    layer.build(x.shape)
    randomize(layer, rng)
    gamma, beta, mean, variance = layer.get_weights()
    rows = x.reshape(-1, 3).astype(np.float64)
    found = layer(x, training=True)
    expected = gamma * (x - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-5) + beta
    np.testing.assert_allclose(found, expected, atol=1e-4)
    _, _, new_mean, new_variance = layer.get_weights()
    np.testing.assert_allclose(
        new_mean, 0.9 * mean + 0.1 * rows.mean(0), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        new_variance, 0.9 * variance + 0.1 * rows.var(0, ddof=1), rtol=1e-5
    )
    found = layer(x, training=False)
    expected = gamma * (x - new_mean) / np.sqrt(new_variance + 1e-5) + beta
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_batch_norm_is_float32_inside_under_mixed_precision():
    layer = BatchNorm(dtype="mixed_bfloat16")
    layer.build((None, 1))
    # In bfloat16, gamma would be 1.0, beta -1000 and the mean 0.
    weights = [1.003, -1000.5, -0.75, 1.0 - 1e-5]
    layer.set_weights([np.array([w]) for w in weights])
    found = layer(np.array([[1000.0]], np.float32), training=False)
    assert found.dtype == "bfloat16"
    expected = 1.003 * 1000.75 - 1000.5
    assert float(found[0, 0]) == pytest.approx(expected, rel=0.005)


def test_batch_norm_starts_with_gamma_near_one():
    keras.utils.set_random_seed(1)
    layer = BatchNorm()
    layer.build((None, 4000))
    gamma = layer.gamma.numpy()
    # Standard errors: 0.0003 of the mean, 0.0002 of the deviation.
    assert gamma.mean() == pytest.approx(1.0, abs=0.002)
    assert gamma.std() == pytest.approx(0.02, abs=0.0015)
    assert not layer.beta.numpy().any()
