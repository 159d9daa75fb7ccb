"""The discriminator on the image encoder's maps, and its convolutions."""

import numpy as np
import pytest
import tensorflow as tf
import torch

from attngan_tf.models.layers.convolutions import SpectralConvolution
from attngan_tf.models.projected_discriminator import (
    ProjectedDiscriminator,
    RandomProjection,
)

SHAPES = [(9, 9, 6), (5, 5, 8), (2, 2, 10)]


def make(**options) -> ProjectedDiscriminator:
    network = ProjectedDiscriminator(
        image_size=8, map_shapes=SHAPES, df=4, sentence_size=7, **options
    )
    network.build()
    return network


def make_maps(seed: int = 0) -> list[tf.Tensor]:
    rng = np.random.default_rng(seed)
    return [
        tf.constant(rng.normal(size=(3, *shape)), tf.float32)
        for shape in SHAPES
    ]


def projected(network, seed: int = 0, dtype=tf.float32) -> list[tf.Tensor]:
    rng = np.random.default_rng(seed)
    images = tf.constant(rng.uniform(-1, 1, (3, 8, 8, 3)), tf.float32)
    return network.project(images, [tf.cast(x, dtype) for x in make_maps(seed)])


def sentences() -> tf.Tensor:
    return tf.random.stateless_normal([3, 7], [1, 2])


@pytest.mark.parametrize(
    ("side", "size", "stride"), [(12, 4, 2), (7, 4, 2), (6, 3, 1), (2, 3, 1)]
)
def test_spectral_convolution_divides_the_kernel_by_its_norm(
    side, size, stride
):
    """The norm by a singular value decomposition, the maps by PyTorch."""
    layer = SpectralConvolution(6, size, stride)
    layer.build((None, side, side, 5))
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(size, size, 5, 6)).astype("float32")
    layer.kernel.assign(kernel)
    layer.bias.assign(np.arange(6.0))
    x = rng.normal(size=(2, side, side, 5)).astype("float32")
    for _ in range(60):
        layer(x, training=True)
    found = layer(x)
    assert found.shape == layer.compute_output_shape(x.shape)
    norm = np.linalg.svd(kernel.reshape(-1, 6), compute_uv=False)[0]
    # TensorFlow's padding "same" has more at the end where it is odd.
    lack = max((-(-side // stride) - 1) * stride + size - side, 0)
    pads = [(0, 0), *[(lack // 2, lack - lack // 2)] * 2, (0, 0)]
    expected = torch.nn.functional.conv2d(
        torch.tensor(np.pad(x, pads).transpose(0, 3, 1, 2)),
        torch.tensor((kernel / norm).transpose(3, 2, 0, 1)),
        torch.arange(6.0),
        stride,
    )
    np.testing.assert_allclose(
        found, expected.permute(0, 2, 3, 1).numpy(), atol=1e-4
    )


def test_heads_begin_with_twice_the_channels_of_their_maps():
    """The head on the image as if its map had df channels, here 4."""
    first = [head.convolution_0.kernel.shape for head in make().heads]
    assert first == [
        (4, 4, 3, 8),
        (4, 4, 4, 8),
        (3, 3, 8, 16),
        (3, 3, 16, 16),  # 4 df at most
    ]


def test_power_iteration_moves_in_training_only():
    layer = SpectralConvolution(4, 3)
    layer.build((None, 8, 8, 2))
    before = layer.direction.numpy()
    x = tf.ones([1, 8, 8, 2])
    layer(x)
    np.testing.assert_array_equal(layer.direction.numpy(), before)
    layer(x, training=True)
    assert not np.array_equal(layer.direction.numpy(), before)
    assert len(layer.trainable_variables) == 2  # kernel and bias


def test_projection_depends_on_the_seed_alone_and_has_no_weights():
    one, same, other = (RandomProjection(SHAPES, 4, s) for s in (3, 3, 4))
    maps = make_maps()
    first = one(maps)
    assert [x.shape for x in first] == [
        (3, 9, 9, 4),
        (3, 5, 5, 8),
        (3, 2, 2, 16),
    ]
    for a, b, c in zip(first, same(maps), other(maps), strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.allclose(a, c)
    assert one.weights == []


def test_coarser_maps_are_mixed_into_finer_ones_only():
    projection = RandomProjection(SHAPES, 4, 0)
    maps = make_maps()
    before = projection(maps)
    for changed in range(3):
        others = list(maps)
        others[changed] = others[changed] + 1.0
        moved = [
            not np.allclose(a, b)
            for a, b in zip(before, projection(others), strict=True)
        ]
        assert moved == [i <= changed for i in range(3)]


def test_logits_of_all_maps_follow_each_other():
    network = make()
    features = network.features(projected(network))
    # The first map is the image.
    assert [x.shape[1] for x, _ in features] == [4, 5, 5, 2]
    found = network.conditional(features, sentences())
    assert found.shape == network.unconditional_logits(features).shape == (12,)
    # The logit of one row of one map.
    head, pair = network.heads[1], [x[2:3] for x in features[1]]
    alone = head.conditional(pair, sentences()[2:3])
    np.testing.assert_allclose(found[3 + 2], alone[0], rtol=1e-4)
    other = network.conditional(features, sentences() + 1.0)
    assert not np.any(np.isclose(found, other))


def test_features_of_several_batches_are_those_of_each():
    network = make()
    batches = [projected(network, seed) for seed in (0, 1)]
    found = network.features_of_batches(batches)
    for features, batch in zip(found, batches, strict=True):
        assert len(features) == 4
        for ours, alone in zip(features, network.features(batch), strict=True):
            for a, b in zip(ours, alone, strict=True):
                np.testing.assert_allclose(a, b, atol=1e-5)


def test_mixed_precision_has_float32_logits():
    network = make(dtype="mixed_bfloat16")
    features = network.features(
        projected(network, 0, tf.bfloat16), training=True
    )
    assert {x.dtype for pair in features for x in pair} == {tf.bfloat16}
    logits = network.conditional(features, sentences())
    assert logits.dtype == network.unconditional_logits(features).dtype
    assert logits.dtype == tf.float32
    exact = make()
    exact.set_weights(network.get_weights())
    expected = exact.conditional(exact.features(projected(exact)), sentences())
    np.testing.assert_allclose(logits, expected, atol=0.05)
