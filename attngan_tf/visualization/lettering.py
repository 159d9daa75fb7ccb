"""Renders text as an image, legible beside images of any size."""

import contextlib
import functools
import subprocess
import sys
import unicodedata
from collections.abc import Collection, Sequence

from PIL import Image, ImageDraw, ImageFont, features

WHITE, BLACK = (255, 255, 255), (0, 0, 0)
MARGIN = 4  # pixels to the left and right of text
MAX_LINES = 12  # longer text ends in an ellipsis


def text_size(width: int) -> int:
    """Font size for a sheet of this width: about 60 letters on a line.

    A phone shows a sheet of any width at about 360 points.
    """
    return min(max(width // 30, 13), 28)


def render_text(
    text: str,
    width: int,
    size: int,
    *,
    centred: bool = False,
    max_lines: int = MAX_LINES,
    underlined: Collection[int] = (),
) -> Image.Image:
    """Text wrapped to a width, black on white.

    Text of a script that is written from right to left starts at the right.

    Args:
      text: any text; white space becomes single spaces.
      width: width of the image, in pixels.
      size: size of the font, in pixels.
      centred: whether lines are centred.
      max_lines: longer text ends in an ellipsis.
      underlined: indices of the words to underline.
    """
    text = " ".join(text.split())[: max_lines * width]  # more never fits
    font = font_for(text, size)
    words = [supported(word, font).strip() for word in text.split()]
    to_left, room = from_right("".join(words)), width - 2 * MARGIN
    lines = wrapped(words, room, font, max_lines)
    height, edge = sum(font.getmetrics()), size // 4
    canvas = Image.new("RGB", (width, height * len(lines) + 2 * edge), WHITE)
    draw = ImageDraw.Draw(canvas)
    thickness = max(1, size // 12)
    for row, line in enumerate(lines):
        text = _text(line)
        length = font.getlength(text)
        spare = room - length
        left = spare / 2 if centred else spare * to_left
        x, y = MARGIN + left, edge + row * height
        draw.text((x, y), text, BLACK, font, **_direction(to_left))
        top = y + font.getmetrics()[0] + thickness
        for i, (index, piece) in enumerate(line):
            if index in underlined:
                start = font.getlength(_text([*line[:i], (index, "")]))
                wide = font.getlength(piece)
                start = x + (length - start - wide if to_left else start)
                end = start + wide - 1
                bottom = top + thickness - 1
                draw.rectangle((start, top, end, bottom), fill=BLACK)
    return canvas


@functools.lru_cache(maxsize=8)
def font_of(size: int) -> ImageFont.FreeTypeFont:
    """The font that Pillow contains, the same on every machine."""
    return ImageFont.load_default(size)


def font_for(text: str, size: int) -> ImageFont.FreeTypeFont:
    """The font of `font_of`, or an installed one if that lacks letters."""
    letters = {x for x in text if unicodedata.category(x)[0] in "LM"}
    lacking = sorted(x for x in letters if not has_glyph(font_of(size), x))
    path = installed_font("".join(lacking)) if lacking else None
    return ImageFont.truetype(path, size) if path else font_of(size)


@functools.cache
def installed_font(letters: str) -> str | None:
    """Path of an installed font with all the letters, found by fontconfig."""
    codes = " ".join(f"{ord(letter):x}" for letter in letters)
    command = ["fc-match", f"sans:charset={codes}", "--format=%{file}"]
    # Without fontconfig, without its configuration, or without a font.
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        path = subprocess.check_output(command, text=True)
        font = ImageFont.truetype(path, 13)
        if all(has_glyph(font, letter) for letter in letters):
            return path
    if lost := [x for x in letters if "?" in supported(x, font_of(13))]:
        _report_missing_font(unicodedata.name(lost[0], "?").split()[0])
    return None


@functools.cache  # prints each line once
def _report_missing_font(script: str) -> None:
    print(
        f"fontconfig knows no font with these {script} letters; text on images "
        "shows ? instead; install one, such as Noto Sans",
        file=sys.stderr,
    )


def has_glyph(font: ImageFont.FreeTypeFont, letter: str) -> bool:
    """Whether a font has an image of a letter."""
    return bytes(font.getmask(letter)) != bytes(font.getmask("\uffff"))


def from_right(text: str) -> bool:
    """Whether the first letter's script is written from right to left."""
    kinds = map(unicodedata.bidirectional, text)
    return next((x != "L" for x in kinds if x in ("L", "R", "AL")), False)


def _direction(to_left: bool) -> dict[str, str]:
    """Pillow's argument for the direction; without Raqm it refuses any."""
    return {"direction": "rtl"} if to_left and features.check("raqm") else {}


def supported(text: str, font: ImageFont.FreeTypeFont) -> str:
    """The text with the glyphs of a font.

    Letters and marks that the font lacks lose their accents; those without an
    ASCII form become "?". Dashes become plain.
    """

    def shown(letter):
        if unicodedata.category(letter) == "Pd":
            return "-"
        if letter == " " or has_glyph(font, letter):
            return letter
        if unicodedata.combining(letter):
            return ""
        parts = unicodedata.normalize("NFKD", letter)
        return "?" if parts == letter else "".join(map(shown, parts))

    return "".join(map(shown, unicodedata.normalize("NFC", text)))


Line = list[tuple[int, str]]  # words, or parts of them, with their indices


def _text(line: Line) -> str:
    return " ".join(piece for _, piece in line)


def wrapped(
    words: Sequence[str],
    width: int,
    font: ImageFont.FreeTypeFont,
    max_lines: int,
) -> list[Line]:
    """Lines that fit a width in pixels; words wider than a line are broken."""

    def fits(line, index, piece):
        return font.getlength(_text([*line, (index, piece)])) <= width

    lines = [[]]
    for index, word in enumerate(words):
        if lines[-1] and not fits(lines[-1], index, word):
            lines.append([])
        while not fits([], index, word) and len(word) > 1:
            end = 1
            while fits([], index, word[: end + 1]):
                end += 1
            lines[-1].append((index, word[:end]))
            lines.append([])
            word = word[end:]
        lines[-1].append((index, word))
        if len(lines) > max_lines:
            break
    if len(lines) <= max_lines:
        return lines
    *line, (index, piece) = lines[max_lines - 1]
    while piece and not fits(line, index, piece + "\u2026"):
        piece = piece[:-1]
    return [*lines[: max_lines - 1], [*line, (index, piece + "\u2026")]]
