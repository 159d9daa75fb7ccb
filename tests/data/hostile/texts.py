"""Hostile files of captions, and unusual ones that must be read."""

import numpy as np

NONE = r"must hold 1 captions \(--captions_per_image\); found none"
NOT_UTF8 = "must be UTF-8; found byte 0x"
ZERO = "must be a text file in UTF-8; found a zero byte at "
HEBREW = "ציפור אדומה קטנה"
LINES = ["a bird", "a red bird", "a bird that flies"]
RANDOM = np.random.default_rng(2).integers(0, 256, 4096, np.uint8)

# Kind: bytes and fault.
REFUSED = {
    "binary": (RANDOM.tobytes(), ZERO),
    "binary without zero": ((RANDOM | 128).tobytes(), NOT_UTF8),
    "10 MB line": ("vögel ".encode() * 10**6, "65536 bytes; found "),
    "zero byte": (b"a b\0ird\n", ZERO),
    "utf-16": ("a bird".encode("utf-16"), "found UTF-16"),
    "utf-16-le": ("a bird".encode("utf-16-le"), ZERO),
    "utf-32": ("a bird".encode("utf-32"), "found UTF-16"),
    "latin-1": (b"a bird\n" + "vögel\n".encode("latin-1"), NOT_UTF8),
    "overlong": (b"a bird\xc0\xaf\n", NOT_UTF8),
    "surrogate": (b"a bird\xed\xa0\x80\n", NOT_UTF8),
    "truncated": (b"a bird\xe2\x82", NOT_UTF8),
    "many lines not UTF-8": (b"\xff\n" * 30000, "29980 more lines"),
    "two byte order marks alone": (b"\xef\xbb\xbf" * 2, NONE),
    "empty": (b"", NONE),
    "blank": (b" \n\t\n\r\n\x0b\x0c\n", NONE),
    "only punctuation": (b"!?\n...\n,;:-()\n", NONE),
    "only emoji": ("🐦🦜\n🐤\n".encode(), NONE),
    "only zero-width": ("\u200b\u200c\u200d\ufeff\u2060\n".encode(), NONE),
    "only Chinese": ("一只红色的鸟".encode(), NONE),
}
# Kind: text and captions.
ACCEPTED = {
    "byte order mark": ("\ufeff" + "\n".join(LINES), LINES),
    "CR line ends": ("\r".join(LINES), LINES),
    "mixed line ends": ("a bird\r\na red bird\ra bird that flies\n\r", LINES),
    "lines without a word": (
        f"!?\n{LINES[0]}\n...\n{LINES[1]}\n{HEBREW}\n  {LINES[2]}  ",
        LINES,
    ),
    **{
        kind: ("\n".join(captions), captions)
        for kind, captions in {
            "Hebrew and English": [f"a bird {HEBREW} (red)"],
            "direction override": ["a \u202edrib\u202c bird"],
            "combining marks": ["a" + "\u0301" * 9999 + " bird"],
            "line separators": ["a\u2028bird\u2029that\u0085flies"],
            "control characters": ["a \x01\x02\x08\x7f bird"],
            "terminal escapes": ["\x1b[2J\x1b]0;pwned\x07 bird"],
            "format strings": ["%s %n {0} {__class__} ${HOME} $(id) bird"],
            "not a character": ["a \ufffe bird \U0010ffff"],
            "60 kB caption": ["bird " * 12000 + "x"],
            "20,000 captions": [f"bird {i}" for i in range(20000)],
        }.items()
    },
}
