"""Training batches of prepared records, as tf.data pipelines.

All random numbers are stateless, keyed by (seed, number of the example). Row
`r` of a step's batch is example `step * batch_size + r`, independent of what
was read before and of the number of replicas.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from attngan_tf.data import views, vocabulary
from attngan_tf.data.views import Records
from attngan_tf.data.vocabulary import Vocabulary


class Captions:
    """The captions of a split as word ids, and its class ids."""

    def __init__(self, records: Records, vocabulary: Vocabulary):
        ids, counts, classes = [], [0], []
        with tf.init_scope():  # it may be built while a pipeline is traced
            for captions, class_id in records.labels():
                ids.append(vocabulary.known_ids(captions.flat_values))
                counts.extend(captions.row_lengths().numpy())
                classes.append(class_id)
            self._ids = tf.concat(ids, axis=0)  # [captions, words]
            self._first = tf.constant(np.cumsum(counts))
            self._classes = tf.concat(classes, axis=0)

    def class_id(self, index: tf.Tensor) -> tf.Tensor:
        """The class id int64 [] of image `index`."""
        return self._classes[index]

    def sample(self, index: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The ids int32 [words] of one of an image's captions."""
        first, last = self._first[index], self._first[index + 1]
        return self._ids[
            tf.random.stateless_uniform([], seed, first, last, tf.int64)
        ]


class ScaledImages:
    """Images scaled for random crops, decoded once.

    A TensorArray holds each image and returns it without a copy; a single
    tensor of all images would be copied when it is created. `size` is the side
    of the crops.
    """

    def __init__(self, records: Records, size: int):
        with tf.init_scope():
            scaled = tf.data.Dataset.range(len(records)).map(
                lambda index: views.scale(records.pixels(index), size),
                num_parallel_calls=tf.data.AUTOTUNE,
            )
            self._flow = _fill(scaled, len(records))

    def read(self, index: tf.Tensor) -> tf.Tensor:
        """An image in a tf.data graph: float32 [H, W, 3] in [0, 255]."""
        images = tf.TensorArray(tf.float32, flow=self._flow, infer_shape=False)
        image = images.read(tf.cast(index, tf.int32))
        return tf.ensure_shape(image, [None, None, 3])


@tf.function(autograph=False)
def _fill(scaled: tf.data.Dataset, count: int) -> tf.Tensor:
    """The flow of a TensorArray of all images.

    A loop adds each in place; `Dataset.reduce` would copy the list.
    """
    iterator = iter(scaled)
    images = tf.TensorArray(
        tf.float32, count, infer_shape=False, element_shape=[None, None, 3]
    )
    _, images = tf.while_loop(
        lambda i, images: i < count,
        lambda i, images: (i + 1, images.write(i, next(iterator))),
        (0, images),
        parallel_iterations=1,  # in order
    )
    return images.flow


class Slice(NamedTuple):
    """The rows of every global batch that one worker reads."""

    first: int  # index in the global batch
    rows: int
    rows_per_replica: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingData:
    """Endless shuffled training batches that can start at any step.

    Attributes:
      records: the images and captions.
      vocabulary: maps words to ids.
      words_num: T.
      image_sizes: sides of the images, the largest last.
      batch_size: rows of the global batch.
      seed: seed of the shuffling and of all other random numbers.
      z_size: size of the noise z; 0: batches hold no noise.
      condition_size: size of the noise eps.
      dropout_size: uniform numbers for each word's dropout; 0: none.
      augmentation_draws: uniform numbers for the augmentation of a real
        image, and as many for a generated one; 0: none.
      memory_mb: scaled images are cached in memory if they take at most about
        this many MB; otherwise each is decoded whenever it is needed.
      views: None: batches hold images. V: instead of images, they hold `index`
        int64 [B], and `view` int64 [B] in [0, V).
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
        """Whole batches in a number of epochs."""
        return epochs * len(self.records) // self.batch_size

    @property
    def steps_per_epoch(self) -> float:
        """Batches in an epoch, usually not a whole number."""
        return len(self.records) / self.batch_size

    def epoch(self, step: int) -> int:
        """Whole epochs done after a number of steps."""
        return step * self.batch_size // len(self.records)

    def index(self, number: tf.Tensor) -> tf.Tensor:
        """The record of example `number`; each epoch has its own order."""
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
        """Maps an index to the scaled image float32 [H, W, 3]."""
        size = self.image_sizes[-1]
        if views.scaled_bytes(len(self.records), size) <= self.memory_mb * 1e6:
            return ScaledImages(self.records, size).read
        return lambda index: views.scale(self.records.pixels(index), size)

    def example(self, number: tf.Tensor) -> dict[str, tf.Tensor]:
        """Example `number`, int64 [], of the run.

        Returns:
          token_ids int32 [T], lengths int32 [], class_id int64 []; images_S
          float32 [S, S, 3] in [-1, 1], or index and view; and those of z, eps,
          dropout_draws and augmentation whose sizes are not 0.
        """
        key = tf.random.fold_in(
            tf.constant([self.seed, 0], tf.int64), tf.cast(number, tf.int64)
        )
        keys = tf.unstack(tf.random.split(key, 7))
        index = self.index(number)
        token_ids, length = vocabulary.sample_words(
            self._captions.sample(index, keys[0]), self.words_num, keys[1]
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
        """Endless per-replica batches from `first_step` on."""

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
