"""What training reads again in every epoch, made once and kept in memory."""

import numpy as np
import tensorflow as tf

from attngan_tf.data import views
from attngan_tf.data.views import Records
from attngan_tf.data.vocabulary import Vocabulary


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

    A TensorArray holds each as it came, and gives it without a copy. One
    tensor of all would be copied when it is made.

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
            self._flow = _held(scaled, len(records))

    def read(self, index: tf.Tensor) -> tf.Tensor:
        """A picture, in a tf.data graph, as `views.scale` gives it.

        float32 [H, W, 3] in [0, 255].
        """
        pictures = tf.TensorArray(
            tf.float32, flow=self._flow, infer_shape=False
        )
        picture = pictures.read(tf.cast(index, tf.int32))
        return tf.ensure_shape(picture, [None, None, 3])


@tf.function(autograph=False)
def _held(scaled: tf.data.Dataset, count: int) -> tf.Tensor:
    """The flow of a TensorArray of so many pictures.

    In a loop each is added in place; `Dataset.reduce` copies the list.
    """
    iterator = iter(scaled)
    pictures = tf.TensorArray(
        tf.float32, count, infer_shape=False, element_shape=[None, None, 3]
    )
    _, pictures = tf.while_loop(
        lambda i, pictures: i < count,
        lambda i, pictures: (i + 1, pictures.write(i, next(iterator))),
        (0, pictures),
        parallel_iterations=1,  # in order
    )
    return pictures.flow
