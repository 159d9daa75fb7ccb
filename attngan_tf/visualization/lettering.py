"""Renders text as an image, legible beside images of any size."""

import functools
import unicodedata
from collections.abc import Collection, Sequence

from PIL import Image, ImageDraw, ImageFont

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

    Args:
      text: any text; white space becomes single spaces.
      width: width of the image, in pixels.
      size: size of the font, in pixels.
      centred: whether lines are centred instead of starting at the left.
      max_lines: longer text ends in an ellipsis.
      underlined: indices of the words to underline.
    """
    font = font_of(size)
    text = " ".join(text.split())[: max_lines * width]  # more never fits
    words = [supported(word, font).strip() for word in text.split()]
    room = width - 2 * MARGIN
    lines = wrapped(words, room, font, max_lines)
    height, edge = sum(font.getmetrics()), size // 4
    canvas = Image.new("RGB", (width, height * len(lines) + 2 * edge), WHITE)
    draw = ImageDraw.Draw(canvas)
    thickness = max(1, size // 12)
    for row, line in enumerate(lines):
        text = _text(line)
        left = (room - font.getlength(text)) / 2 if centred else 0
        x, y = MARGIN + left, edge + row * height
        draw.text((x, y), text, fill=BLACK, font=font)
        top = y + font.getmetrics()[0] + thickness
        for i, (index, piece) in enumerate(line):
            if index in underlined:
                start = x + font.getlength(_text([*line[:i], (index, "")]))
                end = start + font.getlength(piece) - 1
                bottom = top + thickness - 1
                draw.rectangle((start, top, end, bottom), fill=BLACK)
    return canvas


@functools.lru_cache(maxsize=8)
def font_of(size: int) -> ImageFont.FreeTypeFont:
    """The font that Pillow contains, the same on every machine."""
    return ImageFont.load_default(size)


def supported(text: str, font: ImageFont.FreeTypeFont) -> str:
    """The text without accents, with plain dashes, and "?" for other glyphs.

    Args:
      text: any text.
      font: the letters it has no glyph for become "?".
    """
    missing = bytes(font.getmask("\uffff"))

    def shown(letter):
        if unicodedata.category(letter) == "Pd":
            return "-"
        if letter == " " or bytes(font.getmask(letter)) != missing:
            return letter
        return "?"

    return "".join(
        shown(letter)
        for letter in unicodedata.normalize("NFKD", text)
        if not unicodedata.combining(letter)
    )


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
