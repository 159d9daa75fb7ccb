"""Tests of layers.convolutions against Keras's own layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.models.layers.convolutions import (
    Convolution,
    GatedConvolution,
    GatedUpConvolution,
    PictureConvolution,
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
        np.testing.assert_allclose(one / size, other / size, atol=1e-5)


@pytest.mark.parametrize(
    ("side", "size", "stride"),
    [
        (8, 4, 2),
        (4, 3, 1),
        (2, 4, 2),
        (7, 4, 2),
        (8, 2, 2),
        (1, 3, 1),
        (9, 6, 3),
    ],
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


@pytest.mark.parametrize(
    "options",
    [
        {"padding": "same", "groups": 2},
        {"padding": "same", "dilation_rate": 2},
        {"padding": "same", "dilation_rate": (1, 2)},
        {"padding": "same", "strides": (1, 2)},
        {"padding": "same", "kernel_size": (3, 2)},
        {"padding": "same", "strides": 2},
        {"padding": "valid"},
    ],
    ids=str,
)
def test_small_maps_of_other_convolutions(options):
    options = {"filters": 6, "kernel_size": 3} | options
    layer = Convolution(**options)
    plain = keras.layers.Conv2D(**options)
    x = pair(layer, plain, (2, 4, 4, 4))
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


def doubled_glu(x):
    """What `HalvedGLU` stands for, of what it is given: v + v tanh(g)."""
    half = x.shape[-1] // 2
    return 2.0 * x[..., :half] * tf.sigmoid(2.0 * x[..., half:])


@pytest.mark.parametrize("shape", [(2, 3, 3, 4), (1, 5, 8, 2)])
def test_gated_convolution_is_a_convolution_and_a_glu(shape):
    layer = GatedConvolution(6, 3, padding="same")
    plain = keras.layers.Conv2D(6, 3, padding="same")
    x = pair(layer, plain, shape)
    expected = results(plain, lambda x: doubled_glu(plain(x)), x)
    assert_same(results(layer, layer, x), expected)
    assert layer.compute_output_shape(shape) == (*shape[:3], 3)


@pytest.mark.parametrize("shape", [(2, 3, 3, 4), (1, 5, 8, 2)])
def test_gated_up_convolution_is_an_up_convolution_and_a_glu(shape):
    layer = GatedUpConvolution(6)
    plain = keras.layers.Conv2D(6, 3, padding="same")
    nearest = keras.layers.UpSampling2D(2, interpolation="nearest")
    x = pair(layer, plain, shape)
    found = results(layer, lambda x: interleave(tf.concat(layer(x), 0)), x)
    expected = results(plain, lambda x: doubled_glu(plain(nearest(x))), x)
    assert_same(found, expected)
    assert layer.compute_output_shape(shape) == [(*shape[:3], 3)] * 4


@pytest.mark.parametrize("shape", [(2, 4, 4, 5), (1, 3, 8, 2), (1, 1, 1, 1)])
def test_picture_convolution_is_a_convolution_and_tanh(shape):
    options = {"padding": "same", "use_bias": False, "activation": "tanh"}
    layer = PictureConvolution()
    plain = keras.layers.Conv2D(3, 3, **options)
    x = pair(layer, plain, shape)
    assert_same(results(layer, layer, x), results(plain, plain, x))


def test_pictures_are_float32_and_their_sums_too():
    """What a bfloat16 sum would round away is in the picture."""
    layer = PictureConvolution(dtype="mixed_bfloat16")
    layer.build((None, 1, 3, 1))
    kernel = np.zeros([3, 3, 1, 3], np.float32)
    kernel[1] = np.array([2**-9, 1, 2**-10], np.float32)[:, None, None] / 2
    layer.set_weights([kernel])
    found = layer(tf.ones([1, 1, 3, 1]))
    assert found.dtype == tf.float32
    exact = (1 + 2**-9 + 2**-10) / 2  # bfloat16 has no numbers from 1/2 to it
    np.testing.assert_allclose(found[0, 0, 1], np.tanh(exact), rtol=1e-6)


def test_up_convolution_sums_weights_before_they_are_rounded():
    """Of pictures of one place, outputs are sums of weights, rounded once."""
    layer = UpConvolution(5, use_bias=False, dtype="mixed_bfloat16")
    plain = keras.layers.Conv2D(5, 3, padding="same", use_bias=False)
    nearest = keras.layers.UpSampling2D(2, interpolation="nearest")
    pair(layer, plain, (1, 4, 4, 3))
    # 16 bits each: no sum of four is rounded in float32, bfloat16 has 8.
    draw = np.random.default_rng(1)
    kernel = draw.integers(-(2**15), 2**15, [3, 3, 3, 5]) / 2**15
    for each in (layer, plain):
        each.set_weights([kernel])
    places = np.eye(4 * 4 * 3, dtype=np.float32).reshape(-1, 4, 4, 3)
    found = interleave(tf.concat(layer(places), 0))
    expected = tf.cast(plain(nearest(places)), tf.bfloat16)
    assert found.dtype == tf.bfloat16
    np.testing.assert_array_equal(
        tf.cast(found, tf.float32), tf.cast(expected, tf.float32)
    )


def test_up_convolution_is_made_from_its_configuration():
    options = {"filters": 5, "use_bias": False, "name": "up"}
    layer = UpConvolution(kernel_initializer="ones", **options)
    config = layer.get_config()
    assert {name: config[name] for name in options} == options
    other = UpConvolution.from_config(config)
    other.build((None, 4, 4, 2))
    (kernel,) = other.get_weights()
    np.testing.assert_array_equal(kernel, np.ones([3, 3, 2, 5]))
    with pytest.raises(ValueError, match="strides"):
        UpConvolution(5, strides=2)


def test_checkpoints_hold_an_up_convolution_as_one_of_keras(tmp_path):
    layer = UpConvolution(5)
    plain = keras.layers.Conv2D(5, 3)
    pair(layer, plain, (1, 4, 4, 2))
    names = {}
    for each in (layer, plain):
        path = tf.train.Checkpoint(layer=each).save(str(tmp_path / each.name))
        names[path] = [name for name, _ in tf.train.list_variables(path)]
    assert len({tuple(found) for found in names.values()}) == 1
    weights = layer.get_weights()
    layer.set_weights([0.0 * w for w in weights])
    tf.train.Checkpoint(layer=layer).restore(path).assert_consumed()
    for found, expected in zip(layer.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(found, expected)


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
