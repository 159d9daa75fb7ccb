"""What training reads again in every epoch, made once and kept in memory."""

import numpy as np
import tensorflow as tf

from attngan_tf.data import views
from attngan_tf.data.text import Vocabulary
from attngan_tf.data.views import Records


class Captions:
    """The captions of a split as word ids, and its classes.

    Args:
      records: the pictures and captions.
      vocabulary: gives the ids of words.
    """

    def __init__(self, records: Records, vocabulary: Vocabulary):
        ids, counts, classes = [], [0], []
        with tf.init_scope():  # may be built while a pipeline is traced
            for captions, class_id in records.labels():
                ids.append(vocabulary.known_ids(captions.flat_values))
                counts.extend(captions.row_lengths().numpy())
                classes.append(class_id)
            self._ids = tf.concat(ids, axis=0)  # [captions, words]
            self._first = tf.constant(np.cumsum(counts))
            self._classes = tf.concat(classes, axis=0)

    def class_id(self, index: tf.Tensor) -> tf.Tensor:
        """The class int64 [] of picture `index`."""
        return self._classes[index]

    def draw(self, index: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The ids int32 [words] of one of a picture's captions."""
        first, last = self._first[index], self._first[index + 1]
        return self._ids[
            tf.random.stateless_uniform([], seed, first, last, tf.int64)
        ]


class ScaledPictures:
    """Pictures scaled for random crops, decoded once.

    They stay arrays of NumPy, each as it came: a tensor of all would be made
    of a second copy, and would be copied once more.

    Args:
      records: the pictures.
      size: side of the crops.
    """

    def __init__(self, records: Records, size: int):
        with tf.init_scope():
            scaled = tf.data.Dataset.range(len(records)).map(
                lambda index: views.scale(records.pixels(index), size),
                num_parallel_calls=tf.data.AUTOTUNE,
            )
            self._pictures = list(scaled.as_numpy_iterator())

    def read(self, index: tf.Tensor) -> tf.Tensor:
        """A picture float32 [H, W, 3] in [0, 255], as `views.scale` gives."""
        picture = tf.numpy_function(
            lambda i: self._pictures[i], [index], tf.float32
        )
        return tf.ensure_shape(picture, [None, None, 3])
