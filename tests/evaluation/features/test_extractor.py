"""What every backend keeps to, whatever its network: shapes, sums, sizes."""

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


def pictures(*shape, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, shape).astype(np.float32)


def backend(network, size=8) -> FeatureExtractor:
    return FeatureExtractor(
        name="a network", sha256="0", size=size, network=network
    )


def means(images):
    """Features that numpy gives as easily: the mean of each channel."""
    pooled = tf.reduce_mean(images, [1, 2])
    return {"pooled": pooled, "probabilities": tf.nn.softmax(pooled)}


def test_features_are_those_of_the_network_for_any_number_and_size():
    found = backend(means)
    assert (found.size, found.pooled_size, found.classes) == (8, 3, 3)
    for shape in [(1, 8, 8, 3), (5, 12, 7, 3), (2, 300, 300, 3)]:
        images = pictures(*shape)
        features = found.features(images)
        expected = images.mean(axis=(1, 2), dtype=np.float64)
        shares = np.exp(expected)
        shares /= shares.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(features["pooled"], expected, atol=1e-6)
        np.testing.assert_allclose(features["probabilities"], shares, atol=1e-6)


def test_batches_of_any_size_are_traced_once():
    traces = []

    def network(images):
        traces.append(images.shape)
        return means(images)

    found = backend(network)

    @tf.function
    def outer(images):
        return found.features(2.0 * images)["pooled"]

    for count in (1, 3, 7):
        images = pictures(count, 8, 8, 3)
        direct = found.features(2.0 * images)["pooled"]
        np.testing.assert_allclose(outer(images), direct, atol=1e-6)
    assert traces == [(None, None, None, 3)]


def test_an_output_may_be_missing_and_others_are_left_out():
    def network(images):
        pooled = tf.reduce_mean(images, [1, 2])
        return {"pooled": tf.cast(pooled, tf.bfloat16), "other": pooled}

    found = backend(network)
    assert (found.pooled_size, found.classes) == (3, None)
    (features,) = found.features(pictures(2, 8, 8, 3)).items()
    assert features[0] == "pooled"
    assert features[1].dtype == tf.float32


@pytest.mark.parametrize(
    ("network", "text"),
    [
        (lambda x: {"probabilities": 2.0 * means(x)["probabilities"]}, "to 2,"),
        (lambda x: {"probabilities": means(x)["pooled"]}, "a softmax"),
        (lambda x: {"probabilities": [[2.0, -1.0]] * 2}, "least is -1"),
        (lambda x: {"pooled": x}, r"pooled .*\[2, 8, 8, 3\], finite"),
        (lambda x: {"pooled": x[:1, 0, 0]}, r"\[1, 3\], finite"),
        (lambda x: {"pooled": x[:, 0, 0] / 0.0}, r"\[2, 3\], not finite"),
        (lambda x: {"pooled": tf.ensure_shape(x, [1, 8, 8, 3])}, "it fails"),
    ],
)
def test_what_a_network_gives_is_checked_at_once(network, text):
    with pytest.raises(UserError, match=text) as error:
        backend(network)
    assert "\n" not in str(error.value)


def half_pixel(n: int, size: int) -> np.ndarray:
    """A matrix [size, n]: the shares of n places in each new one."""
    centres = (np.arange(size) + 0.5) * n / size - 0.5
    centres = np.clip(centres, 0, n - 1)[:, None]
    return np.maximum(0.0, 1.0 - np.abs(centres - np.arange(n)))


def test_enlarged_pictures_are_bilinear_with_half_pixel_centres():
    images = pictures(2, 16, 12, 3)
    rows, columns = half_pixel(16, 37), half_pixel(12, 37)
    expected = np.einsum("ph,bhwc,qw->bpqc", rows, images, columns)
    np.testing.assert_allclose(resized(images, 37), expected, atol=1e-5)


def test_pictures_of_the_right_size_stay_as_they_are():
    images = pictures(2, 37, 37, 3)
    dynamic = tf.function(
        lambda x: resized(x, 37),
        input_signature=[tf.TensorSpec([None, None, None, 3])],
    )
    np.testing.assert_allclose(dynamic(images), images, atol=1e-6)


def test_smaller_pictures_are_antialiased():
    (image,) = pictures(1, 40, 40, 3)
    expected = [
        Image.fromarray(channel).resize((10, 10), Image.Resampling.BILINEAR)
        for channel in image.transpose(2, 0, 1)
    ]
    found = resized(image[None], 10)[0]
    np.testing.assert_allclose(found, np.stack(expected, -1), atol=1e-5)


def test_the_digest_of_a_file_is_its_sha256(tmp_path):
    path = tmp_path / "abc"
    path.write_bytes(b"abc")  # FIPS 180-4's example
    assert digest(str(path)) == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    path.write_bytes(bytes(3 * 2**20 + 1))
    assert digest(path) == hashlib.sha256(bytes(3 * 2**20 + 1)).hexdigest()
    with pytest.raises(OSError, match="missing"):
        digest(tmp_path / "missing")


def test_the_digest_of_a_folder_is_of_names_and_contents(tmp_path):
    folder = tmp_path / "a"
    for name, text in {"z": "1", "b/y": "2", "b/c/x": ""}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    content = b""
    for name, text in [(b"b/c/x", b""), (b"b/y", b"2"), (b"z", b"1")]:
        content += name + b"\0" + hashlib.sha256(text).digest()
    first = digest(folder)
    assert first == hashlib.sha256(content).hexdigest()
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert digest(tmp_path / "elsewhere") == first
    (folder / "z").rename(folder / "zz")
    renamed = digest(folder)
    (folder / "b" / "y").write_text("3")
    assert len({first, renamed, digest(folder)}) == 3
