"""Hostile pictures, in data sets of the folder layout."""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from .drawn import chunk, exif, noise, png, png_16, saved, smooth, stored

DAMAGED = "truncated or damaged|damaged:|not a picture of a known format"
TOO_LARGE = "a picture may have 100000000 pixels; it has more"
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
    """All hostile pictures."""
    yield from _cut()
    yield from _others()
    yield from _wrong_endings()
    yield from _bombs()
    yield from _shapes()
    yield from _turned()
    yield from _transparent()
    yield from _odd_samples()
    yield from _animated()
    yield from _ill_formed()


def _cut() -> Iterator[Picture]:
    grey = Image.fromarray(noise()[..., 0])
    files = {
        "jpg": saved(noise(), "JPEG"),
        "jpeg": saved(noise(), "JPEG", progressive=True),
        "png": saved(noise(), "PNG"),
        "webp": saved(noise(), "WEBP", lossless=True),
        "lossy.webp": saved(noise(), "WEBP"),
        "gif.jpg": saved(grey, "GIF"),
        "bmp.png": saved(noise(), "BMP"),
    }
    for ending, whole in files.items():
        for share in (0.01, 0.5, 0.9):
            part = whole[: max(1, int(share * len(whole)))]
            yield Picture("truncated", ending, part, DAMAGED)
    for ending in ("jpg", "png"):
        yield Picture("zero bytes", ending, b"", r"empty file \(zero bytes\)")


def _others() -> Iterator[Picture]:
    random = np.random.default_rng(1).integers(0, 256, 5000, np.uint8)
    for ending, content in {
        "jpg": b"<html><body>404 not found</body></html>",
        "pdf.jpg": b"%PDF-1.4\n1 0 obj\n",
        "eps.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "elf.png": b"\x7fELF\2\1\1" + bytes(60),
        "webp": b"RIFF\x24\0\0\0WAVEfmt ",
        "jpeg": random.tobytes(),
        "php.jpg": b"GIF89a<?php system($_GET['c']); ?>",
    }.items():
        yield Picture("no picture", ending, content, DAMAGED)


def _wrong_endings() -> Iterator[Picture]:
    for ending, kind, options in (
        ("jpg", "PNG", {}),
        ("jpeg", "WEBP", {"lossless": True}),
        ("png", "BMP", {}),
        ("webp", "TIFF", {}),
    ):
        content = saved(noise(), kind, **options)
        yield Picture("wrong ending", ending, content, None, noise())
    grey = np.repeat(noise()[..., :1], 3, axis=-1)
    content = saved(Image.fromarray(grey[..., 0]), "GIF")
    yield Picture("wrong ending", "webp", content, None, grey)
    content = saved(smooth(), "JPEG", quality=98)
    yield Picture("wrong ending", "png", content, None, smooth(), 12)


def _bombs() -> Iterator[Picture]:
    tiny = saved(noise(), "JPEG")
    at = tiny.index(b"\xff\xc0") + 5
    jpeg = tiny[:at] + struct.pack(">HH", 65500, 65500) + tiny[at + 4 :]
    gif = bytearray(saved(Image.fromarray(noise()[..., 0]), "GIF"))
    gif[6:10] = struct.pack("<HH", 65535, 65535)
    bmp = bytearray(saved(noise(), "BMP"))
    bmp[18:26] = struct.pack("<ii", 100000, 100000)
    canvas = struct.pack("<I", 16382)[:3] * 2
    vp8x = b"VP8X\x0a\0\0\0\0\0\0\0" + canvas
    inner = vp8x + saved(noise(), "WEBP", lossless=True)[12:]
    webp = b"RIFF" + struct.pack("<I", 4 + len(inner)) + b"WEBP" + inner
    side, bits = 15000, 1875  # 225 million pixels of one bit
    rows = bytes((1 + bits) * side)
    tiff = saved(Image.new("1", (side, side)), "TIFF", compression="group4")
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**27), 1))
    for ending, content in {
        "png": png(65535, 65535, 8, 2, bytes(99)),
        "wide.png": png(2**31 - 1, 2**26, 8, 0, bytes(99)),
        "jpg": jpeg,
        "gif.jpg": bytes(gif),
        "bmp.jpg": bytes(bmp),
        "webp": webp,
        "real.png": png(side, side, 1, 0, rows),
        "palette.png": png(side, side, 1, 3, rows, chunk(b"PLTE", bytes(6))),
        "10001.png": png(10001, 10001, 1, 0, bytes(1252 * 10001)),
        "tiff.jpg": tiff,
    }.items():
        yield Picture("bomb", ending, content, TOO_LARGE)
    content = png(4, 4, 8, 0, bytes(20), text)
    yield Picture("bomb in a text", "png", content, DAMAGED)


def _shapes() -> Iterator[Picture]:
    dot = smooth(1, 1)
    for ending, kind in (("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP")):
        content = saved(dot, kind, quality=98)
        yield Picture("1 x 1", ending, content, None, dot, 6)
    for width, height in ((20000, 1), (1, 20000)):
        line = np.zeros((height, width, 3), np.uint8)
        fault = f"{STRETCHED}{width} x {height} pixels"
        for ending, kind in (
            *(("jpg", "JPEG"), ("png", "PNG"), ("bmp.png", "BMP")),
        ):
            yield Picture("a line", ending, saved(line, kind), fault)
    for width, height in ((100, 2), (2, 100)):
        line = noise(height, width)
        yield Picture("a strip", "png", saved(line, "PNG"), None, line)


