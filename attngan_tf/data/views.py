"""From records to images: decoding, scaling, cropping, sizes of stages."""

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from attngan_tf.data import images
from attngan_tf.errors import UserError

# Released code: the shorter side of a scaled image is longer than the crop by
# this factor.
CROP_MARGIN = 76 / 64
# Version of `decode` and `scale`, for the keys of what is cached from pixels.
PIXELS = 2
_CHANGED = "prepared data must stay as it is while it is read"
_ROWS = 256  # read at once; one by one takes twenty times as long


@contextlib.contextmanager
def changes_as_user_errors() -> Iterator[None]:
    """Restores a UserError of `Records` that passed through tf.data."""
    try:
        yield
    except tf.errors.OpError as error:
        found = re.search(f"{_CHANGED}.*", error.message)
        if found is None:
            raise
        raise UserError(found[0]) from None


class Records:
    """Random access to one split of a prepared data set.

    Reading raises UserError if a file has changed since it was opened and
    verified.
    """

    def __init__(self, builder: tfds.core.DatasetBuilder, split: str):
        self.split = split
        self._folder = builder.data_dir
        self._features = builder.info.features
        self._source = builder.as_data_source(
            split=split,
            deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES,
        )

    def __len__(self) -> int:
        return len(self._source)

    def _stored(self, read: Callable, indices: int | Sequence[int]):
        """What `read` returns for indices: records as they are stored."""
        try:
            found = read(indices)
        except (RuntimeError, ValueError, OSError) as error:  # array_record's
            reason = (str(error) or "an error").splitlines()[0]
        else:
            if all(found):
                return found
            reason = "an empty record"  # the file was truncated
        raise UserError(
            f"{_CHANGED}; reading {self._folder} failed: {reason}; to verify "
            "it, run python -m attngan_tf.prepare with the same flags"
        )

    def _batches(self, indices: Sequence[int]) -> Iterator[list[bytes]]:
        """The stored records at some indices, a few at once."""
        for first in range(0, len(indices), _ROWS):
            part = [int(index) for index in indices[first : first + _ROWS]]
            yield self._stored(self._source.__getitems__, part)

    def row(self, index: int) -> dict:
        """One record as numpy values; the image is still encoded bytes."""
        (stored,) = self._stored(lambda i: [self._source[i]], int(index))
        return self._features.deserialize_example_np(
            stored, decoders={"image": tfds.decode.SkipDecoding()}
        )

    def labels(self) -> Iterator[tuple[tf.RaggedTensor, tf.Tensor]]:
        """Batches of all records without their images, in order.

        Yields:
          Captions, string [R, captions], and class_id int64 [R].
        """
        wanted = {
            "captions": tf.io.RaggedFeature(tf.string),
            "class_id": tf.io.FixedLenFeature([], tf.int64),
        }
        # TFDS 4.9.9 and 4.9.10 store tf.train.Examples; setup.py requires a
        # version below 4.10.
        for stored in self._batches(range(len(self))):
            found = tf.io.parse_example(stored, wanted)
            yield found["captions"], found["class_id"]

    def digest(self, indices: Sequence[int]) -> str:
        """The SHA-256 of the records at some indices, and of PIXELS."""
        total = hashlib.sha256(bytes([PIXELS]))
        for stored in self._batches(indices):
            for record in stored:
                total.update(hashlib.sha256(record).digest())
        return total.hexdigest()

    def content(self) -> dict[str, str]:
        """SHA-256 of all names, images and captions, in the order of names."""
        wanted = {
            "name": tf.io.FixedLenFeature([], tf.string),
            "image": tf.io.FixedLenFeature([], tf.string),
            "captions": tf.io.RaggedFeature(tf.string),
        }
        rows = []
        for stored in self._batches(range(len(self))):
            found = tf.io.parse_example(stored, wanted)
            images = [hashlib.sha256(x) for x in found["image"].numpy()]
            captions = [
                hashlib.sha256(b"\n".join(x)) for x in found["captions"].numpy()
            ]
            names = found["name"].numpy()
            rows.extend(zip(names, images, captions, strict=True))
        rows.sort(key=lambda row: row[0])
        names, images, captions = zip(*rows, strict=True)
        return {
            "names": hashlib.sha256(b"\n".join(names)).hexdigest(),
            "images": _joint_digest(images),
            "captions": _joint_digest(captions),
        }

    def class_ids(self) -> np.ndarray:
        """The class id of every record, int64 [N]."""
        return np.concatenate([ids for _, ids in self.labels()])

    def pixels(self, index: tf.Tensor) -> tf.Tensor:
        """Reads an image in a tf.data graph: uint8 [H, W, 3], cropped."""

        def fetch(i):
            row = self.row(i)
            return row["image"], row["crop"]

        image, crop = tf.numpy_function(fetch, [index], [tf.string, tf.int32])
        pixels = decode(tf.ensure_shape(image, []), tf.ensure_shape(crop, [4]))
        return tf.ensure_shape(pixels, [None, None, 3])


