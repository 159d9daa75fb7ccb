"""Tests of attngan_tf.benchmarking.flops."""

import keras
import pytest
import tensorflow as tf

from attngan_tf.benchmarking import flops
from attngan_tf.config import Config
from attngan_tf.models import build

T, D = 18, 256  # words, and the size of their features


def count(function, *shapes, **options) -> flops.Count:
    """Of a function of float32 tensors of such shapes."""
    specs = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    traced = tf.function(function, **options).get_concrete_function(*specs)
    return flops.count(traced.graph)


def gradients(function, wanted):
    """A function of x and kernel: those gradients of its sum."""

    def found(x, kernel):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = tf.reduce_sum(tf.square(function(x, kernel)))
        return tape.gradient(y, [(x, kernel)[i] for i in wanted])

    return found


def strided(x, kernel):
    return tf.nn.conv2d(x, kernel, strides=2, padding="SAME")


# 2 pictures of 4x4 places and 5 channels, from 3x3 places of 3 channels.
CONVOLUTION = 2 * 2 * 4 * 4 * 5 * 3 * 3 * 3
X, KERNEL = [2, 8, 8, 3], [3, 3, 3, 5]


def test_a_convolution():
    assert count(strided, X, KERNEL) == (CONVOLUTION, ())


@pytest.mark.parametrize(("wanted", "times"), [([0, 1], 3), ([0], 2), ([1], 2)])
def test_its_gradients_are_as_large_and_count_if_they_are_used(wanted, times):
    function = gradients(strided, wanted)
    assert count(function, X, KERNEL).flops == times * CONVOLUTION


def test_its_padding_counts_only_where_the_output_is():
    valid = count(lambda x, k: tf.nn.conv2d(x, k, 1, "VALID"), X, KERNEL)
    assert valid.flops == 2 * 2 * 6 * 6 * 5 * 3 * 3 * 3


def test_a_dense_layer():
    layer = keras.layers.Dense(3)
    layer.build([None, 7])
    assert count(layer, [4, 7]).flops == 2 * 4 * 7 * 3
    assert count(layer, [4, 5, 7]).flops == 2 * 4 * 5 * 7 * 3

    def train(x):
        with tf.GradientTape() as tape:
            y = tf.reduce_sum(tf.square(layer(x)))
        return tape.gradient(y, layer.trainable_variables)

    # Nobody asks for the gradient of x.
    assert count(train, [4, 7]).flops == 2 * (2 * 4 * 7 * 3)


@pytest.mark.parametrize(
    ("left", "right", "options"),
    [
        ([2, 3, 4, 5], [2, 3, 5, 6], {}),
        ([2, 3, 5, 4], [2, 3, 5, 6], {"transpose_a": True}),
        ([2, 3, 4, 5], [2, 3, 6, 5], {"transpose_b": True}),
        ([2, 3, 4, 5], [3, 5, 6], {}),
    ],
)
def test_a_product_of_matrices_for_each_row(left, right, options):
    found = count(lambda a, b: tf.matmul(a, b, **options), left, right)
    assert found.flops == 2 * (2 * 3) * 4 * 5 * 6


def test_einsum():
    found = count(
        lambda a, b: tf.einsum("btd,dc->btc", a, b), [2, 3, 5], [5, 7]
    )
    assert found.flops == 2 * 2 * 3 * 5 * 7
    turned = count(lambda a: tf.einsum("btd->dbt", a), [2, 3, 5])
    assert turned == (0, ())
    open_ended = count(
        lambda a, b: tf.raw_ops.Einsum(inputs=[a, b], equation="...d,dc->...c"),
        [2, 3, 5],
        [5, 7],
    )
    assert open_ended == (0, ("Einsum of unknown shape",))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_functions_inside_of_functions(jit_compile):
    @tf.function(jit_compile=jit_compile)
    def inner(x, kernel):
        return strided(x, kernel)

    @tf.function
    def middle(x, kernel):
        return inner(x, kernel) + inner(2.0 * x, kernel)

    def outer(x, kernel):
        return middle(x, kernel) - inner(x, kernel)

    assert count(outer, X, KERNEL).flops == 3 * CONVOLUTION
    trained = gradients(outer, [0, 1])
    assert count(trained, X, KERNEL).flops == 3 * 3 * CONVOLUTION


def test_an_output_of_a_function_that_is_not_used_does_not_count():
    @tf.function
    def inner(x, kernel):
        return strided(x, kernel), strided(2.0 * x, kernel)

    def outer(x, kernel):
        return inner(x, kernel)[1]

    assert count(outer, X, KERNEL).flops == CONVOLUTION


def test_a_change_of_state_counts_without_an_output():
    total = tf.Variable(tf.zeros([4, 6]))

    def change(a, b):
        tf.matmul(a, 2.0 * b)  # goes nowhere
        total.assign_add(tf.matmul(a, b))

    assert count(change, [4, 5], [5, 6]).flops == 2 * 4 * 5 * 6


