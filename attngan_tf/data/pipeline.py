"""Prepared records to batches, by tf.data.

Every draw is stateless. Its key is (seed, number of the example), where
example `step * batch_size + position` is the same whatever was read before
and however many replicas share the batch.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from attngan_tf.data.text import Vocabulary

# Released code: pictures are scaled so that the shorter side has this share
# more pixels than the crop.
CROP_MARGIN = 76 / 64


class Records:
    """Random access to one split of a prepared data set."""

    def __init__(self, builder: tfds.core.DatasetBuilder, split: str):
        self._source = builder.as_data_source(
            split=split, decoders={"image": tfds.decode.SkipDecoding()}
        )

    def __len__(self) -> int:
        return len(self._source)

    def row(self, index: int) -> dict:
        """One record as numpy values; the image is still encoded bytes."""
        return self._source[int(index)]

    def class_ids(self) -> np.ndarray:
        """The class of every record, int64 [N]."""
        return np.array([self.row(i)["class_id"] for i in range(len(self))])

    def read(self, index: tf.Tensor) -> dict[str, tf.Tensor]:
        """A record, in a tf.data graph.

        Returns:
          image string [], crop int32 [4], captions string [captions],
          class_id int64 [].
        """

        def fetch(i):
            row = self.row(i)
            captions = np.array(list(row["captions"]), dtype=object)
            return row["image"], row["crop"], captions, row["class_id"]

        image, crop, captions, class_id = tf.numpy_function(
            fetch, [index], [tf.string, tf.int32, tf.string, tf.int64]
        )
        return {
            "image": tf.ensure_shape(image, []),
            "crop": tf.ensure_shape(crop, [4]),
            "captions": tf.ensure_shape(captions, [None]),
            "class_id": tf.ensure_shape(class_id, []),
        }


def decode(image: tf.Tensor, crop: tf.Tensor) -> tf.Tensor:
    """Encoded bytes -> uint8 [H, W, 3] inside `crop`.

    Args:
      image: JPEG or PNG bytes.
      crop: int32 [4]: top, left, height, width; all 0 for the whole picture.
    """
    has_crop = crop[2] > 0

    def part(pixels):
        top, left, height, width = tf.unstack(crop)
        return tf.cond(
            has_crop,
            lambda: pixels[top : top + height, left : left + width],
            lambda: pixels,
        )

    pixels = tf.cond(
        tf.logical_and(tf.io.is_jpeg(image), has_crop),
        lambda: tf.image.decode_and_crop_jpeg(image, crop, channels=3),
        lambda: part(
            tf.io.decode_image(image, channels=3, expand_animations=False)
        ),
    )
    return tf.ensure_shape(pixels, [None, None, 3])


def scale(pixels: tf.Tensor, size: int) -> tf.Tensor:
    """float32 picture in [0, 255] whose shorter side is size x 76/64."""
    H, W = tf.unstack(tf.cast(tf.shape(pixels)[:2], tf.float32))
    target = round(size * CROP_MARGIN)
    ratio = target / tf.minimum(H, W)
    shape = tf.cast(tf.round([H * ratio, W * ratio]), tf.int32)
    return tf.image.resize(pixels, shape, antialias=True)


def random_view(pixels: tf.Tensor, size: int, key: tf.Tensor) -> tf.Tensor:
    """A random crop [size, size, 3] of the scaled picture, maybe mirrored."""
    crop_key, flip_key = tf.unstack(tf.random.split(key, 2))
    view = tf.image.stateless_random_crop(
        scale(pixels, size), [size, size, 3], crop_key
    )
    return tf.image.stateless_random_flip_left_right(view, flip_key)


def centre_view(pixels: tf.Tensor, size: int) -> tf.Tensor:
    """The middle [size, size, 3] of the scaled picture."""
    return tf.image.resize_with_crop_or_pad(scale(pixels, size), size, size)


def normalize(view: tf.Tensor) -> tf.Tensor:
    """[0, 255] -> [-1, 1]."""
    return view / 127.5 - 1.0


def pyramid(view: tf.Tensor, sizes: tuple[int, ...]) -> dict[str, tf.Tensor]:
    """The view at each size, antialiased: images_S [S, S, 3] in [-1, 1]."""
    images = {}
    for size in sizes:
        smaller = view
        if view.shape[0] != size:
            smaller = tf.image.resize(view, [size, size], antialias=True)
        images[f"images_{size}"] = normalize(smaller)
    return images


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

    def example(self, number: tf.Tensor) -> dict[str, tf.Tensor]:
        """Example `number` int64 [] of the run."""
        key = tf.random.fold_in(
            tf.constant([self.seed, 0], tf.int64), tf.cast(number, tf.int64)
        )
        keys = tf.unstack(tf.random.split(key, 7))
        index = self.index(number)
        row = self.records.read(index)
        count = tf.size(row["captions"])
        chosen = tf.random.stateless_uniform([], keys[0], 0, count, tf.int32)
        token_ids, length = self.vocabulary.encode_subset(
            row["captions"][chosen], self.words_num, keys[1]
        )
        example = {
            "token_ids": token_ids,
            "lengths": length,
            "class_id": row["class_id"],
        }
        if self.views is not None:
            example["index"] = index
            example["view"] = tf.random.stateless_uniform(
                [], keys[2], 0, self.views, tf.int64
            )
        else:
            pixels = decode(row["image"], row["crop"])
            view = random_view(pixels, self.image_sizes[-1], keys[2])
            example |= pyramid(view, self.image_sizes)
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
        return _batched(
            steps.flat_map(numbers),
            self.example,
            part.rows_per_replica,
            drop_remainder=True,
        )

    def whole_batches(self, first_step: int = 0) -> tf.data.Dataset:
        """Batches for one device that takes all rows."""
        rows = self.batch_size
        return self.batches(first_step, Slice(0, rows, rows))


def _batched(
    numbers: tf.data.Dataset, example, size: int, drop_remainder: bool = False
) -> tf.data.Dataset:
    """Examples of numbers, made side by side, in batches, in order."""
    return (
        numbers.map(example, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(size, drop_remainder=drop_remainder)
        .prefetch(tf.data.AUTOTUNE)
    )


def _noise(size: int, key: tf.Tensor) -> tf.Tensor:
    """Standard normal float32 [size]; philox gives one stream everywhere."""
    return tf.random.stateless_normal([size], key, alg="philox")


def centre_views(
    records: Records,
    sizes: tuple[int, ...],
    batch_size: int,
    places: Sequence[int] | None = None,
) -> tf.data.Dataset:
    """Pictures once, in order: batches of images_S of their middles.

    Args:
      records: the pictures.
      sizes: sides of the pictures; each is reduced from the last.
      batch_size: pictures in a batch; the last may have fewer.
      places: which pictures; None: all.
    """

    def example(index):
        row = records.read(index)
        view = centre_view(decode(row["image"], row["crop"]), sizes[-1])
        return pyramid(view, sizes)

    indices = tf.data.Dataset.range(len(records))
    if places is not None:
        indices = tf.data.Dataset.from_tensor_slices(
            tf.constant(places, tf.int64)
        )
    return _batched(indices, example, batch_size)


def cached_views(
    records: Records,
    size: int,
    views: int,
    seed: int,
    batch_size: int,
    first_batch: int = 0,
) -> tf.data.Dataset:
    """V views of every picture, picture by picture: [B, size, size, 3]."""

    def example(number):
        key = tf.random.fold_in(tf.constant([seed, 1], tf.int64), number)
        row = records.read(number // views)
        pixels = decode(row["image"], row["crop"])
        return normalize(random_view(pixels, size, key))

    numbers = tf.data.Dataset.range(
        first_batch * batch_size, len(records) * views
    )
    return _batched(numbers, example, batch_size)
