"""Prepared data and its vocabulary."""

import os
from typing import NamedTuple

import tensorflow_datasets as tfds

from attngan_tf.config import Config
from attngan_tf.data.views import Records
from attngan_tf.data.vocabulary import VOCABULARY_FILE, Vocabulary
from attngan_tf.errors import UserError
from attngan_tf.io.disk import writing

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
    return Data(folder, train, test, Vocabulary.load(folder))


def open_data(builder: tfds.core.DatasetBuilder, config: Config) -> Data:
    """Opens prepared data with the workdir's vocabulary.

    A workdir without a vocabulary gets a copy of the data's. An existing one,
    such as a converted model's, is used, since the text encoder was trained
    with its word ids.

    Raises:
      UserError: the workdir's vocabulary lacks more than MAX_UNKNOWN of the
        data's words, or cannot be read or written.
    """
    data = read_data(builder)
    if not os.path.exists(os.path.join(config.workdir, VOCABULARY_FILE)):
        with writing("the vocabulary", config.workdir):
            data.vocabulary.save(config.workdir)
        return data
    known = Vocabulary.load(config.workdir)
    unknown = set(data.vocabulary.words) - set(known.words)
    if len(unknown) > MAX_UNKNOWN * len(data.vocabulary):
        raise UserError(
            "the data's vocabulary must be the workdir's; received "
            f"{len(data.vocabulary)} words in {data.name}, of which "
            f"{len(unknown)} are not among the {len(known)} in "
            f"{config.workdir}; name another --workdir for other data"
        )
    if unknown:
        print(
            f"{len(unknown)} of the data's {len(data.vocabulary)} words are "
            "not in the workdir's vocabulary; they are left out"
        )
    return data._replace(vocabulary=known)
