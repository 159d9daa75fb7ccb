"""The convolutions against Keras's own layers, with their gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.models.layers.convolutions import (
    Convolution,
    GatedConvolution,
    GatedUpConvolution,
    ImageConvolution,
    UpConvolution,
    interleave,
)


def pair(layer, plain, shape):
    """Gives both layers the same random weights; returns a random input."""
    rng = np.random.default_rng(0)
    for each in (layer, plain):
        each.build(shape)
    weights = [rng.normal(size=w.shape) for w in plain.weights]
    for each in (layer, plain):
        each.set_weights(weights)
    return tf.constant(rng.normal(size=shape), tf.float32)


def results(layer, call, x):
    """The output, and its gradients for x and all weights."""
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
        np.testing.assert_allclose(one / size, other / size, atol=1e-5)


def check(layer, plain, shape, call=None, plain_call=None):
    x = pair(layer, plain, shape)
    found = results(layer, call or layer, x)
    assert_same(found, results(plain, plain_call or plain, x))


@pytest.mark.parametrize(
    ("side", "size", "stride"),
    [(8, 4, 2), (4, 3, 1), (2, 4, 2), (7, 4, 2), (1, 3, 1), (9, 6, 3)],
)
def test_small_maps_as_a_matrix_product(side, size, stride):
    options = {"strides": stride, "padding": "same", "activation": "tanh"}
    layer = Convolution(5, size, **options)
    check(layer, keras.layers.Conv2D(5, size, **options), (3, side, side, 4))


@pytest.mark.parametrize(
    "options",
    [
        {"padding": "same", "use_bias": False},
        {"padding": "same", "strides": 2},
        {"padding": "valid"},
    ],
    ids=str,
)
def test_other_options_on_small_maps(options):
    options = {"filters": 6, "kernel_size": 3} | options
    layer = Convolution(**options)
    check(layer, keras.layers.Conv2D(**options), (2, 4, 4, 4))


@pytest.mark.parametrize(("side", "product"), [(8, True), (10, False)])
def test_only_small_maps_use_a_matrix_product(side, product):
    layer = Convolution(2, 4, strides=2, padding="same")
    layer.build((None, side, side, 3))
    spec = tf.TensorSpec([2, side, side, 3])
    graph = tf.function(layer).get_concrete_function(spec).graph
    kinds = {operation.type for operation in graph.get_operations()}
    assert ("MatMul" in kinds) == product
    assert ("Conv2D" in kinds) != product


def upsampled(plain):
    nearest = keras.layers.UpSampling2D(2, interpolation="nearest")
    return lambda x: plain(nearest(x))


def interleaved(layer):
    return lambda x: interleave(tf.concat(layer(x), 0))


def doubled_glu(call):
    """2 v sigmoid(2 g), which `halved_glu` computes as v + v tanh(g)."""

    def glu(x):
        values, gates = tf.split(call(x), 2, axis=-1)
        return 2.0 * values * tf.sigmoid(2.0 * gates)

    return glu


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("shape", [(2, 3, 3, 4), (1, 5, 8, 2)])
def test_up_convolution_is_upsampling_then_a_convolution(shape, use_bias):
    layer = UpConvolution(5, use_bias=use_bias)
    plain = keras.layers.Conv2D(5, 3, padding="same", use_bias=use_bias)
    check(layer, plain, shape, interleaved(layer), upsampled(plain))


def test_gated_convolution_is_a_convolution_and_a_glu():
    layer = GatedConvolution(6, 3, padding="same")
    plain = keras.layers.Conv2D(6, 3, padding="same")
    check(layer, plain, (1, 5, 8, 2), None, doubled_glu(plain))
    assert layer.compute_output_shape((1, 5, 8, 2)) == (1, 5, 8, 3)


def test_gated_up_convolution_is_an_up_convolution_and_a_glu():
    layer = GatedUpConvolution(6)
    plain = keras.layers.Conv2D(6, 3, padding="same")
    expected = doubled_glu(upsampled(plain))
    check(layer, plain, (1, 5, 8, 2), interleaved(layer), expected)
    assert layer.compute_output_shape((1, 5, 8, 2)) == [(1, 5, 8, 3)] * 4


@pytest.mark.parametrize("shape", [(2, 4, 4, 5), (1, 3, 8, 2), (1, 1, 1, 1)])
def test_image_convolution_is_a_convolution_and_tanh(shape):
    options = {"padding": "same", "use_bias": False, "activation": "tanh"}
    check(ImageConvolution(), keras.layers.Conv2D(3, 3, **options), shape)


def test_images_and_their_sums_are_float32_under_mixed_precision():
    layer = ImageConvolution(dtype="mixed_bfloat16")
    layer.build((None, 1, 3, 1))
    kernel = np.zeros([3, 3, 1, 3], np.float32)
    kernel[1] = np.array([2**-9, 1, 2**-10], np.float32)[:, None, None] / 2
    layer.set_weights([kernel])
    found = layer(tf.ones([1, 1, 3, 1]))
    assert found.dtype == tf.float32
    exact = (1 + 2**-9 + 2**-10) / 2  # bfloat16 has no numbers from 1/2 to it
    np.testing.assert_allclose(found[0, 0, 1], np.tanh(exact), rtol=1e-6)


def test_up_convolution_sums_weights_before_they_are_rounded():
    """On maps with a single 1, outputs are sums of weights, rounded once."""
    layer = UpConvolution(5, use_bias=False, dtype="mixed_bfloat16")
    plain = keras.layers.Conv2D(5, 3, padding="same", use_bias=False)
    pair(layer, plain, (1, 4, 4, 3))
    # 16 bits each: no sum of four is rounded in float32; bfloat16 has 8.
    rng = np.random.default_rng(1)
    kernel = rng.integers(-(2**15), 2**15, [3, 3, 3, 5]) / 2**15
    for each in (layer, plain):
        each.set_weights([kernel])
    maps = np.eye(4 * 4 * 3, dtype=np.float32).reshape(-1, 4, 4, 3)
    call = tf.function(
        interleaved(layer), input_signature=[tf.TensorSpec([None, 4, 4, 3])]
    )
    found = call(maps)  # a batch of unknown size
    expected = tf.cast(upsampled(plain)(maps), tf.bfloat16)
    assert found.dtype == tf.bfloat16
    assert layer.kernel.dtype == "float32"
    np.testing.assert_array_equal(
        tf.cast(found, tf.float32), tf.cast(expected, tf.float32)
    )


@pytest.mark.parametrize(
    ("layer", "plain"),
    [
        (UpConvolution(5), keras.layers.Conv2D(5, 3)),
        (ImageConvolution(), keras.layers.Conv2D(3, 3, use_bias=False)),
    ],
)
def test_checkpoints_have_the_names_of_a_keras_convolution(
    tmp_path, layer, plain
):
    names = set()
    for each in (layer, plain):
        each.build((1, 4, 4, 2))
        path = tf.train.Checkpoint(layer=each).save(str(tmp_path / each.name))
        names.add(tuple(name for name, _ in tf.train.list_variables(path)))
    assert len(names) == 1
