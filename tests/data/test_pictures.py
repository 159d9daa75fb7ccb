"""Picture files: what is kept, what is converted, what is refused."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from attngan_tf.data import pictures
from tests.data.hostile.drawn import stored


def decoded(data):
    """Pixels as the input pipeline sees them."""
    return tf.io.decode_image(data, channels=3, expand_animations=False).numpy()


def saved(image, kind="PNG", **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


KEPT = {
    "baseline JPEG": ("JPEG", {}),
    "progressive JPEG": ("JPEG", {"progressive": True}),
    "JPEG of full chroma": ("JPEG", {"subsampling": 0}),
    "PNG": ("PNG", {}),
    "upright by EXIF": ("JPEG", {"exif": b"Exif\0\0"}),
}


@pytest.mark.parametrize("case", KEPT)
def test_plain_pictures_are_kept(make_image, case):
    kind, options = KEPT[case]
    picture = pictures.inspect(make_image(kind, **options))
    assert picture == pictures.Picture(40, 30, "")


def test_a_jpeg_with_more_pictures_behind_it_is_kept():
    red, blue = (Image.new("RGB", (8, 6), name) for name in ("red", "blue"))
    data = saved(red, "MPO", save_all=True, append_images=[blue])
    assert pictures.inspect(data) == pictures.Picture(8, 6, "")
    assert np.abs(decoded(data).astype(int) - [255, 0, 0]).max() <= 2


@pytest.mark.parametrize("exif", [b"Exif\0\0nonsense", b"MM\0*\0\0"])
@pytest.mark.parametrize(
    ("kind", "conversion"), [("PNG", ""), ("WEBP", "WEBP")]
)
def test_an_exif_block_that_cannot_be_read_is_no_matter(
    make_image, kind, conversion, exif
):
    options = {"lossless": True} if kind == "WEBP" else {}
    data = make_image(kind, exif=exif, **options)
    assert pictures.inspect(data) == pictures.Picture(40, 30, conversion)
    np.testing.assert_array_equal(
        decoded(pictures.to_png(data)),
        np.asarray(Image.open(io.BytesIO(data)).convert("RGB")),
    )


CONVERTED = {
    "CMYK": ("JPEG", "CMYK", {}, "CMYK"),
    "palette": ("PNG", "P", {}, "palette"),
    "grey JPEG": ("JPEG", "L", {}, "greyscale"),
    "grey PNG": ("PNG", "L", {}, "greyscale"),
    "grey PNG with alpha": ("PNG", "LA", {}, "alpha"),
    "PNG with alpha": ("PNG", "RGBA", {}, "alpha"),
    "PNG with one clear colour": (
        *("PNG", "RGB", {"transparency": (1, 2, 3)}, "alpha"),
    ),
    "WebP": ("WEBP", "RGB", {"lossless": True}, "WEBP"),
    "GIF": ("GIF", "P", {}, "GIF"),
    "BMP": ("BMP", "RGB", {}, "BMP"),
}


@pytest.mark.parametrize("case", CONVERTED)
def test_other_pictures_become_rgb_png(make_image, case):
    kind, mode, options, conversion = CONVERTED[case]
    data = make_image(kind, mode, **options)
    assert pictures.inspect(data) == pictures.Picture(40, 30, conversion)
    png = pictures.to_png(data)
    assert pictures.inspect(png) == pictures.Picture(40, 30, "")
    if mode in ("L", "RGB", "P"):  # nothing is lost
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        np.testing.assert_array_equal(decoded(png), expected)


def test_16_bit_grey_is_scaled_to_8_bits():
    levels = np.array([[0, 128, 129, 257, 32896, 65535]], np.uint16)
    data = saved(Image.fromarray(levels))
    assert pictures.inspect(data).conversion == "16-bit"
    pixels = decoded(pictures.to_png(data))
    expected = np.round(levels / 65535 * 255)
    np.testing.assert_array_equal(pixels[..., 0], expected)
    np.testing.assert_array_equal(pixels[..., 1], pixels[..., 2])


def test_16_bit_colour_is_scaled_to_8_bits():
    values = np.random.default_rng(0).integers(0, 65536, (5, 4, 3), np.uint16)
    data = tf.io.encode_png(values).numpy()
    assert pictures.inspect(data).conversion == "16-bit"
    pixels = decoded(pictures.to_png(data)).astype(int)
    assert np.abs(pixels - values / 257).max() <= 1


def test_first_frame_of_animations():
    colours = ["#ff0000", "#00ff00", "#0000ff"]
    frames = [Image.new("RGB", (8, 6), colour) for colour in colours]
    for kind in ("GIF", "PNG", "WEBP"):
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        picture = pictures.inspect(data)
        assert picture == pictures.Picture(8, 6, "animated (first frame)")
        pixels = decoded(pictures.to_png(data)).astype(int)
        assert np.abs(pixels - [255, 0, 0]).max() <= 2


def test_transparency_is_put_on_white():
    image = Image.new("RGBA", (2, 1), (200, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 100, 51))  # a fifth of blue
    pixels = decoded(pictures.to_png(saved(image)))
    np.testing.assert_array_equal(pixels[0], [[200, 0, 0], [204, 204, 224]])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    upright = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(stored(upright, orientation)), exif=exif)
    picture = pictures.inspect(data)
    assert picture[:2] == (6, 4)
    assert bool(picture.conversion) == (orientation != 1)
    np.testing.assert_array_equal(decoded(pictures.to_png(data)), upright)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_pictures_are_refused(make_image, kind, share):
    data = make_image(kind, "P" if kind == "GIF" else "RGB")
    with pytest.raises(pictures.PictureError):
        pictures.inspect(data[: int(share * len(data))])


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("cut", [1, 2, 8, 12, 20])
def test_pictures_cut_near_their_end_are_refused(make_image, kind, cut):
    with pytest.raises(pictures.PictureError, match="truncated"):
        pictures.inspect(make_image(kind)[:-cut])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "zero bytes"),
        (b"<html>not found</html>", "not a picture of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not a picture of a known format"),
        (b"\xff\xd8\xff\xe0", "."),
    ],
)
def test_files_that_are_no_pictures_are_refused(data, reason):
    with pytest.raises(pictures.PictureError, match=reason):
        pictures.inspect(data)
