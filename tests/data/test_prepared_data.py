"""The vocabulary of a workdir and that of its data."""

import pytest

from attngan_tf.data import prepared_data
from attngan_tf.data.vocabulary import Vocabulary
from attngan_tf.errors import UserError

WORDS = ["<end>", *(f"word{i}" for i in range(99))]


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Opens data with `data_words` in a workdir with `words`."""

    def opened(words, data_words):
        data = prepared_data.Data("data", None, None, Vocabulary(data_words))
        monkeypatch.setattr(prepared_data, "read_data", lambda _: data)
        if words:
            Vocabulary(words).save(str(tmp_path))
        return prepared_data.open_data(None, str(tmp_path)).vocabulary.words

    return opened


def test_a_new_workdir_uses_the_vocabulary_of_its_data(opened, tmp_path):
    assert opened(None, WORDS) == WORDS
    assert not any(tmp_path.iterdir())


def test_the_order_of_words_is_that_of_the_workdir(opened):
    """Published vocabularies have an order of their own."""
    ours = [WORDS[0], *reversed(WORDS[1:])]
    assert opened(ours, WORDS) == ours


def test_a_few_words_may_be_unknown(opened):
    ours = WORDS[:-2]
    assert opened(ours, WORDS) == ours


def test_data_with_other_words_is_refused(opened):
    message = "received 100 words in data, of which 3 are not among its 97"
    with pytest.raises(UserError, match=message):
        opened(WORDS[:-3], WORDS)
