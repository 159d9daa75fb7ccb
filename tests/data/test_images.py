"""Image files: what is stored as it is, converted, or refused."""

import io
import pathlib
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from attngan_tf.data import images
from attngan_tf.io.text import one_of
from tests.data.helpers import encoded, image_bytes, png

ROOT = pathlib.Path(__file__).resolve().parents[2]


def decoded(data):
    """Pixels as the input pipeline sees them."""
    return images.decode(tf.constant(data)).numpy()


def exif(orientation: int) -> bytes:
    """An EXIF block with an orientation."""
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + entry + b"\0\0\0\0"


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("PNG", {}),
        ("JPEG", {"exif": exif(65535)}),  # no such orientation
        ("PNG", {"exif": b"MM\0*\0\0"}),  # unreadable
    ],
)
def test_plain_images_are_stored_as_they_are(kind, options):
    info = images.inspect(image_bytes(kind, **options))
    assert info == images.ImageInfo(40, 30, "")


def test_a_jpeg_followed_by_more_images_is_stored_as_it_is():
    red, blue = (Image.new("RGB", (8, 6), name) for name in ("red", "blue"))
    data = encoded(red, "MPO", save_all=True, append_images=[blue])
    assert images.inspect(data) == images.ImageInfo(8, 6, "")
    assert np.abs(decoded(data).astype(int) - [255, 0, 0]).max() <= 2


@pytest.mark.parametrize(
    ("kind", "mode", "options", "conversion"),
    [
        ("JPEG", "CMYK", {}, "CMYK"),
        ("PNG", "P", {}, "palette"),
        ("JPEG", "L", {}, "greyscale"),
        ("PNG", "1", {}, "greyscale"),
        ("PNG", "LA", {}, "alpha"),
        ("PNG", "RGBA", {}, "alpha"),
        ("PNG", "RGB", {"transparency": (1, 2, 3)}, "alpha"),
        ("WEBP", "RGB", {"lossless": True}, "WEBP"),
        ("GIF", "P", {}, "GIF"),
        ("BMP", "RGB", {}, "BMP"),
        ("TIFF", "RGB", {}, "TIFF"),
    ],
)
def test_other_images_become_rgb_png(kind, mode, options, conversion):
    data = image_bytes(kind, mode, **options)
    assert images.inspect(data) == images.ImageInfo(40, 30, conversion)
    png = images.to_png(data)
    assert images.inspect(png) == images.ImageInfo(40, 30, "")
    if conversion not in ("alpha", "CMYK"):  # nothing is lost
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        np.testing.assert_array_equal(decoded(png), expected)


def test_16_bit_images_are_scaled_to_8_bits():
    levels = np.array([[0, 128, 129, 257, 32896, 65535]], np.uint16)
    data = encoded(Image.fromarray(levels))
    assert images.inspect(data).conversion == "16-bit"
    pixels = decoded(images.to_png(data))
    expected = np.round(levels / 65535 * 255)
    np.testing.assert_array_equal(pixels, np.stack([expected] * 3, axis=-1))
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
    stored = {  # by the EXIF standard's table
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: upright[:, ::-1].swapaxes(0, 1),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: upright[::-1].swapaxes(0, 1),
    }[orientation]
    data = encoded(np.ascontiguousarray(stored), exif=exif(orientation))
    info = images.inspect(data)
    assert info[:2] == (6, 4)
    assert bool(info.conversion) == (orientation != 1)
    np.testing.assert_array_equal(decoded(images.to_png(data)), upright)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_truncated_images_are_refused(kind):
    data = image_bytes(kind, "P" if kind == "GIF" else "RGB")
    ends = [len(data) // 100, len(data) // 2, 9 * len(data) // 10]
    if kind in ("JPEG", "PNG"):
        ends += [-1, -2, -8, -12, -20]
    for end in ends:
        with pytest.raises(images.ImageError):
            images.inspect(data[:end])


@pytest.mark.parametrize("page", ["security.md", "data.md"])
def test_documents_list_the_formats_and_endings_that_are_read(page):
    """The lines of faults list them as well, from the same table."""
    text = (ROOT / "docs" / page).read_text()
    assert one_of(list(images.FORMATS)) in text
    assert f"end in {one_of(images.ENDINGS)}" in text
    with pytest.raises(images.ImageError) as error:
        images.inspect(b"<html>")
    assert f"({one_of(list(images.FORMATS))})" in str(error.value)


def huge_jpeg() -> bytes:
    """A small file that claims to have 65500 x 65500 pixels."""
    data = image_bytes("JPEG")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", 65500, 65500) + data[at + 4 :]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "zero bytes"),
        (b"<html>not found</html>", "not an image of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not an image of a known format"),
        (b"\xff\xd8\xff\xe0", "."),
        (png(8, 8, 8, 0, b"\x09" * 72), "damaged"),  # no such filter
        (png(8, 8, 8, 7, bytes(72)), "not an image"),  # no such colour type
        (png(8, 8, 8, 3, bytes(72)), "damaged"),  # no palette
        (png(9000, 12000, 1, 0, bytes(9)), "at most 100000000 pixels"),
        (huge_jpeg(), "exceeds limit of"),
        (png(51, 1, 1, 0, bytes(8)), "found 51 x 1 pixels"),
        (png(1, 51, 1, 0, bytes(102)), "found 1 x 51 pixels"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_other_files_are_refused(data, reason):
    with pytest.raises(images.ImageError, match=reason):
        images.inspect(data)
    assert images.inspect(png(50, 1, 1, 0, bytes(8)))[:2] == (50, 1)
