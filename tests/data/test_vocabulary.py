"""The in-graph tokenizer against Python's regular expressions."""

import re

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies

from attngan_tf.data.vocabulary import Vocabulary, sample_words, tokenize
from attngan_tf.errors import UserError

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
    "a\u00adb zero\u200bwidth nb\u00a0sp",
]
INVALID_UTF8 = [b"a \xff bird", b"re\xe9d bird", b"\xf0\x9f\x90", b"\xc3("]


def released_words(caption: bytes) -> list[str]:
    """An independent version of the released tokenizer."""
    found = re.findall(r"\w+", caption.decode("utf-8", "replace").lower())
    words = [word.encode("ascii", "ignore").decode("ascii") for word in found]
    return [word for word in words if word]


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
def in_graph(captions):
    return tokenize(captions)


def graph_words(captions: list[bytes]) -> list[list[str]]:
    rows = in_graph(tf.constant(captions, tf.string)).to_list()
    return [[word.decode() for word in row] for row in rows]


def test_awkward_captions():
    for caption in [*(text.encode() for text in AWKWARD), *INVALID_UTF8]:
        assert graph_words([caption]) == [released_words(caption)]


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(
    strategies.lists(
        strategies.text(
            strategies.characters(max_codepoint=0x2FFF, codec="utf-8"),
            max_size=40,
        )
    )
)
def test_any_captions(captions):
    encoded = [caption.encode() for caption in captions]
    assert graph_words(encoded) == [released_words(c) for c in encoded]


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary.build(["a red bird", "a blue bird", "a bird"])


def test_vocabulary_is_ordered_by_frequency(vocabulary):
    assert vocabulary.words == ["<end>", "a", "bird", "blue", "red"]


def test_encode_drops_unknown_words_and_takes_the_first(vocabulary):
    captions = tf.constant(["A red, tiny BIRD a a a", "", "xylophone", "blue"])
    token_ids, lengths = vocabulary.encode(captions, 4)
    np.testing.assert_array_equal(
        token_ids, [[1, 4, 2, 1], [0, 0, 0, 0], [0, 0, 0, 0], [3, 0, 0, 0]]
    )
    np.testing.assert_array_equal(lengths, [4, 1, 1, 1])


def test_sampled_words_are_ordered_seeded_and_varied():
    caption = tf.constant([1, 4, 2, 1, 3, 2])
    seen = set()
    for seed in range(40):
        ids, length = sample_words(caption, 3, [7, seed])
        again, _ = sample_words(caption, 3, [7, seed])
        np.testing.assert_array_equal(ids, again)
        assert length == 3
        rest = iter([1, 4, 2, 1, 3, 2])
        assert all(any(i == word for word in rest) for i in ids.numpy())
        seen.add(tuple(ids.numpy()))
    assert len(seen) > 5


@pytest.mark.parametrize(("caption", "length"), [("", 1), ("red bird", 2)])
def test_all_words_of_a_short_caption_are_sampled(vocabulary, caption, length):
    known = vocabulary.known_ids(tf.constant([caption]))[0]
    ids, n = sample_words(known, 5, [0, 0])
    expected, _ = vocabulary.encode(tf.constant([caption]), 5)
    np.testing.assert_array_equal(ids, expected[0])
    assert n == length


def test_a_saved_vocabulary_gives_the_same_ids(vocabulary, tmp_path):
    vocabulary.save(tmp_path)
    loaded = Vocabulary.load(str(tmp_path))
    assert loaded.words == vocabulary.words
    captions = tf.constant(["blue red a", "bird <end>"])
    np.testing.assert_array_equal(
        loaded.encode(captions, 4)[0], vocabulary.encode(captions, 4)[0]
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory; copy it"),
        (b"bird\n", "<end>"),
        (
            b"<end>\na\na\n",
            "different strings without white space; received 'a'",
        ),
        (b"<end>\ntwo words\n", "received 'two words'"),
        (b"<end>\ncaf\xe9\n", "must be a text file in UTF-8"),
    ],
)
def test_an_invalid_file_is_a_user_error(tmp_path, content, message):
    if content is not None:
        (tmp_path / "vocab.txt").write_bytes(content)
    with pytest.raises(UserError, match=message) as raised:
        Vocabulary.load(str(tmp_path))
    assert "\n" not in str(raised.value)
