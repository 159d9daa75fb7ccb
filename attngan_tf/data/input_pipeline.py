"""Training batches of prepared records, by tf.data.

Every draw is stateless. Its key is (seed, number of the example), where
example `step * batch_size + position` is the same whatever was read before
and however many replicas share the batch.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from attngan_tf.data import views, vocabulary
from attngan_tf.data.memory import Captions, ScaledPictures
from attngan_tf.data.views import Records
from attngan_tf.data.vocabulary import Vocabulary


class Slice(NamedTuple):
    """The rows of every global batch that one worker reads."""

    first: int  # row of the global batch
    rows: int
    rows_per_replica: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingData:
    """Endless shuffled training batches that can start at any step.

    Attributes:
      records: the pictures and captions.
      vocabulary: gives the ids of words.
      words_num: T.
      image_sizes: sides of the pictures, the largest last.
      batch_size: rows of the global batch.
      seed: of the shuffling and of every other draw.
      z_size: size of the noise z; 0: batches hold no noise.
      condition_size: size of the noise eps.
      dropout_size: uniform numbers for each word's dropout; 0: none.
      augmentation_draws: uniform numbers for the augmentation of a real
        picture, and as many for a generated one; 0: none.
      memory_mb: scaled pictures stay in memory if they take about so many MB
        at most; otherwise each is decoded whenever it is needed.
      views: None: pictures. A number V: batches hold `view` int64 [], in [0,
        V), and `index` int64 [], the picture's, instead of pictures.
    """

    records: Records
    vocabulary: Vocabulary
    words_num: int
    image_sizes: tuple[int, ...]
    batch_size: int
    seed: int
    z_size: int = 0
    condition_size: int = 0
    dropout_size: int = 0
    augmentation_draws: int = 0
    memory_mb: int = 0
    views: int | None = None

    def steps(self, epochs: int) -> int:
        """Whole batches in so many epochs."""
        return epochs * len(self.records) // self.batch_size

    @property
    def steps_per_epoch(self) -> float:
        """Batches in an epoch, not a whole number as a rule."""
        return len(self.records) / self.batch_size

    def epoch(self, step: int) -> int:
        """Whole epochs done after so many steps."""
        return step * self.batch_size // len(self.records)

    def index(self, number: tf.Tensor) -> tf.Tensor:
        """Which record example `number` is: each epoch in another order."""
        count = len(self.records)
        seed = tf.stack([self.seed, number // count])
        return tf.random.experimental.index_shuffle(
            number % count, tf.cast(seed, tf.int64), count - 1
        )

    @functools.cached_property
    def _captions(self) -> Captions:
        return Captions(self.records, self.vocabulary)

    @functools.cached_property
    def scaled(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """Gives a scaled picture float32 [H, W, 3] by its index."""
        size = self.image_sizes[-1]
        if views.scaled_bytes(len(self.records), size) <= self.memory_mb * 1e6:
            return ScaledPictures(self.records, size).read
        return lambda index: views.scale(self.records.pixels(index), size)

    def example(self, number: tf.Tensor) -> dict[str, tf.Tensor]:
        """Example `number` int64 [] of the run."""
        key = tf.random.fold_in(
            tf.constant([self.seed, 0], tf.int64), tf.cast(number, tf.int64)
        )
        keys = tf.unstack(tf.random.split(key, 7))
        index = self.index(number)
        token_ids, length = vocabulary.draw_words(
            self._captions.draw(index, keys[0]), self.words_num, keys[1]
        )
        example = {
            "token_ids": token_ids,
            "lengths": length,
            "class_id": self._captions.class_id(index),
        }
        if self.views is not None:
            example["index"] = index
            example["view"] = tf.random.stateless_uniform(
                [], keys[2], 0, self.views, tf.int64
            )
        else:
            size = self.image_sizes[-1]
            view = views.random_view(self.scaled(index), size, keys[2])
            example |= views.pyramid(view, self.image_sizes)
        if self.z_size:
            example["z"] = _noise(self.z_size, keys[3])
            example["eps"] = _noise(self.condition_size, keys[4])
        if self.dropout_size:
            example["dropout_draws"] = tf.random.stateless_uniform(
                [self.words_num, self.dropout_size], keys[5]
            )
        if self.augmentation_draws:
            example["augmentation"] = tf.random.stateless_uniform(
                [2, self.augmentation_draws], keys[6]
            )
        return example

    def batches(self, first_step: int, part: Slice) -> tf.data.Dataset:
        """Per-replica batches from `first_step` on, without end."""

        def numbers(step):
            first = step * self.batch_size + part.first
            return tf.data.Dataset.range(first, first + part.rows)

        steps = tf.data.Dataset.range(first_step, np.iinfo(np.int64).max)
        return views.batched(
            steps.flat_map(numbers),
            self.example,
            part.rows_per_replica,
            drop_remainder=True,
        )

    def whole_batches(self, first_step: int = 0) -> tf.data.Dataset:
        """Batches for one device that takes all rows."""
        rows = self.batch_size
        return self.batches(first_step, Slice(0, rows, rows))


def _noise(size: int, key: tf.Tensor) -> tf.Tensor:
    """Standard normal float32 [size]; philox gives one stream everywhere."""
    return tf.random.stateless_normal([size], key, alg="philox")
