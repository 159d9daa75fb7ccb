"""Pictures that strangers send, decoded in a graph.

What a few bytes ask to be decoded into is looked at before it is done, within
the model: whatever server runs it.
"""

import tensorflow as tf

MOST_PIXELS = 2**24  # 200 MB as they are resized
# A progressive JPEG is decoded as a whole once per scan, which takes it ten
# bytes; cameras and libraries write ten scans.
MOST_SCANS = 100

_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_JPEG = b"\xff\xd8\xff"
_JPEG_SCAN = b"\xff\xda"


def decode_squares(
    image_bytes: tf.Tensor, size: int, resize: str = "half_pixel"
) -> tf.Tensor:
    """The middle squares of JPEG or PNG pictures, resized.

    Args:
      image_bytes: string [B], pictures of any size.
      size: side of the squares.
      resize: as the image encoder enlarges pictures, see `ImageEncoder`;
        larger ones are antialiased either way.

    Returns:
      float32 [B, size, size, 3] in [-1, 1].

    Raises:
      tf.errors.InvalidArgumentError: for bytes that are no whole picture of
        these kinds, or one that would take too much to decode.
    """

    def square(encoded):
        with tf.control_dependencies(_refusals(encoded)):
            encoded = tf.identity(encoded)
        pixels = tf.io.decode_image(
            encoded, channels=3, expand_animations=False
        )
        side = tf.reduce_min(tf.shape(pixels)[:2])
        middle = tf.image.resize_with_crop_or_pad(pixels, side, side)
        resized = tf.image.resize(middle, [size, size], antialias=True)
        if resize == "aligned_corners":
            aligned = tf.compat.v1.image.resize(
                middle, [size, size], align_corners=True
            )
            aligned = tf.cast(aligned, tf.float32)
            resized = tf.where(side <= size, aligned, resized)
        return resized / 127.5 - 1.0

    shape = tf.TensorSpec([size, size, 3], tf.float32)
    # One after the other: only one large picture is in memory.
    return tf.map_fn(
        square,
        image_bytes,
        parallel_iterations=1,
        fn_output_signature=shape,
    )


def _refusals(encoded: tf.Tensor) -> list[tf.Operation]:
    """What must hold before a picture's bytes, a scalar, are decoded."""
    is_png = _starts(encoded, _PNG)
    is_jpeg = _starts(encoded, _JPEG)
    known = tf.debugging.Assert(
        is_png | is_jpeg, ["a picture must be a JPEG or a PNG file"]
    )
    with tf.control_dependencies([known]):
        sides, scans = tf.cond(
            is_png,
            lambda: (_png_sides(encoded), tf.constant(1)),
            lambda: (_jpeg_sides(encoded), _scans(encoded)),
        )
    pixels = tf.reduce_prod(tf.cast(sides, tf.float64))
    return [
        tf.debugging.Assert(
            pixels <= MOST_PIXELS,
            [f"a picture may have {MOST_PIXELS} pixels; its sides are", sides],
        ),
        tf.debugging.Assert(
            scans <= MOST_SCANS,
            [f"a JPEG may have {MOST_SCANS} scans; it has", scans],
        ),
    ]


def _starts(encoded: tf.Tensor, signature: bytes) -> tf.Tensor:
    return tf.strings.substr(encoded, 0, len(signature)) == signature


def _png_sides(encoded: tf.Tensor) -> tf.Tensor:
    header = tf.strings.substr(encoded, len(_PNG), 8)
    padded = tf.strings.substr(header + bytes(8), 0, 8)  # of a file cut there
    return tf.io.decode_raw(padded, tf.int32, little_endian=False)


def _jpeg_sides(encoded: tf.Tensor) -> tf.Tensor:
    return tf.io.extract_jpeg_shape(encoded)[:2]


def _scans(encoded: tf.Tensor) -> tf.Tensor:
    """At most: a thumbnail in the header has some, too."""
    found = tf.io.decode_raw(encoded, tf.uint8)
    pairs = [found[:-1] == _JPEG_SCAN[0], found[1:] == _JPEG_SCAN[1]]
    return tf.math.count_nonzero(tf.logical_and(*pairs), dtype=tf.int32)
