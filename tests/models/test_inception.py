"""The fixed backbone: layers, precision, BN measured on images and fused."""

import keras
import numpy as np
import pytest
from PIL import Image

from attngan_tf.models.image_encoder import ImageEncoder
from attngan_tf.models.inception import (
    inception_backbone,
    measure_batch_norm,
    without_batch_norm,
)

FLOAT32 = keras.DTypePolicy("float32")
WEIGHTS = "inception/inception_v3_imagenet_notop.weights.h5"


def random_images(*shape, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, shape).astype(np.float32)


def encoder(backbone, size) -> ImageEncoder:
    network = ImageEncoder(backbone=backbone, size=size, feature_size=256)
    network.build()
    return network


@pytest.fixture(scope="module")
def inception():
    """Inception-v3 of the published size, with random weights."""
    return inception_backbone(299, "mixed7", None, FLOAT32)


def test_shapes_of_the_published_size(inception):
    regions = inception.output["regions"]
    assert regions.shape == (None, 17, 17, 768)
    assert regions._keras_history.operation.name == "mixed7"
    assert inception.output["pooled"].shape == (None, 2048)
    channels = [x.shape[-1] for x in inception.output["maps"]]
    assert channels == [64, 288, 768, 1280]


def test_only_the_heads_are_trained(inception):
    network = encoder(inception, 299)
    assert [w.shape for w in network.trainable_variables] == [
        *((768, 256), (2048, 256), (256,)),
    ]
    assert network.count_params() - inception.count_params() == 721_152
    before = [w.numpy() for w in inception.weights]
    found = network(random_images(1, 299, 299, 3), training=True)
    assert found["region_features"].shape == (1, 17 * 17, 256)
    assert found["image_features"].shape == (1, 256)
    for old, new in zip(before, inception.weights, strict=True):
        np.testing.assert_array_equal(new, old)


def small_network() -> keras.Model:
    """Two branches of convolution and BN, as keras.applications builds them."""
    images = keras.Input((6, 6, 3))
    branches = []
    for strides in (1, 2):
        x = keras.layers.Conv2D(5, 3, strides, use_bias=False)(images)
        x = keras.layers.BatchNormalization(scale=False)(x)
        x = keras.layers.Activation("relu")(x)
        branches.append(keras.layers.GlobalAveragePooling2D()(x))
    return keras.Model(images, keras.layers.Concatenate()(branches))


def test_fusion_keeps_the_function():
    network = small_network()
    rng = np.random.default_rng(3)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shift, mean = rng.normal(size=(2, 5))
            layer.set_weights([shift, mean, rng.uniform(0.1, 4.0, 5)])
    fused = without_batch_norm(network)
    kinds = [type(layer).__name__ for layer in fused.layers]
    assert "BatchNormalization" not in kinds
    assert kinds.count("Conv2D") == 2
    images = random_images(3, 6, 6, 3)
    expected = network(images).numpy()
    assert expected.std() > 0.1
    np.testing.assert_allclose(fused(images), expected, atol=1e-5)


def test_measured_statistics_are_means_over_batches():
    network = small_network()
    batches = [random_images(8, 6, 6, 3, seed=k) * (k + 1) for k in range(3)]
    measure_batch_norm(network, batches)
    conv, norm = network.layers[1], network.layers[3]
    assert norm.input is conv.output
    maps = [conv(batch).numpy() for batch in batches]
    _, mean, variance = norm.get_weights()
    means = [m.mean(axis=(0, 1, 2)) for m in maps]
    variances = [m.var(axis=(0, 1, 2)) for m in maps]
    np.testing.assert_allclose(mean, np.mean(means, axis=0), atol=1e-5)
    np.testing.assert_allclose(variance, np.mean(variances, axis=0), rtol=1e-4)


@pytest.mark.slow
def test_random_features_are_usable_once_measured():
    images = random_images(4, 75, 75, 3)
    backbone = inception_backbone(75, "mixed6", None, FLOAT32, [images])
    pooled = backbone(images)["pooled"].numpy()
    # Unmeasured, 94 layers of random weights end in numbers below 1e-3.
    assert 0.1 < pooled.mean() < 10
    assert not backbone.trainable_variables


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["mixed6", "mixed7"])
def test_imagenet_features_equal_those_of_keras(shared_data, layer):
    path = str(shared_data / WEIGHTS)
    network = encoder(inception_backbone(139, layer, path, FLOAT32), 139)
    direct = keras.applications.InceptionV3(
        include_top=False, weights=path, input_shape=(139, 139, 3)
    )
    outputs = [direct.get_layer(layer).output, direct.output]
    images = real_images(shared_data, 2, 139)
    regions, last = keras.Model(direct.input, outputs)(images)
    found = network.backbone_features(images)
    np.testing.assert_allclose(
        found["regions"], np.reshape(regions, (2, 49, 768)), atol=1e-4
    )
    pooled = np.mean(last, axis=(1, 2))
    np.testing.assert_allclose(found["pooled"], pooled, atol=1e-4)
    # Trained features differ between images.
    assert np.abs(pooled[0] - pooled[1]).mean() > 0.05


def real_images(shared_data, count: int, size: int) -> np.ndarray:
    files = sorted((shared_data / "cub227" / "images").rglob("*.jpg"))
    images = [
        np.asarray(Image.open(file).convert("RGB").resize((size, size)))
        for file in files[:: len(files) // count][:count]
    ]
    return np.float32(images) / 127.5 - 1.0
