"""Inception-v3 by name, and Keras models in files."""

import hashlib

import h5py
import keras
import numpy as np
import pytest

from attngan_tf.errors import UserError
from attngan_tf.evaluation.features import keras_models
from attngan_tf.evaluation.features.extractor import digest, resized
from attngan_tf.evaluation.features.keras_models import (
    inception_v3,
    keras_model,
)
from attngan_tf.models.inception import measure_batch_norm

K = 5  # classes


IMAGES = np.random.default_rng(0).uniform(-1, 1, (3, 299, 299, 3))
IMAGES = IMAGES.astype(np.float32)


def write_legacy_weights(network: keras.Model, path: str) -> None:
    """A weights file in the format of Keras 2, in which ImageNet's are."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [x.name.encode() for x in network.layers]
        for layer in network.layers:
            weights = layer.get_weights()
            names = [f"{layer.name}/{i}:0" for i in range(len(weights))]
            group = file.create_group(layer.name)
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, weight in zip(names, weights, strict=True):
                group[name] = weight


def both(network: keras.Model) -> dict[str, np.ndarray]:
    """The outputs of keras.applications' own network for three images."""
    outputs = {
        "pooled": network.get_layer("avg_pool").output,
        "probabilities": network.output,
    }
    found = keras.Model(network.input, outputs)(IMAGES, training=False)
    return {name: value.numpy() for name, value in found.items()}


@pytest.fixture(scope="module")
def inception() -> keras.Model:
    """Inception-v3 with random weights that distinguish images."""
    keras.utils.set_random_seed(0)
    network = keras.applications.InceptionV3(weights=None, classes=K)
    measure_batch_norm(network, [IMAGES[::-1, ::-1]])
    top = network.get_layer("predictions")
    kernel, _ = top.get_weights()
    logits = both(network)["pooled"] @ kernel
    mean, std = logits.mean(axis=0), logits.std(axis=0)
    top.set_weights([kernel / std, -mean / std])
    return network


@pytest.fixture(scope="module")
def expected(inception) -> dict[str, np.ndarray]:
    found = both(inception)
    assert found["pooled"].std(axis=0).mean() > 0.01
    assert found["probabilities"].std(axis=0).min() > 0.05
    return found


@pytest.mark.slow
def test_inception_without_top_gives_pooled_features_alone(
    inception, expected, save, tmp_path
):
    path = str(tmp_path / "bird_notop.weights.h5")
    layers = inception.get_layer("avg_pool")
    save(keras.Model(inception.input, layers.output), path, "save_weights")
    found = inception_v3(path)
    assert (found.pooled_size, found.classes) == (2048, None)
    assert found.name.endswith("of keras.applications, bird_notop.weights.h5")
    features = found.features(IMAGES)
    assert set(features) == {"pooled"}
    np.testing.assert_allclose(
        features["pooled"], expected["pooled"], rtol=2e-3, atol=2e-4
    )


@pytest.mark.slow
def test_imagenet_weights_are_downloaded_once_and_identified_by_content(
    inception, expected, tmp_path, monkeypatch
):
    source = tmp_path / "source.h5"
    write_legacy_weights(inception, str(source))
    content = source.read_bytes()
    md5 = hashlib.md5(content).hexdigest()
    cache = {"cache_dir": str(tmp_path), "file_hash": md5}
    for key, value in (cache | {"origin": source.as_uri()}).items():
        monkeypatch.setitem(keras_models.IMAGENET, key, value)
    keras.utils.get_file(**keras_models.IMAGENET)
    source.unlink()
    found = inception_v3("imagenet")
    assert found.name.endswith(keras_models.IMAGENET["fname"])
    assert found.provenance["sha256"] == hashlib.sha256(content).hexdigest()
    assert (found.size, found.pooled_size, found.classes) == (299, 2048, K)
    features = found.features(IMAGES)
    for name, value in expected.items():
        np.testing.assert_allclose(features[name], value, rtol=2e-3, atol=2e-3)
    smaller = IMAGES[:1, :64, :64]
    np.testing.assert_allclose(
        found.features(smaller)["pooled"],
        found.features(resized(smaller, 299))["pooled"],
        atol=1e-5,
    )


def test_the_imagenet_file_is_the_one_that_keras_loads(monkeypatch):
    requested = []

    def get_file(fname, origin, **kwargs):
        requested.append({"fname": fname, "origin": origin, **kwargs})
        raise InterruptedError

    module = "keras.src.applications.inception_v3.file_utils.get_file"
    monkeypatch.setattr(module, get_file)
    with pytest.raises(InterruptedError):
        keras.applications.InceptionV3(weights="imagenet")
    assert requested == [keras_models.IMAGENET]


