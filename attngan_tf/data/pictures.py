"""Picture files: whole or not, kept as they are or made plain 8-bit RGB."""

import io
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

# What a picture file may be; Pillow reads more, some by running programs.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_MODES = {
    "1": "greyscale",
    "L": "greyscale",
    "P": "palette",
    "CMYK": "CMYK",
    "LA": "alpha",
    "PA": "alpha",
    "RGBA": "alpha",
}
_ORIENTATION = 0x0112  # EXIF tag; 1 is upright, 2 to 8 are turned or mirrored
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Decoded, 300 MB; a file of some kB can ask for as much.
MOST_PIXELS = 10**8
# Training scales the shorter side to 304 pixels (CUB); the longer one is then
# of 15,200, and the picture of 55 MB.
MOST_STRETCH = 50
_TOO_LARGE = f"a picture may have {MOST_PIXELS} pixels; it has more"


class PictureError(ValueError):
    """A file that is not a whole picture; its text says why."""


class Picture(NamedTuple):
    """Size in pixels, as shown, and why the bytes cannot be kept, if so."""

    width: int
    height: int
    conversion: str  # empty: plain 8-bit RGB JPEG or PNG


def inspect(data: bytes) -> Picture:
    """Decodes a picture to its last pixel.

    Raises:
      PictureError: not a picture, damaged, truncated or of no use.
    """
    if not data:
        raise PictureError("empty file (zero bytes)")
    with _open(data) as image:
        # A JPEG with further pictures behind it (MPO, gain maps) is a JPEG.
        kind = "JPEG" if image.format == "MPO" else image.format
        width, height = image.size
        if max(width, height) > MOST_STRETCH * min(width, height):
            raise PictureError(
                f"the longer side may be {MOST_STRETCH} times the shorter; "
                f"found {width} x {height} pixels"
            )
        try:
            image.load()
            conversion = _conversion(image, kind, data)
            if conversion:  # is there a way from its mode to RGB?
                _to_rgb(image.crop((0, 0, 1, 1)))
        except Exception as error:  # decoders' errors have no common base
            raise PictureError(f"truncated or damaged: {error}") from None
        if _orientation(image) in (5, 6, 7, 8):
            width, height = height, width
        if kind == "PNG" or not conversion:
            _decode_as_training_does(kind, data)
    return Picture(width, height, conversion)


def to_png(data: bytes) -> bytes:
    """The first frame, upright, as 8-bit RGB PNG; transparency on white."""
    with _open(data) as image:
        image.load()
        turn = _UPRIGHT.get(_orientation(image))
        # Not by ImageOps.exif_transpose: it writes the EXIF block anew, which
        # not every block that can be read survives.
        upright = image if turn is None else image.transpose(turn)
        png = io.BytesIO()
        _to_rgb(upright).save(png, "PNG")
    return png.getvalue()


def _open(data: bytes) -> Image.Image:
    """A picture whose pixels are not decoded yet."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.UnidentifiedImageError:
        raise PictureError(
            "not a picture of a known format (JPEG, PNG, WebP, GIF, BMP, TIFF)"
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PictureError(_TOO_LARGE) from None
    except Exception as error:
        raise PictureError(f"damaged: {error}") from None
    if image.width * image.height > MOST_PIXELS:
        image.close()
        raise PictureError(_TOO_LARGE)
    return image


def _decode_as_training_does(kind: str, data: bytes) -> None:
    # Pillow overlooks a PNG cut near its end; TensorFlow then stops training.
    decode = tf.io.decode_png if kind == "PNG" else tf.io.decode_jpeg
    try:
        decode(data, channels=3)
    except tf.errors.OpError:
        raise PictureError("truncated or damaged") from None


def _orientation(image: Image.Image) -> int:
    """1 (upright) to 8; 1 where the EXIF block cannot be read, as viewers do.

    The picture itself is whole then: its pixels were decoded.
    """
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # Pillow's errors have no common base
        return 1


def _conversion(image: Image.Image, kind: str, data: bytes) -> str:
    if kind != "JPEG" and getattr(image, "is_animated", False):
        return "animated (first frame)"
    if image.mode.startswith("I") or (kind == "PNG" and data[24] == 16):
        return "16-bit"  # byte 24 of a PNG: bits of a sample
    if kind not in ("JPEG", "PNG"):
        return kind
    if image.mode != "RGB":
        return _MODES.get(image.mode, image.mode)
    if image.has_transparency_data:
        return "alpha"
    if _orientation(image) in range(2, 9):
        return "turned (EXIF orientation)"
    return ""


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit greyscale; 65535 becomes 255
        levels = np.asarray(image).astype(np.int64)
        scaled = np.clip((levels + 128) // 257, 0, 255).astype(np.uint8)
        return Image.fromarray(scaled).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")
