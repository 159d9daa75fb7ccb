"""Hostile image files, and unusual ones that must be read."""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from .drawn import chunk, exif, noise, png, png_16, saved, smooth, stored

DAMAGED = "truncated or damaged|damaged:|not an image of a known format"
TOO_LARGE = "an image may have 100000000 pixels; it has more"
STRETCHED = "the longer side may be 50 times the shorter; found "


class Picture(NamedTuple):
    """A file's kind, ending and bytes; its fault, or what it shows."""

    kind: str
    ending: str
    content: bytes
    fault: str | None = None
    pixels: np.ndarray | None = None
    tolerance: int = 0


def every_picture() -> Iterator[Picture]:
    """All of them."""
    yield from _truncated()
    yield from _other_files()
    yield from _bombs()
    yield from _shapes()
    yield from _unusual()
    yield from _transparent()
    yield from _ill_formed()


def _truncated() -> Iterator[Picture]:
    files = {
        "jpg": saved(noise(), "JPEG"),
        "jpeg": saved(noise(), "JPEG", progressive=True),
        "png": saved(noise(), "PNG"),
        "webp": saved(noise(), "WEBP", lossless=True),
        "gif.jpg": saved(noise()[..., 0], "GIF"),
        "bmp.png": saved(noise(), "BMP"),
    }
    for ending, whole in files.items():
        for fraction in (0.01, 0.9):
            part = whole[: max(1, int(fraction * len(whole)))]
            yield Picture("truncated", ending, part, DAMAGED)


def _other_files() -> Iterator[Picture]:
    for ending, content in {
        "jpg": b"<html><body>404 not found</body></html>",
        "eps.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "svg.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "webp": b"RIFF\x24\0\0\0WAVEfmt ",
        "php.jpg": b"GIF89a<?php system($_GET['c']); ?>",
    }.items():
        yield Picture("no image", ending, content, DAMAGED)
    for ending, kind, options in (
        ("jpg", "PNG", {}),
        ("jpeg", "WEBP", {"lossless": True}),
        ("png", "BMP", {}),
        ("webp", "TIFF", {}),
    ):
        content = saved(noise(), kind, **options)
        yield Picture("wrong ending", ending, content, None, noise())


def _bombs() -> Iterator[Picture]:
    tiny = saved(noise(), "JPEG")
    at = tiny.index(b"\xff\xc0") + 5
    gif = bytearray(saved(noise()[..., 0], "GIF"))
    gif[6:10] = struct.pack("<HH", 65535, 65535)
    bmp = bytearray(saved(noise(), "BMP"))
    bmp[18:26] = struct.pack("<ii", 100000, 100000)
    canvas = struct.pack("<I", 16382)[:3] * 2
    inner = b"VP8X\x0a\0\0\0\0\0\0\0" + canvas
    inner += saved(noise(), "WEBP", lossless=True)[12:]
    side = 15000  # 225 million pixels of one bit
    rows = bytes((1 + side // 8) * side)
    for ending, content in {
        "png": png(65535, 65535, 8, 2, bytes(99)),
        "wide.png": png(2**31 - 1, 2**26, 8, 0, bytes(99)),
        "jpg": tiny[:at] + struct.pack(">HH", 65500, 65500) + tiny[at + 4 :],
        "gif.jpg": bytes(gif),
        "bmp.jpg": bytes(bmp),
        "webp": b"RIFF" + struct.pack("<I", 4 + len(inner)) + b"WEBP" + inner,
        "real.png": png(side, side, 1, 0, rows),
        "10001.png": png(10001, 10001, 1, 0, bytes(1252 * 10001)),
    }.items():
        yield Picture("bomb", ending, content, TOO_LARGE)
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**27), 1))
    content = png(4, 4, 8, 0, bytes(20), text)
    yield Picture("bomb in a text", "png", content, DAMAGED)


def _shapes() -> Iterator[Picture]:
    yield Picture("1 x 1", "png", saved(smooth(1, 1)), None, smooth(1, 1))
    for width, height in ((20000, 1), (1, 20000)):
        line = np.zeros((height, width, 3), np.uint8)
        fault = f"{STRETCHED}{width} x {height} pixels"
        for ending, kind in (("jpg", "JPEG"), ("png", "PNG")):
            yield Picture("a line", ending, saved(line, kind), fault)
    strip = noise(2, 100)
    yield Picture("a strip", "png", saved(strip), None, strip)


