"""What training reads in every epoch, cached in memory."""

import numpy as np
import tensorflow as tf

from attngan_tf.data import views
from attngan_tf.data.views import Records
from attngan_tf.data.vocabulary import Vocabulary


class Captions:
    """The captions of a split as word ids, and its class ids.

    Args:
      records: the images and captions.
      vocabulary: maps words to ids.
    """

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
    tensor of all images would be copied when it is made.

    Args:
      records: the images.
      size: side of the crops.
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
