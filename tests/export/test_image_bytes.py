"""Pictures that strangers send to an exported model."""

import resource

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from attngan_tf.models.image_encoder import ImageEncoder, small_backbone
from export.image_bytes import MOST_SCANS, decode_squares
from tests.data.hostile.drawn import noise, png, saved
from tests.data.hostile.pictures import every_picture

SIZE = 8


@pytest.fixture(scope="module")
def squares():
    """`decode_squares` as an exported model has it."""
    strings = tf.TensorSpec([None], tf.string)
    return tf.function(lambda x: decode_squares(x, SIZE), [strings])


def refusal(squares, *encoded):
    """What is said of pictures that are not decoded."""
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        squares(tf.constant(encoded))
    return str(caught.value)


def peak_bytes():
    """Of this process, since it began."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("resize", ["half_pixel", "aligned_corners"])
@pytest.mark.parametrize("side", [20, 32, 200])
def test_pictures_are_resized_as_the_image_encoder_does(resize, side):
    """For an encoder of 32 pixels, by bytes and by pixels."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, [side, side, 3], np.uint8)
    encoded = tf.io.encode_png(picture)[None]
    found = decode_squares(encoded, 32, resize)
    encoder = ImageEncoder(
        backbone=small_backbone(32, "float32"),
        size=32,
        feature_size=16,
        resize=resize,
    )
    if side == 200:  # noise is nearly even where it is not aliased
        assert np.std(found) < 0.2
    if side <= 32 or resize == "half_pixel":
        expected = encoder._resized(picture[None] / np.float32(127.5) - 1)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_hostile_pictures_are_decoded_or_refused(squares):
    """The corpus that data preparation is shown, in the model's own graph."""
    decoded, refused = 0, 0
    before = peak_bytes()
    for picture in every_picture():
        try:
            found = squares(tf.constant([picture.content])).numpy()
        except tf.errors.InvalidArgumentError:
            refused += 1
            continue
        decoded += 1
        assert found.shape == (1, SIZE, SIZE, 3)
        assert np.isfinite(found).all()
        assert np.abs(found).max() <= 1.001
    assert decoded >= 20
    assert refused >= 20
    assert peak_bytes() - before < 1e9


@pytest.mark.parametrize(
    "encoded",
    [
        png(4097, 4096, 1, 0, bytes(514 * 4096)),
        png(2**31 - 1, 2**31 - 1, 8, 0, bytes(9)),
    ],
    ids=["just too large", "largest that PNG can name"],
)
def test_a_bomb_is_not_decoded(squares, encoded):
    good = saved(noise(), "PNG")
    said = refusal(squares, good, encoded)
    assert "a picture may have 16777216 pixels; its sides are" in said


def test_the_largest_pictures_take_turns(squares):
    largest = png(4096, 4096, 1, 0, bytes(513 * 4096))
    before = peak_bytes()
    found = squares(tf.constant([largest] * 6)).numpy()
    assert (found == -1).all()
    assert peak_bytes() - before < 6e8


def test_a_jpeg_of_countless_scans_is_not_decoded(squares):
    """Each is ten bytes, and decodes the whole picture again."""
    whole = saved(noise(), "JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    scan = whole[last:-2]
    assert squares(tf.constant([whole])).shape == (1, SIZE, SIZE, 3)
    said = refusal(squares, whole[:-2] + scan * MOST_SCANS + whole[-2:])
    before = peak_bytes()
    refusal(squares, whole[:-2] + b"\xff\xda" * 2**24)
    assert peak_bytes() - before < 5e8  # 350 MB for 34 MB
    assert f"a JPEG may have {MOST_SCANS} scans; it has] [110]" in said


@pytest.mark.parametrize("kind", ["GIF", "BMP", "WEBP", "TIFF"])
def test_other_kinds_are_refused_in_words(squares, kind):
    encoded = saved(Image.fromarray(noise()), kind)
    said = refusal(squares, encoded)
    assert "a picture must be a JPEG or a PNG file" in said


@pytest.mark.parametrize("length", [0, 1, 8, 16, 20, 24, 30])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_picture_that_was_cut_off_is_refused(squares, kind, length):
    refusal(squares, saved(noise(), kind)[:length])