def _unusual() -> Iterator[Picture]:
    for turn in (3, 6, 7):
        content = saved(
            stored(smooth(), turn), "JPEG", exif=exif(turn), quality=98
        )
        yield Picture(f"EXIF {turn}", "jpg", content, None, smooth(), 12)
    whole = exif(6)
    for block in (
        b"Exif\0\0nonsense",
        whole[:12],
        whole.replace(b"\0\0\0\x08", b"\xff\xff\xff\xf0"),
        exif(65535),
        exif(6, kind=12),  # a float beyond the end
        exif(6, count=2**31),
    ):
        content = saved(noise(), exif=block)
        yield Picture("broken EXIF", "png", content, None, noise())
    cmyk = Image.fromarray(smooth()).convert("CMYK")
    content = saved(cmyk, "JPEG", quality=98)
    yield Picture("CMYK", "jpg", content, None, smooth(), 12)
    yield Picture("CMYK", "tiff.jpg", saved(cmyk, "TIFF"), None, smooth(), 1)
    values = np.random.default_rng(3).integers(0, 65536, (24, 32, 3))
    shown = np.round(values / 257).astype(np.uint8)
    yield Picture("16-bit", "png", png_16(values), None, shown, 1)
    bits = noise()[..., :1] > 127
    shown = np.repeat(np.where(bits, 255, 0).astype(np.uint8), 3, axis=-1)
    content = saved(Image.fromarray(bits[..., 0]))
    yield Picture("one bit", "png", content, None, shown)
    frames = [Image.new("RGB", (12, 9), c) for c in ("red", "lime", "blue")]
    red = np.zeros((9, 12, 3), np.uint8) + np.uint8([255, 0, 0])
    content = saved(frames[0], "GIF", save_all=True, append_images=frames * 60)
    yield Picture("animated", "gif.jpg", content, None, red, 2)
    content = saved(smooth(), "JPEG", quality=98) + b"<script>" * 99
    yield Picture("trailing bytes", "jpg", content, None, smooth(), 12)
    content = saved(noise()) + bytes(99)
    yield Picture("trailing bytes", "png", content, None, noise())


def _on_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    alpha = alpha[..., None] / 255
    return np.round(colour * alpha + 255 * (1 - alpha)).astype(np.uint8)


def _transparent() -> Iterator[Picture]:
    colour, alpha = noise(), noise(channels=4)[..., 3]
    rgba = np.dstack([colour, alpha])
    shown = _on_white(colour, alpha)
    yield Picture("alpha", "png", saved(rgba), None, shown, 1)
    content = saved(rgba, "WEBP", lossless=True, exact=True)
    yield Picture("alpha", "webp", content, None, shown, 1)
    indices = colour[..., 0] % 4
    table = np.array([[9, 8, 7], [200, 0, 0], [0, 200, 0], [0, 0, 99]])
    shown = np.where((indices == 0)[..., None], 255, table[indices])
    for kind, ending in (("PNG", "png"), ("GIF", "gif.png")):
        image = Image.fromarray(indices, "P")
        image.putpalette(table.astype(np.uint8).tobytes())
        content = saved(image, kind, transparency=0)
        yield Picture(
            "palette with alpha", ending, content, None, shown.astype(np.uint8)
        )


def _ill_formed() -> Iterator[Picture]:
    whole = saved(noise())
    header, pixels = whole.index(b"IHDR"), whole.index(b"IDAT")
    for index in (header + 5, pixels + 30, pixels - 1):
        changed = bytearray(whole)
        changed[index] ^= 0x5A
        yield Picture("flipped bits", "png", bytes(changed), DAMAGED)
    for content in (
        whole[: whole.index(b"IEND") - 4],
        png(0, 8, 8, 0, b""),
        png(8, 8, 8, 0, b"\x09" * 72),  # no such filter
        png(8, 8, 8, 7, bytes(72)),  # no such colour type
        png(8, 8, 8, 3, bytes(72)),  # no palette
        b"\x89PNG\r\n\x1a\n" + whole[pixels - 4 :],
    ):
        yield Picture("ill-formed", "png", content, DAMAGED)
