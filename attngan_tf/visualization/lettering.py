"""Text as a picture: wrapped, and legible beside pictures of any size."""

import functools
import itertools
import unicodedata
from collections.abc import Collection, Sequence

from PIL import Image, ImageDraw, ImageFont

WHITE, BLACK = (255, 255, 255), (0, 0, 0)
MARGIN = 4  # pixels to the left and right of text
MOST_LINES = 12  # a longer text ends in an ellipsis


def text_size(width: int) -> int:
    """Pixels of a letter on a sheet this wide: about 60 letters a line.

    A phone shows a sheet of any width about 360 points wide.
    """
    return min(max(width // 30, 13), 28)


def draw_text(
    text: str,
    width: int,
    size: int,
    *,
    centred: bool = False,
    most_lines: int = MOST_LINES,
    underlined: Collection[int] = (),
) -> Image.Image:
    """Text wrapped to a width, black on white.

    Args:
      text: any; white space counts as single spaces.
      width: of the picture, in pixels.
      size: of the font, in pixels.
      centred: each line; otherwise lines start at the left.
      most_lines: a longer text ends in an ellipsis.
      underlined: places of the words, from 0, that are underlined.
    """
    font = font_of(size)
    text = " ".join(text.split())[: most_lines * width]  # of 1 MB, what fits
    words = [drawable(word, font) for word in text.split()]
    room = width - 2 * MARGIN
    lines = wrapped(" ".join(words), room, font, most_lines)
    height, edge = sum(font.getmetrics()), size // 4
    canvas = Image.new("RGB", (width, height * len(lines) + 2 * edge), WHITE)
    draw = ImageDraw.Draw(canvas)
    marks = _marked_letters(words, lines, underlined)
    for row, (line, marked) in enumerate(zip(lines, marks, strict=True)):
        left = (room - font.getlength(line)) / 2 if centred else 0
        place = (MARGIN + left, edge + row * height)
        draw.text(place, line, fill=BLACK, font=font)
        _underline(draw, place, line, marked, font)
    return canvas


def _marked_letters(
    words: Sequence[str], lines: Sequence[str], marked: Collection[int]
) -> list[list[bool]]:
    """Whether each letter of each line is of a marked word; spaces are not.

    Wrapping moves and drops spaces only, and an ellipsis ends the last line.
    """
    letters = iter(
        place in marked
        for place, word in enumerate(words)
        for letter in word
        if letter != " "
    )
    return [
        [letter != " " and next(letters, False) for letter in line]
        for line in lines
    ]


def _underline(draw, place, line, marks, font) -> None:
    """A line below each run of marked letters."""
    x, y = place
    thick = max(1, font.size // 12)
    below = y + font.getmetrics()[0] + thick
    for marked, run in itertools.groupby(range(len(line)), marks.__getitem__):
        if marked:
            run = list(run)
            start = x + font.getlength(line[: run[0]])
            end = x + font.getlength(line[: run[-1] + 1]) - 1
            draw.rectangle((start, below, end, below + thick - 1), fill=BLACK)


@functools.lru_cache(maxsize=8)
def font_of(size: int) -> ImageFont.FreeTypeFont:
    """The font that Pillow holds, at so many pixels: the same everywhere."""
    return ImageFont.load_default(size)


def drawable(text: str, font: ImageFont.FreeTypeFont) -> str:
    """The text without accents, "?" for what the font has not, plain dashes."""
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
    text: str, width: int, font: ImageFont.FreeTypeFont, most_lines: int
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
        if len(lines) > most_lines:
            break
    if len(lines) <= most_lines:
        return lines
    last = lines[most_lines - 1]
    while last and font.getlength(last + "\u2026") > width:
        last = last[:-1]
    return [*lines[: most_lines - 1], last + "\u2026"]
