"""Prepared data and its vocabulary."""

import os
from typing import NamedTuple

import tensorflow_datasets as tfds

from attngan_tf.config import VOCABULARY_FILE
from attngan_tf.data.views import Records
from attngan_tf.data.vocabulary import Vocabulary
from attngan_tf.errors import UserError

# Fraction of the data's words that a workdir's vocabulary may lack; these words
# are left out. Published vocabularies come from other versions of the captions.
MAX_UNKNOWN = 0.02


class Data(NamedTuple):
    """An opened data set; `name` is its folder."""

    name: str
    train: Records
    test: Records
    vocabulary: Vocabulary


def read_data(builder: tfds.core.DatasetBuilder) -> Data:
    """Opens prepared data with its own vocabulary."""
    folder = os.fspath(builder.data_dir)
    train, test = (Records(builder, split) for split in ("train", "test"))
    vocabulary = Vocabulary.load(folder, builder.tokenizer)
    return Data(folder, train, test, vocabulary)


def open_data(
    builder: tfds.core.DatasetBuilder, folder: str, flag: str = "--workdir"
) -> Data:
    """Opens prepared data with the vocabulary of a workdir.

    A text encoder is trained with the word ids of its workdir's vocabulary. A
    workdir without one uses the vocabulary of the data.

    Args:
      builder: the builder of the data.
      folder: the workdir.
      flag: the flag that named it.

    Raises:
      UserError: the workdir's vocabulary lacks more than MAX_UNKNOWN of the
        data's words, or cannot be read.
    """
    data = read_data(builder)
    if not os.path.exists(os.path.join(folder, VOCABULARY_FILE)):
        return data
    known = Vocabulary.load(folder, data.vocabulary.tokenizer)
    unknown = set(data.vocabulary.words) - set(known.words)
    if len(unknown) > MAX_UNKNOWN * len(data.vocabulary):
        raise UserError(
            f"the data's vocabulary must be that of {flag}={folder}; received "
            f"{len(data.vocabulary)} words in {data.name}, of which "
            f"{len(unknown)} are not among its {len(known)}; name another "
            f"{flag} for other data"
        )
    if unknown:
        print(
            f"{len(unknown)} of the data's {len(data.vocabulary)} words are "
            f"not in the vocabulary of {folder}; they are left out"
        )
    return data._replace(vocabulary=known)
