"""Blocks against the same layers written with numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from attngan_tf.models.layers import blocks
from attngan_tf.models.layers.batch_norm import BatchNorm, GatedBatchNorm
from attngan_tf.models.layers.convolutions import Convolution, UpConvolution
from attngan_tf.models.layers.glu import GLU


def convolve(x, kernel, stride=1, before=1):
    """A convolution as PyTorch counts it: `before` zeros on every side."""
    k = kernel.shape[0]
    x = np.pad(x, [(0, 0), (before, before), (before, before), (0, 0)])
    places = range(0, x.shape[1] - k + 1, stride)
    rows = [
        [
            np.einsum("bijc,ijcd->bd", x[:, i : i + k, j : j + k], kernel)
            for j in places
        ]
        for i in places
    ]
    return np.array(rows).transpose(2, 0, 1, 3)


def normalize(x, gamma, beta, mean, variance):
    return gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta


def glu(x):
    values, gates = np.split(x, 2, axis=-1)
    return values / (1.0 + np.exp(-gates))


def randomize(layer, rng):
    """Gives every weight, BN's statistics too, a value of its own."""
    layer.set_weights(
        [
            rng.uniform(0.5, 1.5, w.shape)
            if "variance" in w.path
            else rng.normal(0.0, 0.5, w.shape)
            for w in layer.weights
        ]
    )


def parts(layer, kind):
    """The layers of a kind, in order of use."""
    if isinstance(layer, kind):
        return [layer]
    if isinstance(layer, blocks.UpBlock):
        layers = [layer.conv, layer.gate]
    else:
        layers = getattr(layer, "body", layer).layers
    return [x for x in layers if isinstance(x, kind)]


def bn_weights(layer):
    """gamma, beta, mean and variance of each BN, in order."""
    return [
        [
            w.numpy().astype(np.float64)
            for w in (n.gamma, n.beta, n.moving_mean, n.moving_variance)
        ]
        for n in parts(layer, BatchNorm)
    ]


def kernels(layer):
    convolutions = parts(layer, (Convolution, UpConvolution))
    return [part.kernel.numpy().astype(np.float64) for part in convolutions]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_glu_is_first_half_times_sigmoid_of_second(rng):
    x = rng.normal(size=(2, 3, 10))
    layer = GLU()
    np.testing.assert_allclose(layer(x), glu(x), rtol=1e-5, atol=1e-6)
    assert layer.compute_output_shape(x.shape) == (2, 3, 5)


def gated_by_moments(x, gamma, beta):
    """BN by the batch's moments and a GLU, of plain operations."""
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
    ("policy", "share"), [("float32", 2e-6), ("mixed_bfloat16", 0.02)]
)
def test_gated_norm_has_the_gradient_of_bn_and_glu(rng, policy, share):
    x = rng.normal(2.0, 3.0, size=(2, 3, 4, 10))
    upstream = rng.normal(size=(2, 3, 4, 5))
    layer = GatedBatchNorm(dtype=policy)
    layer.build(x.shape)
    randomize(layer, rng)
    weights = [w.value for w in layer.trainable_weights]
    expected = with_gradients(
        gated_by_moments,
        [tf.constant(x), *(tf.cast(w, tf.float64) for w in weights)],
        upstream,
    )
    found = with_gradients(
        lambda x, *unused: layer(x, training=True),
        [tf.constant(x, layer.compute_dtype), *weights],
        upstream,
    )
    for ours, theirs in zip(found, expected, strict=True):
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, atol=share * scale)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_gated_norm_computes_nothing_again_before_it_is_needed(policy):
    layer = GatedBatchNorm(dtype=policy)
    layer.build((None, 4, 4, 6))

    @tf.function(autograph=False)
    def gradient(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        return tape.gradient(y, x, upstream)

    dtype = layer.compute_dtype
    maps, half = (tf.TensorSpec([2, 4, 4, C], dtype) for C in (6, 3))
    graph = gradient.get_concrete_function(maps, half).graph
    _, upstream, *_ = [x.op for x in graph.inputs]
    parts = [x for x in graph.get_operations() if x.type == "Sigmoid"]
    assert len(parts) == 2
    waiting = [upstream in everything_before(part) for part in parts]
    assert sorted(waiting) == [False, True]


def everything_before(operation):
    """The operations that must be done before one."""
    before, todo = set(), [operation]
    while todo:
        for earlier in {
            *(x.op for x in todo[-1].inputs),
            *todo.pop().control_inputs,
        } - before:
            before.add(earlier)
            todo.append(earlier)
    return before


def test_up_block_is_nearest_convolution_bn_glu(rng):
    x = rng.normal(size=(2, 3, 3, 4))
    block = blocks.UpBlock(5)
    block.build(x.shape)
    randomize(block, rng)
    found = block(x, training=False)
    larger = x.repeat(2, axis=1).repeat(2, axis=2)
    y = convolve(larger, *kernels(block))
    expected = glu(normalize(y, *bn_weights(block)[0]))
    assert found.shape == (2, 6, 6, 5)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(4, 2, 2, 3), (16, 3)])
