"""Image files: what is stored as it is, converted, or refused."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from attngan_tf.data import images
from tests.data.helpers import encoded, image_bytes
from tests.data.hostile.drawn import stored


def decoded(data):
    """Pixels as the input pipeline sees them."""
    return tf.io.decode_image(data, channels=3, expand_animations=False).numpy()


PLAIN = {
    "baseline JPEG": ("JPEG", {}),
    "progressive JPEG": ("JPEG", {"progressive": True}),
    "JPEG of full chroma": ("JPEG", {"subsampling": 0}),
    "PNG": ("PNG", {}),
    "upright by EXIF": ("JPEG", {"exif": b"Exif\0\0"}),
    "unreadable EXIF": ("PNG", {"exif": b"MM\0*\0\0"}),
}


@pytest.mark.parametrize("case", PLAIN)
def test_plain_images_are_stored_as_they_are(case):
    kind, options = PLAIN[case]
    info = images.inspect(image_bytes(kind, **options))
    assert info == images.ImageInfo(40, 30, "")


def test_a_jpeg_followed_by_more_images_is_stored_as_it_is():
    red, blue = (Image.new("RGB", (8, 6), name) for name in ("red", "blue"))
    data = encoded(red, "MPO", save_all=True, append_images=[blue])
    assert images.inspect(data) == images.ImageInfo(8, 6, "")
    assert np.abs(decoded(data).astype(int) - [255, 0, 0]).max() <= 2


CONVERTED = {
    "CMYK": ("JPEG", "CMYK", {}, "CMYK"),
    "palette": ("PNG", "P", {}, "palette"),
    "grey JPEG": ("JPEG", "L", {}, "greyscale"),
    "grey PNG": ("PNG", "L", {}, "greyscale"),
    "grey PNG with alpha": ("PNG", "LA", {}, "alpha"),
    "PNG with alpha": ("PNG", "RGBA", {}, "alpha"),
    "PNG with a transparent colour": (
        *("PNG", "RGB", {"transparency": (1, 2, 3)}, "alpha"),
    ),
    "WebP": ("WEBP", "RGB", {"lossless": True}, "WEBP"),
    "WebP with unreadable EXIF": (
        *("WEBP", "RGB", {"lossless": True, "exif": b"MM\0*\0\0"}, "WEBP"),
    ),
    "GIF": ("GIF", "P", {}, "GIF"),
    "BMP": ("BMP", "RGB", {}, "BMP"),
}


@pytest.mark.parametrize("case", CONVERTED)
def test_other_images_become_rgb_png(case):
    kind, mode, options, conversion = CONVERTED[case]
    data = image_bytes(kind, mode, **options)
    assert images.inspect(data) == images.ImageInfo(40, 30, conversion)
    png = images.to_png(data)
    assert images.inspect(png) == images.ImageInfo(40, 30, "")
    if mode in ("L", "RGB", "P"):  # nothing is lost
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        np.testing.assert_array_equal(decoded(png), expected)


def test_16_bit_images_are_scaled_to_8_bits():
    levels = np.array([[0, 128, 129, 257, 32896, 65535]], np.uint16)
    data = encoded(Image.fromarray(levels))
    assert images.inspect(data).conversion == "16-bit"
    pixels = decoded(images.to_png(data))
    expected = np.round(levels / 65535 * 255)
    np.testing.assert_array_equal(pixels[..., 0], expected)
    np.testing.assert_array_equal(pixels[..., 1], pixels[..., 2])
    values = np.random.default_rng(0).integers(0, 65536, (5, 4, 3), np.uint16)
    data = tf.io.encode_png(values).numpy()
    assert images.inspect(data).conversion == "16-bit"
    pixels = decoded(images.to_png(data)).astype(int)
    assert np.abs(pixels - values / 257).max() <= 1


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_first_frame_of_animations(kind):
    red, *others = (Image.new("RGB", (8, 6), c) for c in ("red", "lime"))
    data = encoded(red, kind, save_all=True, append_images=others)
    info = images.ImageInfo(8, 6, "animated (first frame)")
    assert images.inspect(data) == info
    pixels = decoded(images.to_png(data)).astype(int)
    assert np.abs(pixels - [255, 0, 0]).max() <= 2


def test_transparency_is_put_on_white():
    image = Image.new("RGBA", (2, 1), (200, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 100, 51))  # a fifth of blue
    pixels = decoded(images.to_png(encoded(image)))
    np.testing.assert_array_equal(pixels[0], [[200, 0, 0], [204, 204, 224]])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    upright = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored(upright, orientation), exif=exif)
    info = images.inspect(data)
    assert info[:2] == (6, 4)
    assert bool(info.conversion) == (orientation != 1)
    np.testing.assert_array_equal(decoded(images.to_png(data)), upright)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_truncated_images_are_refused(kind):
    data = image_bytes(kind, "P" if kind == "GIF" else "RGB")
    ends = [len(data) // 10, len(data) // 2, 9 * len(data) // 10]
    if kind in ("JPEG", "PNG"):
        ends += [-1, -2, -8, -12, -20]
    for end in ends:
        with pytest.raises(images.ImageError):
            images.inspect(data[:end])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "zero bytes"),
        (b"<html>not found</html>", "not an image of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not an image of a known format"),
        (b"\xff\xd8\xff\xe0", "."),
    ],
)
def test_other_files_are_refused(data, reason):
    with pytest.raises(images.ImageError, match=reason):
        images.inspect(data)