def test_a_failed_download_suggests_a_file(tmp_path, monkeypatch):
    nowhere = {"origin": "http://127.0.0.1:1/x.h5", "cache_dir": str(tmp_path)}
    for key, value in nowhere.items():
        monkeypatch.setitem(keras_models.IMAGENET, key, value)
    with pytest.raises(UserError, match=r"127.* on another machine") as error:
        inception_v3("imagenet")
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_weights_of_other_networks_are_rejected(save, tmp_path):
    with pytest.raises(UserError, match=r"no file at '.*missing'"):
        inception_v3(str(tmp_path / "missing"))
    text = tmp_path / "text.h5"
    text.write_text("no weights")
    other = tmp_path / "other.weights.h5"
    image = keras.Input((8, 8, 3))
    features = keras.layers.GlobalAveragePooling2D()(image)
    save(keras.Model(image, features), other, "save_weights")
    for path in (text, other):
        with pytest.raises(UserError, match=f"{path.name} could not"):
            inception_v3(str(path))


def classifier(size=16) -> keras.Model:
    """Its pooled features are the mean colours."""
    image = keras.Input((size, size, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(image)
    x = keras.layers.Dropout(0.5)(pooled)
    x = keras.layers.Dense(K, "softmax", kernel_initializer="normal")(x)
    return keras.Model(image, x)


@pytest.mark.parametrize(("ending", "size"), [("keras", 16), ("h5", None)])
def test_a_model_in_a_file_returns_both(
    ending, size, save, tmp_path, random_images
):
    model = classifier(size)
    weights = [random_images(3, K, seed=4) * 3, random_images(K, seed=5)]
    model.layers[-1].set_weights(weights)
    path = tmp_path / f"bird.{ending}"
    save(model, path)
    found = keras_model(str(path))
    assert found.name == f"Keras model bird.{ending}"
    assert found.size == (size or 299)
    assert (found.pooled_size, found.classes) == (3, K)
    assert found.provenance["sha256"] == digest(path)
    images = random_images(4, 8, 8, 3)  # enlarged, which changes the means
    expected = resized(images, found.size).numpy().mean(axis=(1, 2))
    features = found.features(images)
    np.testing.assert_allclose(features["pooled"], expected, atol=1e-5)
    p = np.exp(expected @ weights[0] + weights[1])
    p /= p.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(features["probabilities"], p, atol=1e-5)


def test_pooled_features_of_a_backbone_below_a_new_top(
    save, tmp_path, random_images
):
    backbone = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Conv2D(7, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(K),  # a layer of the backbone, not the last one
        ]
    )
    path = str(tmp_path / "bird.keras")
    top = keras.layers.Dense(K, "softmax")
    save(keras.Sequential([keras.Input((16, 16, 3)), backbone, top]), path)
    images = random_images(2, 16, 16, 3)
    features = keras_model(path).features(images)
    expected = backbone(images).numpy()
    np.testing.assert_allclose(features["pooled"], expected, atol=1e-5)
    np.testing.assert_allclose(
        features["probabilities"], top(expected), atol=1e-5
    )


def test_models_without_a_dense_layer_have_no_pooled_features(save, tmp_path):
    image = keras.Input((8, 8, 3))
    gates = keras.layers.GlobalAveragePooling2D()(image)
    gates = keras.layers.Dense(3, "sigmoid")(gates)  # squeeze-and-excitation
    x = keras.layers.Multiply()([image, keras.layers.Reshape([1, 1, 3])(gates)])
    x = keras.layers.Conv2D(K, 8)(x)
    x = keras.layers.Softmax()(keras.layers.Flatten()(x))
    path = str(tmp_path / "bird.keras")
    save(keras.Model(image, x), path)
    found = keras_model(path)
    assert (found.pooled_size, found.classes) == (None, K)


def two_inputs() -> keras.Model:
    inputs = [keras.Input((8, 8, 3)), keras.Input((8, 8, 3))]
    x = keras.layers.Flatten()(keras.layers.Add()(inputs))
    return keras.Model(inputs, keras.layers.Dense(K, "softmax")(x))


def with_lambda() -> keras.Model:
    image = keras.Input((8, 8, 3))
    x = keras.layers.Lambda(lambda x: x + 1.0)(image)
    x = keras.layers.Flatten()(x)
    return keras.Model(image, keras.layers.Dense(K, "softmax")(x))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (two_inputs, r"one input .*\(None, 8, 8, 3\), \(None, 8, 8, 3\)"),
        (with_lambda, "could not be loaded: .*[Ll]ambda"),
    ],
)
def test_other_models_are_rejected(make, text, save, tmp_path):
    path = str(tmp_path / "bird.keras")
    save(make(), path)
    with pytest.raises(UserError, match=text) as error:
        keras_model(path)
    assert "\n" not in str(error.value)
