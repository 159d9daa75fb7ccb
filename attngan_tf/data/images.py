"""Checks image files by decoding them, and converts some to RGB PNG.

8-bit RGB JPEG and PNG files are stored as they are.
"""

import io
import itertools
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import ExifTags, Image

from attngan_tf.io.text import one_of

# Pillow reads more formats, some by running other programs.
FORMATS = {  # and the endings of their files
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "WebP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
}
ENDINGS = tuple(itertools.chain(*FORMATS.values()))
_MODES = {"1": "greyscale", "L": "greyscale", "P": "palette"}
_MODES |= dict.fromkeys(("LA", "PA", "RGBA"), "alpha")
_TO_UPRIGHT = {  # by EXIF orientation; 1 is upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# 300 MB when decoded; a file of a few kB can ask for as much.
MAX_PIXELS = 10**8
# Training scales the shorter side to 304 pixels (CUB). The longer side then
# has at most 15,200, and the image takes 55 MB.
MAX_STRETCH = 50


class ImageError(ValueError):
    """An image file that cannot be used; the message gives the reason."""


class ImageInfo(NamedTuple):
    """The size in pixels, once upright, and the conversion that is needed."""

    width: int
    height: int
    conversion: str  # the reason for it; empty: the file is stored as it is


def inspect(data: bytes) -> ImageInfo:
    """Decodes an image to its last pixel.

    Raises:
      ImageError: the bytes are no image, or one that is damaged, truncated,
        too large or too narrow.
    """
    if not data:
        raise ImageError("empty file (zero bytes)")
    with _open(data) as image:
        # A JPEG that is followed by further images (MPO) is read as a JPEG.
        kind = "JPEG" if image.format == "MPO" else image.format
        width, height = image.size
        if max(width, height) > MAX_STRETCH * min(width, height):
            raise ImageError(
                f"the longer side may be at most {MAX_STRETCH} times the "
                f"shorter; found {width} x {height} pixels"
            )
        try:
            image.load()
            conversion = _conversion(image, kind, data)
            if conversion:  # fails if its mode is unsupported
                _to_rgb(image.crop((0, 0, 1, 1)))
        except Exception as error:
            raise ImageError(f"truncated or damaged: {error}") from None
        if _orientation(image) in (5, 6, 7, 8):
            width, height = height, width
    if kind == "PNG" or not conversion:
        # Pillow accepts a PNG that is truncated near its end.
        try:
            decode(data)
        except tf.errors.OpError:
            raise ImageError("truncated or damaged") from None
    return ImageInfo(width, height, conversion)


def decode(data: tf.Tensor, crop: tf.Tensor | None = None) -> tf.Tensor:
    """JPEG or PNG bytes -> uint8 [H, W, 3], equal to Pillow's.

    Args:
      data: string [].
      crop: int32 [4], the `records.Crop` of a JPEG to decode; None: all.
    """
    # TensorFlow's default for JPEG is up to 5 levels off, and 0.8 too dark.
    options = {"channels": 3, "dct_method": "INTEGER_ACCURATE"}
    if crop is None:
        return tf.io.decode_jpeg(data, **options)  # decodes PNG as well
    return tf.image.decode_and_crop_jpeg(data, crop, **options)


def to_png(data: bytes) -> bytes:
    """The first frame, upright, as 8-bit RGB PNG; transparency on white."""
    with _open(data) as image:
        image.load()
        # ImageOps.exif_transpose fails for some damaged EXIF blocks.
        turn = _TO_UPRIGHT.get(_orientation(image))
        upright = image if turn is None else image.transpose(turn)
        png = io.BytesIO()
        _to_rgb(upright).save(png, "PNG")
    return png.getvalue()


def _open(data: bytes) -> Image.Image:
    """Opens an image without decoding its pixels."""
    try:
        image = Image.open(io.BytesIO(data), formats=list(FORMATS))
    except Image.UnidentifiedImageError:
        raise ImageError(
            f"not an image of a known format ({one_of(list(FORMATS))})"
        ) from None
    except Exception as error:  # decoders' errors have no common base
        raise ImageError(f"cannot be opened: {error}") from None
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise ImageError(
            f"an image may have at most {MAX_PIXELS} pixels; it has "
            f"{image.width} x {image.height}"
        )
    return image


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation; 1 if the block cannot be read, as in viewers."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Pillow's errors have no common base
        return 1


def _conversion(image: Image.Image, kind: str, data: bytes) -> str:
    if kind != "JPEG" and getattr(image, "is_animated", False):
        return "animated (first frame)"
    if image.mode.startswith("I") or (kind == "PNG" and data[24] == 16):
        return "16-bit"  # byte 24 of a PNG: bits per sample
    if kind not in ("JPEG", "PNG"):
        return kind
    if image.mode != "RGB":
        return _MODES.get(image.mode, image.mode)
    if image.has_transparency_data:
        return "alpha"
    if _orientation(image) in _TO_UPRIGHT:
        return "rotated (EXIF orientation)"
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
