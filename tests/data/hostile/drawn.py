"""Images made byte by byte, and by Pillow."""

import struct
import zlib

import numpy as np

from tests.data.helpers import encoded as saved  # noqa: F401


def noise(height: int = 24, width: int = 32, channels: int = 3) -> np.ndarray:
    """A noisy image, so that a cut in its bytes is a cut in its pixels."""
    shape = (height, width, channels)
    return np.random.default_rng(7).integers(0, 256, shape, np.uint8)


def smooth(height: int = 24, width: int = 32) -> np.ndarray:
    """An image without symmetry that JPEG changes very little."""
    y, x = np.mgrid[:height, :width]
    channels = (5 * x, 8 * y, 255 - 4 * x - 3 * y)
    return np.stack(channels, -1).clip(0, 255).astype(np.uint8)


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file."""
    crc = zlib.crc32(name + content)
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", crc)
    )


def png(
    width: int,
    height: int,
    bits: int,
    colour: int,
    rows: bytes,
    before: bytes = b"",
) -> bytes:
    """A PNG file of uncompressed rows that begin with their filter's number.

    `colour` is 0 (grey), 2 (RGB), 3 (palette), 4 (grey with alpha) or 6
    (RGBA); `before` are chunks before the pixels.
    """
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + before
        + chunk(b"IDAT", zlib.compress(rows, 1))
        + chunk(b"IEND", b"")
    )


def png_16(values: np.ndarray) -> bytes:
    """A PNG of 16-bit samples [H, W, C]."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png(width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], rows)


def exif(orientation: int, kind: int = 3, count: int = 1) -> bytes:
    """An EXIF block with an orientation, as a number of some type."""
    value = struct.pack(">HH", orientation, 0)
    entry = struct.pack(">HHI", 0x0112, kind, count) + value
    return b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + entry + b"\0\0\0\0"


def stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """How a camera stores an image, by the EXIF standard's table."""
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: upright[:, ::-1].swapaxes(0, 1),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: upright[::-1].swapaxes(0, 1),
    }[orientation]
    return np.ascontiguousarray(turned)