def test_loops():
    def repeated(x, limit, more=lambda x: True):
        return tf.while_loop(
            lambda i, x: tf.logical_and(i < limit, more(x)),
            lambda i, x: (i + 1, tf.matmul(x, x)),
            (tf.constant(2), x),
        )[1]

    def product(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(repeated(x, 9))
        return tape.gradient(y, x)

    def unknown(x):
        return repeated(x, tf.cast(x[0, 0], tf.int32))

    once = 2 * 5**3
    assert count(lambda x: repeated(x, 9), [5, 5]) == (7 * once, ())
    assert count(lambda x: repeated(x, 0), [5, 5]) == (0, ())
    assert count(product, [5, 5]) == (7 * (1 + 2) * once, ())
    left_out = ("turns of a loop after its first",)
    assert count(unknown, [5, 5]) == (once, left_out)


def test_a_loop_that_may_end_sooner_counts_whole():
    def repeated(x):
        return tf.while_loop(
            lambda i, x: x[0, 0] < 3.0,
            lambda i, x: (i + 1, tf.matmul(x, x)),
            (tf.constant(0), x),
            maximum_iterations=6,
        )[1]

    assert count(repeated, [5, 5]) == (6 * 2 * 5**3, ())


def test_the_largest_branch_counts():
    def branches(x):
        return tf.cond(
            x[0, 0] > 0.0,
            lambda: tf.matmul(x, x),
            lambda: tf.matmul(tf.matmul(x, x), x),
        )

    def cases(x):
        one = tf.cast(x[0, 0], tf.int32)
        return tf.switch_case(one, [lambda: x, lambda: tf.matmul(x, x)])

    assert count(branches, [5, 5]).flops == 2 * (2 * 5**3)
    assert count(cases, [5, 5]).flops == 2 * 5**3


def test_what_is_not_known_is_said():
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


def test_products_of_other_kinds_are_said():
    def depthwise(x, kernel):
        return tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "SAME")

    def volumes(x, kernel):
        return tf.nn.conv3d(x, kernel, [1, 1, 1, 1, 1], "SAME")

    def names(function, *shapes):
        flops_found, left_out = count(function, *shapes)
        assert flops_found == 0
        return left_out

    name = "DepthwiseConv2dNative"
    assert names(gradients(depthwise, [0, 1]), X, [3, 3, 3, 1]) == (
        *(name, f"{name}BackpropFilter", f"{name}BackpropInput"),
    )
    assert names(gradients(volumes, [0, 1]), [2, *X], [3, *KERNEL]) == (
        *("Conv3D", "Conv3DBackpropFilterV2", "Conv3DBackpropInputV2"),
    )
    batched = tf.raw_ops.BatchMatMul
    assert names(lambda x, y: batched(x=x, y=y), [2, 3], [3, 2]) == (
        "BatchMatMul",
    )
    third = tf.raw_ops.BatchMatMulV3
    assert names(
        lambda x, y: third(x=x, y=y, Tout=tf.float32), [2, 3], [3, 2]
    ) == ("BatchMatMulV3",)


def test_what_has_no_products_is_not_said():
    def maps(x):
        pooled = tf.nn.max_pool2d(tf.transpose(x, [0, 2, 1, 3]), 2, 2, "SAME")
        y, *_ = tf.raw_ops.FusedBatchNormV3(
            x=pooled,
            scale=tf.ones(3),
            offset=tf.zeros(3),
            mean=[],
            variance=[],
        )
        return tf.concat([y, tf.nn.relu(y)], -1)

    assert count(maps, X) == (0, ())


def test_text_encoder():
    config = Config()
    network = build.text_encoder(config, 50, use_cudnn=False)
    found = flops.count(
        tf.function(network)
        .get_concrete_function(
            tf.TensorSpec([3, T], tf.int32), tf.TensorSpec([3], tf.int32)
        )
        .graph
    )
    # Two directions; four gates of 128 numbers, from 300 and 128.
    assert found == (2 * 3 * T * 2 * (300 + 128) * 4 * 128, ())


def generator_flops(config: Config, batch_size: int) -> int:
    network = build.generator(config)
    shapes = {
        "word_features": [T, D],
        "sentence_features": [D],
        "z": [config.z_size],
        "eps": [config.condition_size],
    }
    inputs = {
        name: tf.TensorSpec([batch_size, *shape], tf.float32)
        for name, shape in shapes.items()
    }
    inputs["lengths"] = tf.TensorSpec([batch_size], tf.int32)
    traced = tf.function(network).get_concrete_function(inputs)
    found, left_out = flops.count(traced.graph)
    assert left_out == ()
    return found


def products_of_a_picture(gf: int, stages: int, attention: bool) -> int:
    """Of the generator of the paper (reference.md), 64x64 at the start.

    An up block's nine places fall on four of the small map, for each of its
    four places of the large one; a row and a column of each are cut off.
    """
    found = D * 400 + (100 + 100) * 4 * 4 * 2 * 16 * gf
    for side, channels in ((4, 16), (8, 8), (16, 4), (32, 2)):
        found += (side + 1) ** 2 * 4 * 4 * (channels * gf) * (channels * gf)
    head = 3 * gf * 9 + 3 * 9 * 3  # 3x1 to nine channels, 1x3 to three
    found += 64**2 * head
    for stage in range(1, stages):
        side = 32 * 2**stage
        places = side**2
        if attention:
            found += T * D * gf + 2 * places * T * gf
        else:
            found += places * 9 * (gf + 100) * 2 * gf
        residual = 2 * gf * 4 * gf + 2 * gf * 2 * gf
        found += 2 * places * 9 * residual
        found += (side + 1) ** 2 * 4 * 4 * 2 * gf * 2 * gf
        found += 4 * places * head
    return found


@pytest.mark.parametrize("attention", ["words", "none"])
def test_generator(attention):
    """A picture more: so what is computed once for all pictures is not in."""
    config = Config(gf=4, attention=attention)
    more = generator_flops(config, 4) - generator_flops(config, 3)
    assert more == 2 * products_of_a_picture(4, 3, attention == "words")
