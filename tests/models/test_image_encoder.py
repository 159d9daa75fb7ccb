"""The image encoder: trunks, the resizing before them, heads after them."""

import keras
import numpy as np
import pytest
from PIL import Image

from attngan_tf.models.image_encoder import ImageEncoder, small_trunk
from attngan_tf.models.inception import inception_trunk

WEIGHTS = "inception/inception_v3_imagenet_notop.weights.h5"


def mirror_trunk(side: int) -> keras.Model:
    """A trunk whose regions are the picture's own places."""
    picture = keras.Input((side, side, 3))
    pooled = keras.layers.GlobalMaxPooling2D()(picture)
    return keras.Model(picture, {"regions": picture, "pooled": pooled})


def encoder(trunk, size, feature_size=6, **options) -> ImageEncoder:
    network = ImageEncoder(
        trunk=trunk, size=size, feature_size=feature_size, **options
    )
    network.build()
    return network


def pictures(*shape, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, shape).astype(np.float32)


@pytest.fixture(scope="module")
def inception():
    """Inception-v3 with random weights, as small as it may be."""
    return inception_trunk(75, "mixed6", None, keras.DTypePolicy("float32"))


def test_eq_6_and_the_order_of_regions():
    network = encoder(mirror_trunk(4), 4)
    rng = np.random.default_rng(1)
    W, W_bar, bias = (rng.normal(size=shape) for shape in ((3, 6), (3, 6), 6))
    network.region_projection.set_weights([W])
    network.image_projection.set_weights([W_bar, bias])
    images = pictures(2, 4, 4, 3)
    found = network(images)
    regions = images.reshape(2, 16, 3)  # row by row
    np.testing.assert_allclose(found["region_features"], regions @ W, atol=1e-5)
    np.testing.assert_allclose(
        found["image_features"], images.max((1, 2)) @ W_bar + bias, atol=1e-5
    )


def test_smaller_sizes_are_antialiased():
    network = encoder(mirror_trunk(8), 8)
    stripes = np.where(np.arange(24) % 2, 1, -1) * np.ones([1, 24, 3, 24])
    images = stripes.transpose(0, 1, 3, 2).astype(np.float32)
    found = network.trunk_features(images)["regions"]
    inside = np.reshape(found, [8, 8, 3])[1:-1, 1:-1]
    # A triangle over five columns: (1 - 2 + 3 - 2 + 1) / 9. One column read
    # alone would give 1.
    np.testing.assert_allclose(np.abs(inside), 1 / 9, atol=1e-5)


def test_larger_sizes_are_reached_by_half_pixel_bilinear():
    network = encoder(mirror_trunk(10), 10)
    images = pictures(2, 4, 4, 3)
    found = network.trunk_features(images)["regions"]
    for image, regions in zip(images, found, strict=True):
        for c in range(3):
            channel = Image.fromarray(image[:, :, c])
            expected = np.asarray(channel.resize((10, 10), Image.BILINEAR))
            np.testing.assert_allclose(
                np.reshape(regions[:, c], (10, 10)), expected, atol=1e-5
            )


def test_heads_start_uniform():
    network = encoder(mirror_trunk(4), 4, feature_size=2000)
    for head in (network.region_projection, network.image_projection):
        kernel = head.kernel.numpy()
        assert np.abs(kernel).max() <= 0.1
        assert kernel.std() == pytest.approx(0.2 / 12**0.5, rel=0.03)
    # Each from its own draw: not one kernel twice.
    correlation = np.corrcoef(
        network.region_projection.kernel.numpy().ravel(),
        network.image_projection.kernel.numpy().ravel(),
    )
    assert abs(correlation[0, 1]) < 0.1


def test_only_the_heads_of_inception_are_trained(inception):
    network = encoder(inception, 75, feature_size=256)
    assert [w.shape for w in network.trainable_variables] == [
        *((768, 256), (2048, 256), (256,)),
    ]
    assert network.count_params() - inception.count_params() == 721_152
    before = [w.numpy() for w in inception.weights]
    found = network(pictures(2, 75, 75, 3), training=True)
    assert found["image_features"].shape == (2, 256)
    for old, new in zip(before, inception.weights, strict=True):
        np.testing.assert_array_equal(new, old)


def test_small_trunk_is_trained():
    trunk = small_trunk(32, keras.DTypePolicy("float32"))
    network = encoder(trunk, 32)
    images = pictures(3, 64, 64, 3)
    features = network.trunk_features(images)
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
    networks = [
        encoder(small_trunk(32, policy), 32, dtype=policy)
        for policy in map(keras.DTypePolicy, ("float32", "mixed_bfloat16"))
    ]
    exact, low = networks
    low.set_weights(exact.get_weights())
    images = pictures(2, 32, 32, 3)
    assert low.trunk_features(images)["regions"].dtype == "bfloat16"
    expected = exact(images)
    for name, value in low(images).items():
        assert value.dtype == "float32"
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(value, expected[name], atol=0.05 * scale)


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["mixed6", "mixed7"])
def test_imagenet_weights_give_the_features_of_keras(shared_data, layer):
    path = str(shared_data / WEIGHTS)
    trunk = inception_trunk(139, layer, path, keras.DTypePolicy("float32"))
    network = encoder(trunk, 139, feature_size=256)
    direct = keras.applications.InceptionV3(
        include_top=False, weights=path, input_shape=(139, 139, 3)
    )
    outputs = [direct.get_layer(layer).output, direct.output]
    images = real_pictures(shared_data, 2, 139)
    regions, last = keras.Model(direct.input, outputs)(images)
    found = network.trunk_features(images)
    np.testing.assert_allclose(
        found["regions"], np.reshape(regions, (2, 49, 768)), atol=1e-4
    )
    pooled = np.mean(last, axis=(1, 2))
    np.testing.assert_allclose(found["pooled"], pooled, atol=1e-4)
    # Trained features: sparse, and of another picture others.
    assert np.abs(pooled[0] - pooled[1]).mean() > 0.05


def real_pictures(shared_data, count: int, size: int) -> np.ndarray:
    files = sorted((shared_data / "cub227" / "images").rglob("*.jpg"))
    images = [
        np.asarray(Image.open(file).convert("RGB").resize((size, size)))
        for file in files[:: len(files) // count][:count]
    ]
    return np.float32(images) / 127.5 - 1.0


def test_discriminators_may_read_the_two_finest_maps_of_the_small_network():
    trunk = small_trunk(32, "float32")
    shapes = [x.shape[1:] for x in trunk.output["maps"]]
    assert shapes == [(16, 16, 32), (8, 8, 64)]