def _turned() -> Iterator[Picture]:
    for turn in range(1, 9):
        for kind, ending, upright in (
            ("JPEG", "jpg", smooth()),
            ("PNG", "png", noise()),
        ):
            options = {"quality": 98} if kind == "JPEG" else {}
            content = saved(
                stored(upright, turn), kind, exif=exif(turn), **options
            )
            tolerance = 12 if kind == "JPEG" else 0
            yield Picture(
                f"EXIF {turn}", ending, content, None, upright, tolerance
            )
    whole = exif(6)
    for block in (
        b"Exif\0\0nonsense",
        whole[:12],
        whole[:-9],
        whole.replace(b"\0\0\0\x08", b"\xff\xff\xff\xf0"),
        exif(0),
        exif(65535),
        exif(6, kind=2),  # a text
        exif(6, kind=12),  # a float behind the end
        exif(6, count=2**31),
    ):
        content = saved(noise(), "PNG", exif=block)
        yield Picture("broken EXIF", "png", content, None, noise())


def _on_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return np.round(colour * share + 255 * (1 - share)).astype(np.uint8)


def _transparent() -> Iterator[Picture]:
    colour, alpha = noise(), noise(channels=4)[..., 3]
    clear = np.where(alpha > 127, 255, 0).astype(np.uint8)
    rgba = np.dstack([colour, alpha])
    shown = _on_white(colour, alpha)
    yield Picture("alpha", "png", saved(rgba, "PNG"), None, shown, 1)
    content = saved(rgba, "WEBP", lossless=True, exact=True)
    yield Picture("alpha", "webp", content, None, shown, 1)
    grey = np.repeat(colour[..., :1], 3, axis=-1)
    content = saved(Image.fromarray(rgba[..., [0, 3]], "LA"), "PNG")
    yield Picture("alpha", "png", content, None, _on_white(grey, alpha), 1)
    first = tuple(int(value) for value in colour[0, 0])
    content = saved(colour, "PNG", transparency=first)
    alpha = np.where((colour == first).all(-1), 0, 255)
    yield Picture("alpha", "png", content, None, _on_white(colour, alpha))
    places = colour[..., 0] % 4
    table = np.array([[9, 8, 7], [200, 0, 0], [0, 200, 0], [0, 0, 99]])
    for kind, ending in (("PNG", "png"), ("GIF", "gif.png")):
        image = Image.fromarray(places, "P")
        image.putpalette(table.astype(np.uint8).tobytes())
        content = saved(image, kind, transparency=0)
        shown = np.where((places == 0)[..., None], 255, table[places])
        yield Picture(
            "palette with alpha", ending, content, None, shown.astype(np.uint8)
        )
    solid = np.dstack([colour, clear])
    shown = _on_white(colour, clear)
    yield Picture("alpha", "png", saved(solid, "PNG"), None, shown)


def _odd_samples() -> Iterator[Picture]:
    values = np.random.default_rng(3).integers(0, 65536, (24, 32, 4))
    for channels in (1, 3):
        some = values[..., :channels]
        shown = np.broadcast_to(np.round(some / 257), (24, 32, 3))
        shown = shown.astype(np.uint8)
        yield Picture("16-bit", "png", png_16(some), None, shown, 1)
    alpha = values[..., 3] // 257
    for places in ([0, 3], [0, 1, 2, 3]):
        colour = np.broadcast_to(values[..., places[:-1]] / 257, (24, 32, 3))
        shown = _on_white(colour, alpha)
        content = png_16(values[..., places])
        yield Picture("16-bit with alpha", "png", content, None, shown, 2)
    cmyk = Image.fromarray(smooth()).convert("CMYK")
    content = saved(cmyk, "JPEG", quality=98)
    yield Picture("CMYK", "jpg", content, None, smooth(), 12)
    yield Picture("CMYK", "tiff.jpg", saved(cmyk, "TIFF"), None, smooth(), 1)
    grey = noise()[..., 0]
    shown = np.repeat(grey[..., None], 3, axis=-1)
    yield Picture("grey", "png", saved(grey, "PNG"), None, shown)
    bits = Image.fromarray(grey > 127)
    shown = np.where(grey[..., None] > 127, 255, 0).astype(np.uint8)
    shown = np.repeat(shown, 3, axis=-1)
    yield Picture("one bit", "png", saved(bits, "PNG"), None, shown)


def _animated() -> Iterator[Picture]:
    table = ["#ff0000", "#00ff00", "#0000ff"] * 60
    frames = [Image.new("RGB", (12, 9), colour) for colour in table]
    red = np.zeros((9, 12, 3), np.uint8) + np.uint8([255, 0, 0])
    for kind, ending, count in (
        ("GIF", "gif.jpg", 3),
        ("GIF", "long.webp", 180),
        ("PNG", "png", 3),
        ("WEBP", "webp", 3),
    ):
        content = saved(
            frames[0], kind, save_all=True, append_images=frames[1:count]
        )
        yield Picture("animated", ending, content, None, red, 2)


def _ill_formed() -> Iterator[Picture]:
    whole = saved(noise(), "PNG")
    header, pixels = whole.index(b"IHDR"), whole.index(b"IDAT")
    for place in (header + 5, header + 9, pixels + 30, pixels - 1):
        changed = bytearray(whole)
        changed[place] ^= 0x5A
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
    jpeg = saved(smooth(), "JPEG", quality=98)
    content = jpeg + b"<script>" * 99
    yield Picture("trailing bytes", "jpg", content, None, smooth(), 12)
    yield Picture("trailing bytes", "png", whole + bytes(99), None, noise())