def _joint_digest(digests) -> str:
    joined = b"".join(digest.digest() for digest in digests)
    return hashlib.sha256(joined).hexdigest()


def decode(image: tf.Tensor, crop: tf.Tensor) -> tf.Tensor:
    """JPEG or PNG bytes -> uint8 [H, W, 3] inside a `records.Crop`."""
    top, left, height, width = tf.unstack(crop)
    has_crop = height > 0

    def part_of_all():
        pixels = images.decode(image)
        H, W = tf.unstack(tf.shape(pixels)[:2])
        bottom = tf.where(has_crop, top + height, H)
        right = tf.where(has_crop, left + width, W)
        return pixels[top:bottom, left:right]

    return tf.cond(
        tf.logical_and(tf.io.is_jpeg(image), has_crop),
        lambda: images.decode(image, crop),
        part_of_all,
    )


def scale(pixels: tf.Tensor, size: int) -> tf.Tensor:
    """Resizes: float32 in [0, 255], the shorter side is size x 76/64.

    The longer side is truncated to an integer, as in the released code.
    """
    sides = tf.shape(pixels)[:2]
    shape = sides * round(size * CROP_MARGIN) // tf.reduce_min(sides)
    return tf.image.resize(pixels, shape, antialias=True)


def scaled_bytes(count: int, size: int) -> int:
    """Bytes of memory that `count` scaled images take if they are square."""
    return count * 3 * 4 * round(size * CROP_MARGIN) ** 2


def random_view(scaled: tf.Tensor, size: int, key: tf.Tensor) -> tf.Tensor:
    """A random crop [size, size, 3] of a scaled image, mirrored at random."""
    crop_key, flip_key = tf.unstack(tf.random.split(key, 2))
    view = tf.image.stateless_random_crop(scaled, [size, size, 3], crop_key)
    return tf.image.stateless_random_flip_left_right(view, flip_key)


def centre_view(pixels: tf.Tensor, size: int) -> tf.Tensor:
    """Scales an image, and returns its centre: float32 [size, size, 3]."""
    return tf.image.resize_with_crop_or_pad(scale(pixels, size), size, size)


def normalize(view: tf.Tensor) -> tf.Tensor:
    """[0, 255] -> [-1, 1]."""
    return view / 127.5 - 1.0


def pyramid(view: tf.Tensor, sizes: tuple[int, ...]) -> dict[str, tf.Tensor]:
    """The view at each size, antialiased: images_S [S, S, 3] in [-1, 1]."""
    found = {}
    for size in sizes:
        smaller = view
        if view.shape[0] != size:
            smaller = tf.image.resize(view, [size, size], antialias=True)
        found[f"images_{size}"] = normalize(smaller)
    return found


def batched(
    numbers: tf.data.Dataset, example, size: int, drop_remainder: bool = False
) -> tf.data.Dataset:
    """Batches of `example(number)`, in order, computed in parallel."""
    example = tf.autograph.experimental.do_not_convert(example)
    return (
        numbers.map(example, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(size, drop_remainder=drop_remainder)
        .prefetch(tf.data.AUTOTUNE)
    )


def centre_views(
    records: Records,
    sizes: tuple[int, ...],
    batch_size: int,
    indices: Sequence[int] | None = None,
) -> tf.data.Dataset:
    """The centres of all images, or those at `indices`, in order.

    Returns:
      Batches of images_S for each size S; the last may have fewer rows.
    """

    def example(index):
        view = centre_view(records.pixels(index), sizes[-1])
        return pyramid(view, sizes)

    numbers = range(len(records)) if indices is None else indices
    numbers = tf.data.Dataset.from_tensor_slices(np.array(numbers, np.int64))
    return batched(numbers, example, batch_size)


def cached_views(
    records: Records,
    size: int,
    views: int,
    seed: int,
    batch_size: int,
    first_batch: int = 0,
) -> tf.data.Dataset:
    """A number of random views of every image, image by image.

    Returns:
      Batches float32 [B, size, size, 3] in [-1, 1], from `first_batch` on.
    """

    def example(number):
        key = tf.random.fold_in(tf.constant([seed, 1], tf.int64), number)
        scaled = scale(records.pixels(number // views), size)
        return normalize(random_view(scaled, size, key))

    numbers = tf.data.Dataset.range(
        first_batch * batch_size, len(records) * views
    )
    return batched(numbers, example, batch_size)
