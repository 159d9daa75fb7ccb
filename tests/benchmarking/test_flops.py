"""Tests of attngan_tf.benchmarking.flops."""

import keras
import pytest
import tensorflow as tf

from attngan_tf.benchmarking import flops

T, D = 18, 256  # words, and the size of their features


def count(function, *shapes, **options) -> flops.Count:
    """The count of a function of float32 tensors with these shapes."""
    specs = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    traced = tf.function(function, **options).get_concrete_function(*specs)
    return flops.count(traced.graph)


def gradients(function, wanted):
    """A function of x and kernel that returns the wanted gradients."""

    def found(x, kernel):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = tf.reduce_sum(tf.square(function(x, kernel)))
        return tape.gradient(y, [(x, kernel)[i] for i in wanted])

    return found


def strided(x, kernel):
    return tf.nn.conv2d(x, kernel, strides=2, padding="SAME")


# 2 images with 4x4 positions and 5 channels; kernels of 3x3x3.
CONVOLUTION = 2 * 2 * 4 * 4 * 5 * 3 * 3 * 3
X, KERNEL = [2, 8, 8, 3], [3, 3, 3, 5]


def test_a_convolution():
    assert count(strided, X, KERNEL) == (CONVOLUTION, ())


@pytest.mark.parametrize(("wanted", "times"), [([0, 1], 3), ([0], 2), ([1], 2)])
def test_gradients_of_a_convolution_are_counted_if_used(wanted, times):
    function = gradients(strided, wanted)
    assert count(function, X, KERNEL).flops == times * CONVOLUTION


def test_called_functions_are_counted_if_their_output_is_used():
    @tf.function
    def inner(x, kernel):
        return strided(x, kernel), strided(2.0 * x, kernel)

    def outer(x, kernel):
        return inner(x, kernel)[1] + strided(x, kernel)

    @tf.function
    def single(x, kernel):
        return strided(x, kernel)

    def twice(x, kernel):
        return single(x, kernel) - single(2.0 * x, kernel)

    assert count(outer, X, KERNEL).flops == 2 * CONVOLUTION
    trained = gradients(twice, [0, 1])
    assert count(trained, X, KERNEL).flops == 2 * 3 * CONVOLUTION


def test_loops():
    def repeated(x, limit=None):
        return tf.while_loop(
            lambda x: tf.reduce_sum(x) < 1e9,
            lambda x: (tf.matmul(x, x),),
            (x,),
            maximum_iterations=limit,
        )[0]

    def trained(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(repeated(x, 7))
        return tape.gradient(y, x)

    once = 2 * 5**3
    assert count(lambda x: repeated(x, 7), [5, 5]) == (7 * once, ())
    assert count(lambda x: repeated(x, 0), [5, 5]) == (0, ())
    assert count(trained, [5, 5]) == (7 * (1 + 2) * once, ())
    left_out = ("iterations of a loop after the first",)
    assert count(repeated, [5, 5]) == (once, left_out)


def test_the_loop_of_an_lstm():
    B, units = 3, 4
    lstm = keras.layers.LSTM(units, use_cudnn=False)
    expected = 2 * T * B * 4 * units * (D + units)
    assert count(lstm, [B, T, D]) == (expected, ())


def test_unknown_shapes_are_reported():
    unknown = ("Conv2D of unknown shape",)
    assert count(strided, [None, 8, 8, 3], KERNEL) == (0, unknown)
    unknown = ("MatMul of unknown shape",)
    assert count(tf.matmul, [None, 5], [5, 6]) == (0, unknown)
    depthwise = count(
        lambda x, k: tf.nn.depthwise_conv2d(x, k, [1, 1, 1, 1], "SAME"),
        X,
        [3, 3, 3, 1],
    )
    assert depthwise == (0, ("DepthwiseConv2dNative",))
