"""The vocabulary, in graph: from captions to ids of words, and back."""

import collections
import os
from collections.abc import Iterable, Sequence

import tensorflow as tf

from attngan_tf.config import VOCABULARY_FILE
from attngan_tf.data.tokenizer import separated, tokenize
from attngan_tf.errors import UserError
from attngan_tf.io.files import replacing

END = "<end>"  # id 0: padding, and the one word of an empty caption


class Vocabulary:
    """The words a model knows; a word's id is its index in `words`.

    Args:
      words: all words; the first is `<end>`.
      path: a file of the same words, one per line. With it, the lookup tables
        read the file, which makes it an asset of an exported model.
      tokenizer: see `tokenize`.
    """

    def __init__(
        self,
        words: Sequence[str],
        path: str | None = None,
        tokenizer: str = "ascii",
    ):
        self.words = list(words)
        self.tokenizer = tokenizer
        if path is None:
            keys = tf.constant(self.words)
            ids = tf.range(len(self.words), dtype=tf.int64)
            to_id = tf.lookup.KeyValueTensorInitializer(keys, ids)
            to_word = tf.lookup.KeyValueTensorInitializer(ids, keys)
        else:
            line, number = (
                (tf.string, tf.lookup.TextFileIndex.WHOLE_LINE),
                (tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER),
            )
            to_id = tf.lookup.TextFileInitializer(path, *line, *number)
            to_word = tf.lookup.TextFileInitializer(path, *number, *line)
        self.ids_table = tf.lookup.StaticHashTable(to_id, default_value=-1)
        self.words_table = tf.lookup.StaticHashTable(to_word, default_value="")

    def __len__(self) -> int:
        return len(self.words)

    @classmethod
    def build(
        cls, captions: Iterable[str], tokenizer: str = "ascii"
    ) -> "Vocabulary":
        """The words of all captions, most frequent first, after `<end>`."""
        counts = collections.Counter()
        lines = tf.data.Dataset.from_tensor_slices(list(captions))
        for batch in lines.batch(4096):
            found = tokenize(batch, tokenizer)
            counts.update(found.flat_values.numpy().tolist())
        words = sorted(counts, key=lambda word: (-counts[word], word))
        words = [word.decode() for word in words]
        return cls([END, *words], tokenizer=tokenizer)

    @classmethod
    def load(cls, folder: str, tokenizer: str = "ascii") -> "Vocabulary":
        """Reads vocab.txt of a folder; raises UserError if it is invalid."""
        path = os.path.join(folder, VOCABULARY_FILE)
        try:
            with open(path, encoding="utf-8", newline="\n") as file:
                words = file.read().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(
                f"{path} must be a text file in UTF-8; {reason}; copy it from "
                "where the model was trained"
            ) from None
        check_words(words, path)
        return cls(words, path, tokenizer)

    def save(self, folder: str) -> None:
        """Writes vocab.txt: one word per line; the line number is the id."""
        path = os.path.join(folder, VOCABULARY_FILE)
        with replacing(path) as file:
            file.writelines(word + "\n" for word in self.words)

    def known_ids(self, captions: tf.Tensor) -> tf.RaggedTensor:
        """Ids of each caption's known words, in order: int32 [B, words]."""
        tokens = tokenize(captions, self.tokenizer)
        ids = self.ids_table.lookup(tokens.flat_values)
        known = tf.where(ids >= 0)[:, 0]
        # tf.ragged.boolean_mask needs a hundred operations for this.
        return tf.RaggedTensor.from_value_rowids(
            tf.cast(tf.gather(ids, known), tf.int32),
            tf.gather(tokens.value_rowids(), known),
            tokens.nrows(),
            validate=False,
        )

    def unknown_words(self, captions: Sequence[str]) -> list[str]:
        """Words, in lower case, that the vocabulary lacks, each once."""
        texts = separated(list(captions), self.tokenizer).numpy()
        words = list(dict.fromkeys(x for text in texts for x in text.split()))
        known = {word.encode() for word in self.words}
        tokens = tokenize(words, self.tokenizer).to_list() if words else []
        return [
            word.decode()
            for word, token in zip(words, tokens, strict=True)
            if not known.issuperset(token) or not token
        ]

    def known_fraction(self, captions: Sequence[str]) -> float:
        """The fraction of the captions' words in the vocabulary, 0 to 1."""
        words = tokenize(list(captions), self.tokenizer).flat_values
        known = self.ids_table.lookup(words).numpy() >= 0
        return float(known.mean()) if len(known) else 0.0

    def lookup_words(self, token_ids: tf.Tensor) -> tf.Tensor:
        """The words string [...] of ids int32 [...], in graph."""
        return self.words_table.lookup(tf.cast(token_ids, tf.int64))

    def encode(
        self, captions: tf.Tensor, words_num: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The first T known words of each caption.

        Args:
          captions: string [B].
          words_num: T.

        Returns:
          token_ids int32 [B, T], zero after the caption's end; lengths int32
          [B], at least 1: a caption without a known word is the word `<end>`.
        """
        ids = self.known_ids(captions)
        token_ids = ids.to_tensor(shape=[None, words_num])
        lengths = tf.cast(ids.row_lengths(), tf.int32)
        return token_ids, tf.clip_by_value(lengths, 1, words_num)


def check_words(words: Sequence[str], path: str) -> None:
    """Raises UserError unless the words of `path` can be a vocabulary."""
    if not words or words[0] != END:
        raise UserError(
            f"the first word of {path} must be {END} (the padding); received "
            f"{list(words[:1])}"
        )
    for word, count in collections.Counter(words).items():
        if count > 1 or not word.isprintable() or word.split() != [word]:
            raise UserError(
                f"words of {path} must be different strings without white "
                f"space; received {word!r}"
            )


def sample_words(
    ids: tf.Tensor, words_num: int, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """T words sampled from one caption's, in order (released code).

    Args:
      ids: int32 [known words of the caption].
      words_num: T; all words are taken if there are no more.
      seed: int32 [2].

    Returns:
      token_ids int32 [T] and the length int32 [], as `Vocabulary.encode`.
    """
    order = tf.argsort(tf.random.stateless_uniform(tf.shape(ids), seed))
    ids = tf.gather(ids, tf.sort(order[:words_num]))
    token_ids = tf.pad(ids, [[0, words_num - tf.size(ids)]])
    token_ids = tf.ensure_shape(token_ids, [words_num])
    return token_ids, tf.maximum(tf.size(ids), 1)
