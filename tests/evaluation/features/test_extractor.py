"""What all feature extractors have in common: shapes, checks, sizes."""

import hashlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from attngan_tf.errors import UserError
from attngan_tf.evaluation.features.extractor import (
    FeatureExtractor,
    digest,
    resized,
)


def extractor(network, size=8) -> FeatureExtractor:
    return FeatureExtractor(
        name="a network", sha256="0", size=size, network=network
    )


def means(images):
    """Features that numpy computes as easily: the mean of each channel."""
    pooled = tf.reduce_mean(images, [1, 2])
    return {"pooled": pooled, "probabilities": tf.nn.softmax(pooled)}


def test_features_of_images_of_any_number_and_size(random_images):
    traces = []

    def network(images):
        traces.append(images.shape)
        return means(images)

    found = extractor(network)
    assert (found.size, found.pooled_size, found.classes) == (8, 3, 3)
    outer = tf.function(lambda x: found.features(2.0 * x)["pooled"])
    for shape in [(1, 8, 8, 3), (5, 12, 7, 3), (2, 300, 300, 3)]:
        images = random_images(*shape)
        features = found.features(images)
        expected = images.mean(axis=(1, 2), dtype=np.float64)
        p = np.exp(expected)
        p /= p.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(features["pooled"], expected, atol=1e-6)
        np.testing.assert_allclose(features["probabilities"], p, atol=1e-6)
        np.testing.assert_allclose(outer(images), 2 * expected, atol=1e-6)
    assert traces == [(None, None, None, 3)]  # traced once


def test_other_outputs_are_ignored_and_types_converted(random_images):
    def network(images):
        pooled = tf.reduce_mean(images, [1, 2])
        return {"pooled": tf.cast(pooled, tf.bfloat16), "other": pooled}

    found = extractor(network)
    assert (found.pooled_size, found.classes) == (3, None)
    assert found.outputs == ("pooled",)
    features = found.features(random_images(2, 8, 8, 3))
    assert {k: x.dtype for k, x in features.items()} == {"pooled": tf.float32}


@pytest.mark.parametrize(
    ("network", "text"),
    [
        (lambda x: {"probabilities": 2.0 * means(x)["probabilities"]}, "to 2,"),
        (lambda x: {"probabilities": means(x)["pooled"]}, "a softmax"),
        (lambda x: {"probabilities": [[2.0, -1.0]] * 2}, "smallest is -1"),
        (lambda x: {"pooled": x}, r"pooled .*\[2, 8, 8, 3\], finite"),
        (lambda x: {"pooled": x[:1, 0, 0]}, r"\[1, 3\], finite"),
        (lambda x: {"pooled": x[:, 0, 0] / 0.0}, r"\[2, 3\], not finite"),
        (lambda x: {"pooled": tf.ensure_shape(x, [1, 8, 8, 3])}, "it fails"),
    ],
)
def test_invalid_outputs_are_rejected(network, text):
    with pytest.raises(UserError, match=text) as error:
        extractor(network)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("size", [10, 90])
def test_images_are_resized_as_in_pillow(random_images, size):
    """Bilinear with half-pixel centres; antialiased if they become smaller."""
    (image,) = random_images(1, 40, 40, 3)
    expected = [
        Image.fromarray(channel).resize((size, size), Image.Resampling.BILINEAR)
        for channel in image.transpose(2, 0, 1)
    ]
    found = resized(image[None], size)[0]
    np.testing.assert_allclose(found, np.stack(expected, -1), atol=1e-5)


def test_the_digest_is_of_names_and_contents(tmp_path):
    folder = tmp_path / "a"
    for name, text in {"z": "1", "b/y": "2", "b/c/x": ""}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    content = b""
    for name, text in [(b"b/c/x", b""), (b"b/y", b"2"), (b"z", b"1")]:
        content += name + b"\0" + hashlib.sha256(text).digest()
    assert digest(folder / "z") == hashlib.sha256(b"1").hexdigest()
    first = digest(folder)
    assert first == hashlib.sha256(content).hexdigest()
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert digest(tmp_path / "elsewhere") == first
    (folder / "z").rename(folder / "zz")
    renamed = digest(folder)
    (folder / "b" / "y").write_text("3")
    assert len({first, renamed, digest(folder)}) == 3
