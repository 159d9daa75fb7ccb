"""Decodes images of untrusted clients in a graph.

The checks are part of the model, so that they apply in any server. They find
out from the encoded bytes what decoding would cost.
"""

import tensorflow as tf

from attngan_tf.data.images import decode

MAX_PIXELS = 2**24  # 200 MB as float32 RGB
# Each scan of a progressive JPEG decodes the whole image again, and takes ten
# bytes of the file. Cameras and libraries write about ten scans.
MAX_SCANS = 100

_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_JPEG = b"\xff\xd8\xff"
_JPEG_SCAN = b"\xff\xda"


def decode_squares(
    image_bytes: tf.Tensor, size: int, resize: str = "half_pixel"
) -> tf.Tensor:
    """The central squares of JPEG or PNG images, resized.

    Args:
      image_bytes: string [B], images of any size.
      size: side of the squares.
      resize: how smaller images are enlarged, see `ImageEncoder`; larger
        ones are always antialiased.

    Returns:
      float32 [B, size, size, 3] in [-1, 1].

    Raises:
      tf.errors.InvalidArgumentError: for bytes that are not a complete JPEG or
        PNG image, or an image that is too expensive to decode.
    """

    def square(encoded):
        with tf.control_dependencies(_checks(encoded)):
            encoded = tf.identity(encoded)
        pixels = decode(encoded)
        side = tf.reduce_min(tf.shape(pixels)[:2])
        central = tf.image.resize_with_crop_or_pad(pixels, side, side)
        resized = tf.image.resize(central, [size, size], antialias=True)
        if resize == "aligned_corners":
            aligned = tf.compat.v1.image.resize(
                central, [size, size], align_corners=True
            )
            aligned = tf.cast(aligned, tf.float32)
            resized = tf.where(side <= size, aligned, resized)
        return resized / 127.5 - 1.0

    # One at a time, so that only one large image is in memory.
    return tf.map_fn(
        square,
        image_bytes,
        parallel_iterations=1,
        fn_output_signature=tf.TensorSpec([size, size, 3], tf.float32),
    )


def _checks(encoded: tf.Tensor) -> list[tf.Operation]:
    """What must hold before an image's bytes, a scalar, are decoded."""
    is_png = _starts_with(encoded, _PNG)
    is_jpeg = _starts_with(encoded, _JPEG)
    known = tf.debugging.Assert(
        is_png | is_jpeg, ["an image must be a JPEG or PNG file"]
    )
    with tf.control_dependencies([known]):
        sides, scans = tf.cond(
            is_png,
            lambda: (_png_sides(encoded), tf.constant(1)),
            lambda: (_jpeg_sides(encoded), _jpeg_scans(encoded)),
        )
    pixels = tf.reduce_prod(tf.cast(sides, tf.float64))
    return [
        tf.debugging.Assert(
            pixels <= MAX_PIXELS,
            [
                f"an image must have at most {MAX_PIXELS} pixels; received "
                "one with the sides",
                sides,
            ],
        ),
        tf.debugging.Assert(
            scans <= MAX_SCANS,
            [f"a JPEG must have at most {MAX_SCANS} scans; received", scans],
        ),
    ]


def _starts_with(encoded: tf.Tensor, prefix: bytes) -> tf.Tensor:
    return tf.strings.substr(encoded, 0, len(prefix)) == prefix


def _png_sides(encoded: tf.Tensor) -> tf.Tensor:
    header = tf.strings.substr(encoded, len(_PNG), 8)
    padded = tf.strings.substr(header + bytes(8), 0, 8)  # if truncated there
    return tf.io.decode_raw(padded, tf.int32, little_endian=False)


def _jpeg_sides(encoded: tf.Tensor) -> tf.Tensor:
    return tf.io.extract_jpeg_shape(encoded)[:2]


def _jpeg_scans(encoded: tf.Tensor) -> tf.Tensor:
    """An upper bound: scans of a thumbnail in the header count, too."""
    found = tf.io.decode_raw(encoded, tf.uint8)
    pairs = [found[:-1] == _JPEG_SCAN[0], found[1:] == _JPEG_SCAN[1]]
    return tf.math.count_nonzero(tf.logical_and(*pairs), dtype=tf.int32)
