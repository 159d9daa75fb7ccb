"""Ids of words, in graph."""

import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.data.vocabulary import Vocabulary, sample_words
from attngan_tf.errors import UserError


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
