"""The tokenizers, in graph, against Python's strings."""

import re
import unicodedata

import hypothesis
import pytest
import tensorflow as tf
from hypothesis import strategies

from attngan_tf.data.tokenizer import tokenize
from attngan_tf.data.unicode_text import fold

AWKWARD = [
    "This bird has a RED crown, and a white belly.",
    "the bird\u2019s wings are \u201cblue\u201d \u2014 and grey\u2013brown",
    "a caf\u00e9-coloured bird, na\u00efve \u00c9lan",
    "\u9ce5 is a bird\u3002 small\u9ce5bird",
    "a bird \U0001f426 with\U0001f426wings",
    "123 birds, 4.5 inches, \u00bd wing, x\u00b2, \u0663",
    "under_score _ __init__",
    "tab\tbetween\twords\nand lines\r\n",
    "",
    "   ",
    "...!?",
    "\u0130stanbul \u212aelvin \u00df STRASSE",
    "a\x00b \x000",
    "\u5c0f\u9ce5 caf\u00e9 \u2764\ufe0f bird\u0301 \u0301",
    "a\u00adb zero\u200bwidth nb\u00a0sp",
]
INVALID_UTF8 = [b"a \xff bird", b"re\xe9d bird", b"\xf0\x9f\x90", b"\xc3("]
UNSPACED = ("CJK UNIFIED", "HIRAGANA LETTER", "KATAKANA", "THAI")


def released_words(caption: bytes) -> list[str]:
    """An independent version of the released tokenizer."""
    found = re.findall(r"\w+", caption.decode("utf-8", "replace").lower())
    words = [word.encode("ascii", "ignore").decode("ascii") for word in found]
    return [word for word in words if word]


def unicode_words(caption: bytes) -> list[str]:
    """An independent version of the Unicode tokenizer."""
    text = caption.decode("utf-8", "replace").replace("\0", " ")
    text = unicodedata.normalize("NFC", text.casefold())
    text = "".join(x for x in text if unicodedata.category(x) != "Cf")
    found = re.finditer("um*|w[wm]*", "".join(map(kind, text)))
    return [text[match.start() : match.end()] for match in found]


def kind(letter: str) -> str:
    """u: a letter of a script without spaces; w: of another one; m: a mark."""
    if letter == "_" or unicodedata.category(letter)[0] in "LN":
        unspaced = unicodedata.name(letter, "").startswith(UNSPACED)
        return "u" if unspaced else "w"
    return "m" if unicodedata.category(letter)[0] == "M" else "-"


REFERENCES = {"ascii": released_words, "unicode": unicode_words}


def graph_words(captions: list[bytes], tokenizer: str) -> list[list[str]]:
    rows = IN_GRAPH[tokenizer](tf.constant(captions, tf.string)).to_list()
    return [[word.decode() for word in row] for row in rows]


IN_GRAPH = {
    name: tf.function(
        lambda captions, name=name: tokenize(captions, name),
        input_signature=[tf.TensorSpec([None], tf.string)],
        autograph=False,
    )
    for name in REFERENCES
}
FOLD = tf.function(
    fold,
    input_signature=[tf.TensorSpec([None], tf.string)],
    autograph=False,
)


@pytest.mark.parametrize("tokenizer", REFERENCES)
def test_awkward_captions(tokenizer):
    for caption in [*(text.encode() for text in AWKWARD), *INVALID_UTF8]:
        expected = REFERENCES[tokenizer](caption)
        assert graph_words([caption], tokenizer) == [expected]


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(
    strategies.lists(
        strategies.text(
            strategies.characters(max_codepoint=0x2FFF, codec="utf-8"),
            max_size=40,
        )
    )
)
def test_any_captions_by_the_released_rule(captions):
    encoded = [caption.encode() for caption in captions]
    expected = [released_words(caption) for caption in encoded]
    assert graph_words(encoded, "ascii") == expected


# Blocks that have not changed for years: Python and RE2 know them alike.
SCRIPTS = [
    (0x20, 0x17F),  # Latin
    (0x300, 0x34E),  # marks
    (0x391, 0x3C9),  # Greek
    (0x400, 0x52F),  # Cyrillic
    (0x621, 0x669),  # Arabic
    (0x901, 0x96F),  # Devanagari
    (0xE01, 0xE3A),  # Thai
    (0x1100, 0x1112),  # parts of Korean syllables
    (0x1161, 0x1175),
    (0x11A8, 0x11C2),
    (0x1E00, 0x1EFF),  # Vietnamese
    (0x2000, 0x206F),  # punctuation, joiners
    (0x3041, 0x3096),  # Japanese
    (0x4E00, 0x4E7F),  # Chinese
    (0xAC00, 0xAC7F),  # Korean
]
ANY_SCRIPT = strategies.text(
    strategies.one_of(
        strategies.characters(min_codepoint=first, max_codepoint=last)
        for first, last in SCRIPTS
    ),
    max_size=30,
)


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(strategies.lists(ANY_SCRIPT, max_size=8))
@hypothesis.example(["\u0e34", "a\u0e34", "\u0e01\u0e34 \u0e34\u0e01"])
def test_any_captions_in_unicode(captions):
    encoded = [caption.encode() for caption in captions]
    expected = [unicode_words(caption) for caption in encoded]
    assert graph_words(encoded, "unicode") == expected


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(strategies.lists(strategies.text(max_size=30), max_size=8))
def test_folded_texts_are_in_composed_form(texts):
    folded = FOLD(tf.constant(texts, tf.string)).numpy()
    expected = [unicodedata.normalize("NFC", x.casefold()) for x in texts]
    assert [text.decode() for text in folded] == expected


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("Un merle à l'ÉTÉ", "un merle à l été"),
        ("un merle a\u0300 l'e\u0301te\u0301", "un merle à l été"),
        ("Красная Птица, 2 крыла", "красная птица 2 крыла"),
        ("طائر أحمر بجناحين", "طائر أحمر بجناحين"),
        ("लाल चिड़िया", "लाल चिड\u093cिया"),
        ("一只红色的鸟。", "一 只 红 色 的 鸟"),
        ("นกสีแดง", "น ก สี แ ด ง"),
        ("赤いカード", "赤 い カ ー ド"),
        ("die weiße Meise", "die weisse meise"),
        ("빨간 새", "빨간 새"),
    ],
)
def test_words_of_many_languages(caption, words):
    assert graph_words([caption.encode()], "unicode") == [words.split()]