def test_bn_uses_the_batch_in_training_and_moves_by_a_tenth(rng, shape):
    x = rng.normal(2.0, 3.0, size=shape).astype(np.float32)
    layer = BatchNorm()
    layer.build(x.shape)
    randomize(layer, rng)
    gamma, beta, mean, variance = bn_weights(layer)[0]
    rows = x.reshape(-1, 3).astype(np.float64)
    expected = normalize(x, gamma, beta, rows.mean(0), rows.var(0))
    found = layer(x, training=True)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    _, _, moved_mean, moved_variance = bn_weights(layer)[0]
    np.testing.assert_allclose(
        moved_mean, 0.9 * mean + 0.1 * rows.mean(0), rtol=1e-5, atol=1e-6
    )
    # PyTorch's moving variance is that of n / (n - 1).
    np.testing.assert_allclose(
        moved_variance, 0.9 * variance + 0.1 * rows.var(0, ddof=1), rtol=1e-5
    )
    expected = normalize(x, gamma, beta, moved_mean, moved_variance)
    found = layer(x, training=False)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_bn_is_float32_inside_under_mixed_precision():
    layer = BatchNorm(dtype="mixed_bfloat16")
    layer.build((None, 1))
    # In bfloat16, gamma would be 1.0, beta -1000 and the mean 0.
    weights = [1.003, -1000.5, -0.75, 1.0 - 1e-5]
    layer.set_weights([np.array([w]) for w in weights])
    found = layer(np.array([[1000.0]], np.float32), training=False)
    assert found.dtype == "bfloat16"
    expected = 1.003 * 1000.75 - 1000.5
    assert float(found[0, 0]) == pytest.approx(expected, rel=0.005)


def test_residual_block_adds_its_input(rng):
    x = rng.normal(size=(2, 4, 4, 3))
    block = blocks.ResidualBlock()
    block.build(x.shape)
    randomize(block, rng)
    first, second = kernels(block)
    assert first.shape == (3, 3, 3, 6)
    assert second.shape == (3, 3, 3, 3)
    norms = bn_weights(block)
    y = glu(normalize(convolve(x, first), *norms[0]))
    y = normalize(convolve(y, second), *norms[1])
    found = block(x, training=False)
    np.testing.assert_allclose(found, x + y, rtol=1e-4, atol=1e-4)
    assert block.compute_output_shape(x.shape) == found.shape


@pytest.mark.parametrize("normalized", [True, False])
def test_leaky_block_halves_as_pytorch_pads(rng, normalized):
    x = rng.normal(size=(2, 6, 6, 3))
    block = keras.Sequential(blocks.leaky_block(4, 4, 2, normalized))
    block.build(x.shape)
    randomize(block, rng)
    y = convolve(x, *kernels(block), stride=2)
    assert len(block.weights) == (5 if normalized else 1)
    if normalized:
        y = normalize(y, *bn_weights(block)[0])
    expected = np.where(y > 0, y, 0.2 * y)
    assert expected.shape == (2, 3, 3, 4)
    np.testing.assert_allclose(
        block(x, training=False), expected, rtol=1e-4, atol=1e-4
    )


def test_convolutions_start_orthogonal_and_have_no_bias():
    layer = blocks.conv(8, 3)
    layer.build((None, 4, 4, 5))
    assert [w.name for w in layer.weights] == ["kernel"]
    columns = layer.kernel.numpy().reshape(-1, 8)
    np.testing.assert_allclose(columns.T @ columns, np.eye(8), atol=1e-5)


def test_bn_starts_with_gamma_near_one():
    keras.utils.set_random_seed(1)
    layer = BatchNorm()
    layer.build((None, 4000))
    gamma = layer.gamma.numpy()
    # Standard errors: 0.0003 of the mean, 0.0002 of the deviation.
    assert gamma.mean() == pytest.approx(1.0, abs=0.002)
    assert gamma.std() == pytest.approx(0.02, abs=0.0015)
    assert not layer.beta.numpy().any()


def test_tile_vector_repeats_over_places():
    vector = np.arange(6.0).reshape(2, 3)
    tiled = blocks.tile_vector(ops.array(vector), ops.zeros((2, 4, 5, 7)))
    assert tiled.shape == (2, 4, 5, 3)
    np.testing.assert_array_equal(
        tiled, np.broadcast_to(vector[:, None, None], (2, 4, 5, 3))
    )


@pytest.mark.parametrize(
    ("make", "side"),
    [
        (lambda policy: blocks.UpBlock(4, dtype=policy), 8),
        (lambda policy: blocks.ResidualBlock(dtype=policy), 4),
    ],
)
def test_bfloat16_computes_low_and_keeps_weights_high(rng, make, side):
    x = rng.normal(size=(2, 4, 4, 4)).astype(np.float32)
    exact = make("float32")
    low = make(keras.DTypePolicy("mixed_bfloat16"))
    for layer in (exact, low):
        layer.build(x.shape)
    low.set_weights(exact.get_weights())
    found = low(x, training=True)
    assert keras.backend.standardize_dtype(found.dtype) == "bfloat16"
    assert {w.dtype for w in low.weights} == {"float32"}
    expected = ops.convert_to_numpy(exact(x, training=True))
    assert expected.shape == (2, side, side, 4)
    # Eight bits of mantissa: a part in 256 at each of a few roundings.
    found = ops.convert_to_numpy(ops.cast(found, "float32"))
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
