"""The image encoder: backbones, the resizing before them, heads after them."""

import keras
import numpy as np
import pytest
import torch

from attngan_tf.models import build
from attngan_tf.models.image_encoder import ImageEncoder, small_backbone
from attngan_tf.models.layers.resizing import resize_aligned
from attngan_tf.pretrained import layouts
from tests.reference import networks
from tests.reference.pairing import (
    assert_close,
    channels_last,
    give,
    released,
    rows,
)


def identity_backbone(side: int) -> keras.Model:
    """A backbone whose regions are the image's own pixels."""
    images = keras.Input((side, side, 3))
    pooled = keras.layers.GlobalMaxPooling2D()(images)
    return keras.Model(images, {"regions": images, "pooled": pooled})


def encoder(backbone, size, feature_size=6, **options) -> ImageEncoder:
    network = ImageEncoder(
        backbone=backbone, size=size, feature_size=feature_size, **options
    )
    network.build()
    return network


def random_images(*shape, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.slow
@pytest.mark.usefixtures("one_torch_thread")
def test_features_equal_those_of_the_reference(monkeypatch):
    """Of the published size, and with other pools or resizing they differ."""
    reference = networks.ImageEncoder(256, 299).eval().requires_grad_(False)
    networks.randomize(reference, 5)
    generator = torch.Generator().manual_seed(6)
    images = torch.rand(2, 3, 256, 256, generator=generator) * 2 - 1
    regions, pooled = reference(images)
    expected = rows(regions), pooled.numpy()

    def differences(network):
        found = network(channels_last(images))
        found = found["region_features"], found["image_features"]
        return [
            abs(a.numpy() - b).max() / abs(b).max()
            for a, b in zip(found, expected, strict=True)
        ]

    def make(**fields):
        config = released("cub", networks.CUB, **fields)
        network = build.image_encoder(config, None)
        give(layouts.image_encoder(network), reference)
        return network

    network = make()
    assert max(differences(network)) < 1e-4
    assert network.resize == "aligned_corners"
    monkeypatch.setattr(network, "resize", "half_pixel")
    assert min(differences(network)) > 1e-3
    assert min(differences(make(inception_padding="keras"))) > 1e-2


@pytest.mark.parametrize(
    ("sides", "size"),
    [((64, 64), 299), ((256, 256), 299), ((299, 299), 75), ((20, 33), 48)],
)
def test_resize_aligned_equals_that_of_pytorch(sides, size):
    images = torch.rand(2, 3, *sides) * 2 - 1
    # In float64: in float32 PyTorch rounds positions, by up to 5e-5 of these.
    expected = torch.nn.functional.interpolate(
        images.double(), size=(size, size), mode="bilinear", align_corners=True
    )
    found = resize_aligned(channels_last(images), size)
    assert_close(found, channels_last(expected.float()), 1e-5)


def test_heads_are_eq_6_and_regions_are_in_row_order():
    network = encoder(identity_backbone(4), 4)
    rng = np.random.default_rng(1)
    W, W_bar, bias = (rng.normal(size=shape) for shape in ((3, 6), (3, 6), 6))
    network.region_projection.set_weights([W])
    network.image_projection.set_weights([W_bar, bias])
    images = random_images(2, 4, 4, 3)
    found = network(images)
    regions = images.reshape(2, 16, 3)
    np.testing.assert_allclose(found["region_features"], regions @ W, atol=1e-5)
    np.testing.assert_allclose(
        found["image_features"], images.max((1, 2)) @ W_bar + bias, atol=1e-5
    )


def test_reduction_is_antialiased():
    network = encoder(identity_backbone(8), 8)
    stripes = np.where(np.arange(24) % 2, 1, -1) * np.ones([1, 24, 3, 24])
    images = stripes.transpose(0, 1, 3, 2).astype(np.float32)
    found = network.backbone_features(images)["regions"]
    inside = np.reshape(found, [8, 8, 3])[1:-1, 1:-1]
    # A triangle over five columns: (1 - 2 + 3 - 2 + 1) / 9. A single column
    # would give 1.
    np.testing.assert_allclose(np.abs(inside), 1 / 9, atol=1e-5)


def test_heads_start_uniform_and_independent():
    network = encoder(identity_backbone(4), 4, feature_size=2000)
    kernels = [
        head.kernel.numpy()
        for head in (network.region_projection, network.image_projection)
    ]
    for kernel in kernels:
        assert np.abs(kernel).max() <= 0.1
        assert kernel.std() == pytest.approx(0.2 / 12**0.5, rel=0.03)
    correlation = np.corrcoef(*(kernel.ravel() for kernel in kernels))
    assert abs(correlation[0, 1]) < 0.1


def test_small_backbone_is_trained_and_gives_its_finest_maps():
    backbone = small_backbone(32, keras.DTypePolicy("float32"))
    shapes = [x.shape[1:] for x in backbone.output["maps"]]
    assert shapes == [(16, 16, 32), (8, 8, 64)]
    network = encoder(backbone, 32)
    images = random_images(3, 64, 64, 3)
    features = network.backbone_features(images)
    assert features["regions"].shape == (3, 16, 128)
    assert features["pooled"].shape == (3, 256)
    # Four convolutions, gamma and beta of four BNs, three of the heads.
    assert len(network.trainable_variables) == 15
    before = [w.numpy() for w in network.non_trainable_variables]
    network(images)
    for old, new in zip(before, network.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(new, old)
    network(images, training=True)
    for old, new in zip(before, network.non_trainable_variables, strict=True):
        assert not np.array_equal(new, old)


def test_features_are_float32_under_mixed_precision():
    exact, low = (
        encoder(small_backbone(32, policy), 32, dtype=policy)
        for policy in map(keras.DTypePolicy, ("float32", "mixed_bfloat16"))
    )
    low.set_weights(exact.get_weights())
    images = random_images(2, 32, 32, 3)
    assert low.backbone_features(images)["regions"].dtype == "bfloat16"
    expected = exact(images)
    for name, value in low(images).items():
        assert value.dtype == "float32"
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(value, expected[name], atol=0.05 * scale)
