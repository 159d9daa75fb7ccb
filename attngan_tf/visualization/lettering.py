"""Text as an image: wrapped, and legible beside images of any size."""

import functools
import itertools
import unicodedata
from collections.abc import Collection, Sequence

from PIL import Image, ImageDraw, ImageFont

WHITE, BLACK = (255, 255, 255), (0, 0, 0)
MARGIN = 4  # pixels to the left and right of text
MAX_LINES = 12  # longer text ends in an ellipsis


def text_size(width: int) -> int:
    """Font size for a sheet of this width: about 60 letters on a line.

    A phone shows a sheet of any width about 360 points wide.
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
      width: of the image, in pixels.
      size: of the font, in pixels.
      centred: whether lines are centred instead of starting at the left.
      max_lines: longer text ends in an ellipsis.
      underlined: indices of the words to underline.
    """
    font = font_of(size)
    text = " ".join(text.split())[: max_lines * width]  # more never fits
    words = [supported(word, font) for word in text.split()]
    room = width - 2 * MARGIN
    lines = wrapped(" ".join(words), room, font, max_lines)
    height, edge = sum(font.getmetrics()), size // 4
    canvas = Image.new("RGB", (width, height * len(lines) + 2 * edge), WHITE)
    draw = ImageDraw.Draw(canvas)
    marks = _marked_letters(words, lines, underlined)
    for row, (line, marked) in enumerate(zip(lines, marks, strict=True)):
        left = (room - font.getlength(line)) / 2 if centred else 0
        position = (MARGIN + left, edge + row * height)
        draw.text(position, line, fill=BLACK, font=font)
        _underline(draw, position, line, marked, font)
    return canvas


def _marked_letters(
    words: Sequence[str], lines: Sequence[str], marked: Collection[int]
) -> list[list[bool]]:
    """Whether each letter of each line is part of a marked word.

    Wrapping only moves or removes spaces, and ends the last line with an
    ellipsis.
    """
    letters = iter(
        index in marked
        for index, word in enumerate(words)
        for letter in word
        if letter != " "
    )
    return [
        [letter != " " and next(letters, False) for letter in line]
        for line in lines
    ]


def _underline(draw, position, line, marks, font) -> None:
    """Draws a line below each run of marked letters."""
    x, y = position
    thickness = max(1, font.size // 12)
    top = y + font.getmetrics()[0] + thickness
    for marked, run in itertools.groupby(range(len(line)), marks.__getitem__):
        if marked:
            run = list(run)
            start = x + font.getlength(line[: run[0]])
            end = x + font.getlength(line[: run[-1] + 1]) - 1
            draw.rectangle((start, top, end, top + thickness - 1), fill=BLACK)


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


def wrapped(
    text: str, width: int, font: ImageFont.FreeTypeFont, max_lines: int
) -> list[str]:
    """Lines that fit a width in pixels; words wider than a line are broken."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if font.getlength(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
        if len(lines) > max_lines:
            break
    if len(lines) <= max_lines:
        return lines
    last = lines[max_lines - 1]
    while last and font.getlength(last + "\u2026") > width:
        last = last[:-1]
    return [*lines[: max_lines - 1], last + "\u2026"]
