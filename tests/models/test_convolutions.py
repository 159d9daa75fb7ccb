"""Tests of attngan_tf.models.convolutions, against Keras's own layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.models.convolutions import (
    Convolution,
    UpConvolution,
    interleave,
)


def pair(layer, plain, shape):
    """A layer and Keras's, with the same random weights, and an input."""
    draw = np.random.default_rng(0)
    for each in (layer, plain):
        each.build(shape)
    weights = [draw.normal(size=w.shape) for w in plain.weights]
    for each in (layer, plain):
        each.set_weights(weights)
    return tf.constant(draw.normal(size=shape), tf.float32)


def results(layer, call, x):
    """What a call gives, and its gradients for x and all weights."""
    variables = [w.value for w in layer.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = call(x)
        weights = np.linspace(-1.0, 2.0, y.numpy().size).reshape(y.shape)
        total = tf.reduce_sum(y * tf.constant(weights, y.dtype))
    return [y, *tape.gradient(total, [x, *variables])]


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        size = np.abs(other).max()
        np.testing.assert_allclose(one / size, other / size, atol=2e-6)


@pytest.mark.parametrize(
    ("side", "size", "stride"), [(8, 4, 2), (4, 3, 1), (2, 4, 2), (7, 3, 2)]
)
@pytest.mark.parametrize("use_bias", [True, False])
def test_small_maps_as_a_matrix_product(side, size, stride, use_bias):
    options = {
        "strides": stride,
        "padding": "same",
        "use_bias": use_bias,
        "activation": "tanh" if use_bias else None,
    }
    layer = Convolution(5, size, **options)
    plain = keras.layers.Conv2D(5, size, **options)
    x = pair(layer, plain, (3, side, side, 4))
    assert_same(results(layer, layer, x), results(plain, plain, x))


@pytest.mark.parametrize(("side", "product"), [(8, True), (10, False)])
def test_only_small_maps(side, product):
    layer = Convolution(2, 4, strides=2, padding="same")
    layer.build((None, side, side, 3))
    spec = tf.TensorSpec([2, side, side, 3])
    graph = tf.function(layer).get_concrete_function(spec).graph
    kinds = {operation.type for operation in graph.get_operations()}
    assert ("MatMul" in kinds) == product
    assert ("Conv2D" in kinds) != product


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("shape", [(2, 3, 3, 4), (1, 5, 8, 2)])
def test_up_convolution_is_nearest_then_a_convolution(shape, use_bias):
    layer = UpConvolution(5, use_bias=use_bias)
    plain = keras.layers.Conv2D(5, 3, padding="same", use_bias=use_bias)
    nearest = keras.layers.UpSampling2D(2, interpolation="nearest")
    x = pair(layer, plain, shape)
    found = results(layer, lambda x: interleave(tf.concat(layer(x), 0)), x)
    assert_same(found, results(plain, lambda x: plain(nearest(x)), x))


def test_up_convolution_in_bfloat16_and_of_any_batch():
    layer = UpConvolution(4, dtype="mixed_bfloat16")
    layer.build((None, 4, 4, 3))
    call = tf.function(
        lambda x: interleave(tf.concat(layer(x), 0)),
        input_signature=[tf.TensorSpec([None, 4, 4, 3])],
    )
    for rows in (1, 3):
        y = call(tf.ones([rows, 4, 4, 3]))
        assert y.dtype == tf.bfloat16
        assert y.shape == (rows, 8, 8, 4)
    assert layer.kernel.dtype == "float32"


def test_interleave_puts_phases_in_their_places():
    B, H, W = 2, 3, 4
    places = np.arange(B * 2 * H * 2 * W).reshape(B, 2 * H, 2 * W, 1)
    phases = [places[:, p::2, q::2] for p in (0, 1) for q in (0, 1)]
    found = interleave(np.concatenate(phases))
    np.testing.assert_array_equal(found, places)
