"""Decoding, scaling and cropping of images."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from attngan_tf.data import views
from tests.data.helpers import encoded

WIDTH, HEIGHT = 90, 60
WHOLE = (0, 0, 0, 0)


def ramp() -> np.ndarray:
    """Red shows the column, green the row: 2 and 3 levels a pixel."""
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    return np.stack([20 + 2 * x, 20 + 3 * y, 0 * x], -1).astype(np.uint8)


def noise(width=WIDTH, height=HEIGHT, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), np.uint8)


def decode(data: bytes, crop=WHOLE) -> np.ndarray:
    return views.decode(tf.constant(data), tf.constant(crop)).numpy()


def triangle(size: int, target: int) -> np.ndarray:
    """Weights [target, size] of a reduction: a triangle as wide as 2 steps."""
    step = size / target
    centres = (np.arange(target) + 0.5) * step
    away = np.abs(centres[:, None] - (np.arange(size) + 0.5)) / max(step, 1.0)
    weights = np.maximum(0.0, 1.0 - away)
    return weights / weights.sum(axis=1, keepdims=True)


def resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    rows = triangle(pixels.shape[0], height)
    columns = triangle(pixels.shape[1], width)
    return np.einsum("ih,hwc,jw->ijc", rows, np.float64(pixels), columns)


def random_views(pixels: np.ndarray, size: int, count: int) -> np.ndarray:
    """Random views of `count` keys."""

    @tf.function
    def sample():
        scaled = views.scale(tf.constant(pixels), size)
        keys = [[7, i] for i in range(count)]
        return tf.map_fn(
            lambda key: views.random_view(scaled, size, key),
            tf.constant(keys, tf.int64),
            fn_output_signature=tf.float32,
        )

    return sample().numpy()


@pytest.mark.parametrize(
    "crop", [(5, 11, 40, 33), (0, 0, 1, 1), (59, 89, 1, 1)]
)
def test_png_inside_the_crop_is_bit_equal(crop):
    pixels = noise()
    top, left, height, width = crop
    inside = pixels[top : top + height, left : left + width]
    np.testing.assert_array_equal(decode(encoded(pixels), crop), inside)
    np.testing.assert_array_equal(decode(encoded(pixels)), pixels)


@pytest.mark.parametrize("crop", [(8, 16, 40, 56), (5, 11, 33, 47)])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_jpeg_inside_the_crop_differs_only_at_its_edge(crop, subsampling):
    data = encoded(noise(), "JPEG", subsampling=subsampling)
    top, left, height, width = crop
    found = decode(data, crop)
    whole = decode(data)[top : top + height, left : left + width]
    assert found.shape == whole.shape == (height, width, 3)
    if subsampling == 0:
        np.testing.assert_array_equal(found, whole)
    # Halved colours are interpolated; at the edge of the crop a neighbour is
    # missing. Measured on noise: 55 levels at most there, 0.5 on average.
    np.testing.assert_array_equal(found[1:-1, 1:-1], whole[1:-1, 1:-1])
    assert np.abs(np.int64(found) - whole).mean() < 1.0


def test_photographs_are_decoded_as_by_pillow(shared_data):
    paths = sorted((shared_data / "cub227" / "images").rglob("*.jpg"))[::500]
    for path in paths:
        expected = np.asarray(Image.open(path))
        data = path.read_bytes()
        np.testing.assert_array_equal(decode(data), expected)
        # Without the edge, where colours are interpolated.
        found = decode(data, (5, 11, 100, 90))[1:-1, 1:-1]
        np.testing.assert_array_equal(found, expected[6:104, 12:100])
    assert len(paths) > 10


def test_jpegs_of_any_quality_are_decoded_as_by_pillow():
    for quality in (20, 75, 98):
        data = encoded(noise(), "JPEG", quality=quality)
        expected = np.asarray(Image.open(io.BytesIO(data)))
        np.testing.assert_array_equal(decode(data), expected)


def test_keys_of_caches_depend_on_how_pixels_are_computed(
    prepared_folder, monkeypatch
):
    records = views.Records(prepared_folder, "train")
    before = records.digest([0, 1])
    monkeypatch.setattr(views, "PIXELS", 1)
    assert records.digest([0, 1]) != before


@pytest.mark.parametrize(
    ("width", "height", "size", "expected"),
    [  # the shorter side becomes size x 76/64, the longer one is truncated
        (500, 331, 64, (76, 114)),  # from 114.8
        (331, 500, 256, (459, 304)),  # from 459.2
        (500, 363, 256, (304, 418)),  # from 418.7
        (90, 60, 64, (76, 114)),
        (60, 90, 64, (114, 76)),
        (90, 60, 256, (304, 456)),
        (50, 50, 16, (19, 19)),
        (401, 299, 299, (355, 476)),
    ],
)
def test_scale_of_the_shorter_side(width, height, size, expected):
    found = views.scale(tf.zeros([height, width, 3], tf.uint8), size)
    assert found.shape == (*expected, 3)


@pytest.mark.parametrize(("size", "shape"), [(16, (19, 28)), (64, (76, 114))])
def test_scale_is_antialiased(size, shape):
    pixels = noise()
    found = views.scale(tf.constant(pixels), size)
    np.testing.assert_allclose(found, resized(pixels, *shape), atol=1e-2)


def test_random_views_are_uniform_and_half_of_them_mirrored():
    size, count = 32, 600
    # 60 x 90 becomes 38 x 57: crops start at 0 to 6 and at 0 to 25.
    ratio = 38 / 60
    found = random_views(ramp(), size, count)
    assert found.shape == (count, size, size, 3)
    mirrored = found[:, 16, 20, 0] < found[:, 16, 10, 0]
    # 300 expected, standard deviation 12.
    assert 240 < mirrored.sum() < 360
    upright = np.where(mirrored[:, None, None, None], found[:, :, ::-1], found)
    # The position of the view's center in the image, then the crop's start.
    column = (upright[:, 16, 16, 0] - 20) / 2
    row = (upright[:, 16, 16, 1] - 20) / 3
    left = (column + 0.5) * 57 / WIDTH - 0.5 - 16
    top = (row + 0.5) * ratio - 0.5 - 16
    for starts, last in ((left, 25), (top, 6)):
        np.testing.assert_allclose(starts, np.rint(starts), atol=0.05)
        counts = np.bincount(np.rint(starts).astype(int))
        assert len(counts) == last + 1
        assert counts.min() > 0.4 * count / (last + 1)
    # The three random numbers are independent.
    samples = np.corrcoef([mirrored, left, top]) - np.eye(3)
    assert np.abs(samples).max() < 0.15


def test_the_centre_view_is_the_center():
    found = views.centre_view(tf.constant(ramp()), 32).numpy()
    scaled = resized(ramp(), 38, 57)
    np.testing.assert_allclose(found, scaled[3:35, 12:44], atol=1e-2)


def test_pyramid_reduces_the_view_antialiased():
    view = noise(32, 32, seed=2).astype(np.float32)
    found = views.pyramid(tf.constant(view), (8, 16, 32))
    assert list(found) == ["images_8", "images_16", "images_32"]
    np.testing.assert_allclose(found["images_32"], view / 127.5 - 1, atol=1e-6)
    for size in (8, 16):
        expected = resized(view, size, size) / 127.5 - 1
        np.testing.assert_allclose(found[f"images_{size}"], expected, atol=1e-4)
