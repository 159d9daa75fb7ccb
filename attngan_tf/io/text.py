"""Reads lines of text as people's editors write them."""

import re
from collections.abc import Sequence


class NotUtf8Error(ValueError):
    """The bytes are not text in UTF-8.

    Its text is what was found instead.

    Attributes:
      where: " line 3" for the first bad line; "" if it is unknown.
    """

    def __init__(self, found: str, where: str = ""):
        super().__init__(found)
        self.where = where


def one_of(words: Sequence[str]) -> str:
    """The words in one phrase: a, b or c."""
    return f"{', '.join(words[:-1])} or {words[-1]}"


def utf8(data: bytes) -> str:
    """Text without its byte order mark.

    Raises:
      NotUtf8Error: the bytes are not UTF-8.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise NotUtf8Error(f"byte 0x{byte:02x}", f" line {line}") from None
    if "\0" in text:  # UTF-16 without a byte order mark
        raise NotUtf8Error("a zero byte")
    return text


def numbered_lines(text: str) -> list[tuple[int, str]]:
    """The lines that are not blank, numbered from 1 and stripped.

    Lines end as on Unix, Windows or old Macs.
    """
    # Not splitlines(), which splits at form feeds and U+2028, too.
    lines = re.split(r"\r\n|\r|\n", text)
    numbered = ((i, line.strip()) for i, line in enumerate(lines, start=1))
    return [(i, line) for i, line in numbered if line]


def text_lines(data: bytes) -> list[tuple[int, str]]:
    """`numbered_lines` of bytes; raises as `utf8` does."""
    return numbered_lines(utf8(data))
