"""The fixed trunk: layers, precision, BN measured on pictures and folded."""

import keras
import numpy as np
import pytest

from attngan_tf.models.inception import (
    inception_trunk,
    measure_batch_norm,
    without_batch_norm,
)

FLOAT32 = keras.DTypePolicy("float32")


def pictures(*shape, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, shape).astype(np.float32)


@pytest.fixture(scope="module")
def inception():
    """Inception-v3 with random weights, as small as it may be."""
    return inception_trunk(75, "mixed6", None, FLOAT32)


@pytest.mark.parametrize(("size", "side"), [(299, 17), (139, 7)])
@pytest.mark.parametrize("layer", ["mixed6", "mixed7"])
def test_region_grids_of_inception(size, side, layer):
    trunk = inception_trunk(size, layer, None, FLOAT32)
    assert trunk.output["regions"].shape == (None, side, side, 768)
    assert trunk.output["pooled"].shape == (None, 2048)


def test_each_region_layer_is_the_one_named(inception):
    other = inception_trunk(75, "mixed7", None, FLOAT32)
    other.set_weights(inception.get_weights())
    images = pictures(1, 75, 75, 3)
    names = ("mixed6", "mixed7")
    outputs = {name: inception.get_layer(name).output for name in names}
    expected = keras.Model(inception.input, outputs)(images)
    assert not np.allclose(expected["mixed6"], expected["mixed7"], atol=1e-3)
    for name, trunk in zip(names, (inception, other), strict=True):
        np.testing.assert_allclose(
            trunk(images)["regions"], expected[name], rtol=1e-4, atol=1e-6
        )


def test_the_global_policy_comes_back():
    before = keras.config.dtype_policy().name
    policy = keras.DTypePolicy("mixed_bfloat16")
    trunk = inception_trunk(75, "mixed6", None, policy)
    assert trunk.get_layer("mixed6").compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == before
    with pytest.raises(ValueError, match="weights"):
        inception_trunk(75, "mixed6", "/no/such/file", policy)
    assert keras.config.dtype_policy().name == before


def small_network() -> keras.Model:
    """Two branches of convolution and BN, as keras.applications builds them."""
    picture = keras.Input((6, 6, 3))
    branches = []
    for strides in (1, 2):
        x = keras.layers.Conv2D(5, 3, strides, use_bias=False)(picture)
        x = keras.layers.BatchNormalization(scale=False)(x)
        x = keras.layers.Activation("relu")(x)
        branches.append(keras.layers.GlobalAveragePooling2D()(x))
    joined = keras.layers.Concatenate()(branches)
    return keras.Model(picture, joined)


def test_folding_keeps_the_function():
    network = small_network()
    rng = np.random.default_rng(3)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shift, mean = rng.normal(size=(2, 5))
            layer.set_weights([shift, mean, rng.uniform(0.1, 4.0, 5)])
    folded = without_batch_norm(network)
    kinds = [type(layer).__name__ for layer in folded.layers]
    assert "BatchNormalization" not in kinds
    assert kinds.count("Conv2D") == 2
    images = pictures(3, 6, 6, 3)
    expected = network(images).numpy()
    assert expected.std() > 0.1
    np.testing.assert_allclose(folded(images), expected, atol=1e-5)


def test_measured_statistics_are_means_over_batches():
    network = small_network()
    batches = [pictures(8, 6, 6, 3, seed=k) * (k + 1) for k in range(3)]
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
    images = pictures(4, 75, 75, 3)
    trunk = inception_trunk(75, "mixed6", None, FLOAT32, [images])
    pooled = trunk(images)["pooled"].numpy()
    # Unmeasured, 94 layers of random weights end in numbers below 1e-3.
    assert 0.1 < pooled.mean() < 10
    assert not trunk.trainable_variables
