"""Hostile texts: kind, bytes, and a fault or the captions that they hold."""

import unicodedata
from collections.abc import Iterator

import numpy as np

Text = tuple[str, bytes, str | None, list[str] | None]

NONE = r"must hold 1 captions \(--captions_per_image\); found none"
NOT_UTF8 = "must be UTF-8; found byte 0x"
ZERO = "must be a text file in UTF-8; found a zero byte at "
MUCH = 10 * 2**20
ZALGO = "".join("bird"[i % 4] + "\u0301\u0316\u0489" * 9 for i in range(40))
HEBREW = "ציפור אדומה קטנה"


def every_text() -> Iterator[Text]:
    """All hostile files of captions."""
    for kind, text, fault in _refused():
        yield kind, text, fault, None
    for kind, captions in _accepted().items():
        yield kind, "\n".join(captions).encode(), None, captions
    lines = ["a bird", "a red bird", "a bird that flies"]
    for kind, text in {
        "byte order mark": "\ufeff" + "\n".join(lines),
        "CR line ends": "\r".join(lines),
        "CRLF line ends": "\r\n".join(lines),
        "mixed line ends": "a bird\r\na red bird\ra bird that flies\n\r",
        "blank lines": "\n\n a bird\n \t\na red bird\n\na bird that flies  \n",
        "lines without a word": "!?\na bird\n...\na red bird\n" + lines[2],
        "lines of Hebrew": "\n".join([HEBREW, *lines, HEBREW]),
    }.items():
        yield kind, text.encode(), None, lines


def _refused() -> Iterator[tuple[str, bytes, str]]:
    random = np.random.default_rng(2).integers(0, 256, 4096, np.uint8)
    yield "binary", random.tobytes(), ZERO
    yield "binary", (random | 128).tobytes(), NOT_UTF8
    yield "10 MB line", b"bird " * (MUCH // 5), "bytes; found 104857"
    yield "10 MB line", "vögel ".encode() * (MUCH // 7), "65536 bytes; found "
    yield "10 MB line", b" " * MUCH, NONE
    for text in (b"\0", b"a b\0ird\n", b"a bird\0"):
        yield "null bytes", text, ZERO
    for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        fault = {"utf-16": "UTF-16", "utf-32": "UTF-16 or UTF-32"}
        yield name, "a bird".encode(name), fault.get(name, ZERO)
    for text in (
        *("vögel\n".encode("latin-1"), "птица\n".encode("cp1251")),
        "a küken\n".encode() + "a vögel\n".encode("cp850"),
        *(b"a bird\xc0\xaf\n", b"a bird\xed\xa0\x80\n"),
        *(b"a bird\xf5\x80\x80\x80\n", b"a bird\xe2\x82"),
    ):
        yield "not UTF-8", b"a bird\n" + text, NOT_UTF8
    yield "30,000 lines not UTF-8", b"\xff\n" * 30000, "29980 more lines"
    yield "two byte order marks alone", b"\xef\xbb\xbf" * 2, NONE
    for kind, text in {
        "empty": "",
        "blank": " \n\t\n\r\n\x0b\x0c\n",
        "50,000 blank lines": "\n" * 50000,
        "only punctuation": "!?\n...\n,;:-()\n",
        "only emoji": "🐦🦜\n🐤\n",
        "only zero-width": "\u200b\u200c\u200d\ufeff\u2060\n",
        "only combining marks": "\u0301\u0316" * 99,
        "only Hebrew": HEBREW,
        "only Chinese": "一只红色的鸟",
        "full-width letters": "\uff42\uff49\uff52\uff44",
        "private use": "\ue000\uf8ff",
    }.items():
        yield kind, text.encode(), NONE


def _accepted() -> dict[str, list[str]]:
    return {
        "Hebrew and English": [f"a bird {HEBREW} (red)"],
        "turned by override": ["a \u202edrib\u202c bird"],
        "stacked marks": [ZALGO],
        "one letter, 9,999 marks": ["a" + "\u0301" * 9999 + " bird"],
        "decomposed": [unicodedata.normalize("NFD", "ein grüner Vögel")],
        "zero-width inside": ["a bi\u200brd \u2060that\ufeff flies"],
        "emoji and words": ["a 🐦 bird 👩‍👩‍👧‍👦 flies"],
        "line separators": ["a\u2028bird\u2029that\u0085flies"],
        "control characters": ["a \x01\x02\x08\x7f bird"],
        "terminal escapes": ["\x1b[2J\x1b]0;pwned\x07 bird"],
        "format strings": ["%s %n {0} {__class__} ${HOME} $(id) bird"],
        "script": ["<script>alert(1)</script>", "'; DROP TABLE birds; --"],
        "damaged before": ["a sm\ufffdll bird"],
        "not a character": ["a \ufffe bird \U0010ffff"],
        "60 kB caption": ["bird " * 12000 + "x"],
        "numbers": ["12345", "_"],
        "50,000 captions": [f"bird {i}" for i in range(50000)],
    }


# Of names, as train.txt: kind, bytes, fault.
LISTS = [
    ("list of zero bytes", bytes(1000), "found a zero byte at 0"),
    ("list in UTF-16", "fine/train".encode("utf-16"), "found UTF-16"),
    ("list with a zero byte", b"fine/train\0\n", "found a zero byte at 10"),
    ("empty list", b"", "must name pictures, one a line; found none"),
    ("binary list", b"\xff\xfd\x80" * 999, NOT_UTF8),
    ("list of one name", b"fine/train\n" * 999, "a name must stand once"),
]
