"""Decoding images of untrusted clients in an exported model."""

import io
import resource

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from attngan_tf.models.image_encoder import ImageEncoder, small_backbone
from attngan_tf.sampling import to_uint8
from export.image_bytes import MAX_SCANS, decode_squares
from tests.data.helpers import image_bytes, png

SIZE = 8


@pytest.fixture(scope="module")
def squares():
    """`decode_squares` as a graph, as in an exported model."""
    strings = tf.TensorSpec([None], tf.string)
    return tf.function(lambda x: decode_squares(x, SIZE), [strings])


def refusal(squares, *encoded):
    """The error message for images that are not decoded."""
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        squares(tf.constant(encoded))
    return str(caught.value)


def peak_bytes():
    """The largest memory that this process has used so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("resize", ["half_pixel", "aligned_corners"])
@pytest.mark.parametrize("side", [20, 32, 200])
def test_images_are_resized_as_by_the_image_encoder(resize, side):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, [side, side, 3], np.uint8)
    encoded = tf.io.encode_png(image)[None]
    found = decode_squares(encoded, 32, resize)
    encoder = ImageEncoder(
        backbone=small_backbone(32, "float32"),
        size=32,
        feature_size=16,
        resize=resize,
    )
    if side == 200:  # without aliasing, noise averages out
        assert np.std(found) < 0.2
    if side <= 32 or resize == "half_pixel":
        expected = encoder._resized(image[None] / np.float32(127.5) - 1)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_jpegs_are_decoded_as_by_pillow():
    data = image_bytes("JPEG", size=(24, 24))
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    found = decode_squares(tf.constant([data]), 24)[0]
    np.testing.assert_array_equal(to_uint8(found), pixels)


def test_damaged_images_are_decoded_or_refused(squares):
    """Valid files with a few wrong bytes; nothing else is raised."""
    rng = np.random.default_rng(0)
    decoded, refused = 0, 0
    for number in range(60):
        content = bytearray(image_bytes(("JPEG", "PNG")[number % 2]))
        for at in rng.integers(0, len(content), 1 + number // 20):
            content[at] ^= 0x5A
        try:
            found = squares(tf.constant([bytes(content)])).numpy()
        except tf.errors.InvalidArgumentError:
            refused += 1
            continue
        decoded += 1
        assert found.shape == (1, SIZE, SIZE, 3)
        assert np.abs(found).max() <= 1.001
    assert decoded >= 10
    assert refused >= 10


@pytest.mark.parametrize(
    "encoded",
    [
        png(4097, 4096, 1, 0, bytes(514 * 4096)),
        png(2**31 - 1, 2**31 - 1, 8, 0, bytes(9)),
    ],
    ids=["just too large", "largest possible sides"],
)
def test_an_image_with_too_many_pixels_is_not_decoded(squares, encoded):
    good = image_bytes("PNG")
    message = refusal(squares, good, encoded)
    assert "an image must have at most 16777216 pixels; received" in message


def test_large_images_are_decoded_one_at_a_time(squares):
    largest = png(4096, 4096, 1, 0, bytes(513 * 4096))
    before = peak_bytes()
    found = squares(tf.constant([largest] * 6)).numpy()
    assert (found == -1).all()
    assert peak_bytes() - before < 6e8


def test_a_jpeg_with_too_many_scans_is_not_decoded(squares):
    """Each scan is ten bytes, and decodes the whole image again."""
    whole = image_bytes("JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    scan = whole[last:-2]
    assert squares(tf.constant([whole])).shape == (1, SIZE, SIZE, 3)
    message = refusal(squares, whole[:-2] + scan * MAX_SCANS + whole[-2:])
    before = peak_bytes()
    refusal(squares, whole[:-2] + b"\xff\xda" * 2**24)
    assert peak_bytes() - before < 8e8  # 350 to 520 MB for 34 MB
    assert f"at most {MAX_SCANS} scans; received] [110]" in message


@pytest.mark.parametrize("kind", ["GIF", "BMP", "WEBP", "TIFF"])
def test_other_formats_are_refused(squares, kind):
    encoded = image_bytes(kind)
    message = refusal(squares, encoded)
    assert "an image must be a JPEG or PNG file" in message


@pytest.mark.parametrize("length", [0, 8, 20, 30])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_truncated_image_is_refused(squares, kind, length):
    refusal(squares, image_bytes(kind)[:length])
