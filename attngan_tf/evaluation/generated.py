"""Generates images and computes their features, on all replicas."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from attngan_tf.sampling import to_uint8
from attngan_tf.text_to_image import TextToImage

BATCH = 50  # images generated at a time
Features = Callable[[tf.Tensor], Mapping[str, tf.Tensor]]


def as_stored(images: tf.Tensor) -> tf.Tensor:
    """Images float32 in [-1, 1], rounded to 8 bits as in a PNG file."""
    return tf.cast(to_uint8(images), tf.float32) / 127.5 - 1.0


def per_replica(
    strategy: tf.distribute.Strategy, function: Callable, rows: Mapping
) -> dict[str, np.ndarray]:
    """Applies a function to rows, which the replicas share.

    Args:
      strategy: has the replicas.
      function: a dict of tensors [b, ...] -> a dict of tensors [b, ...].
      rows: its argument, of B rows.

    Returns:
      The function's results for all B rows, in order.
    """
    R = strategy.num_replicas_in_sync
    count = len(next(iter(rows.values())))
    each = -(-count // R)
    padded = np.minimum(np.arange(R * each), count - 1)
    rows = {name: tf.gather(value, padded) for name, value in rows.items()}

    def part(context):
        first = context.replica_id_in_sync_group * each
        return {k: v[first : first + each] for k, v in rows.items()}

    parts = strategy.experimental_distribute_values_from_function(part)
    found = strategy.run(function, args=(parts,))
    return {
        name: np.concatenate(
            [x.numpy() for x in strategy.experimental_local_results(value)]
        )[:count]
        for name, value in found.items()
    }


class ImageGeneration:
    """Generates images and computes their features.

    Args:
      model: generates the images.
      features: images float32 [b, H, W, 3] in [-1, 1] -> a dict of [b, ...].
      strategy: its replicas share each batch; the networks were built in its
        scope. None: one device.
    """

    def __init__(
        self,
        model: TextToImage,
        features: Features,
        strategy: tf.distribute.Strategy | None = None,
    ):
        self.model = model
        self.features = features
        self.strategy = strategy or tf.distribute.get_strategy()
        self._part = tf.function(
            self._generate, reduce_retracing=True, autograph=False
        )

    def _generate(self, rows):
        outputs = self.model.from_features(rows, rows["seeds"])
        images = as_stored(outputs[self.model.last_images])
        return {"images": images, **self.features(images)}

    def batches(
        self,
        captions: Sequence[str],
        seeds: Sequence[int],
        progress: Callable[[Iterable[int]], Iterable[int]] = iter,
    ) -> Iterator[dict[str, np.ndarray]]:
        """Images of captions and their features, in order.

        Args:
          captions: N captions.
          seeds: N seeds.
          progress: wraps the iteration over batches, as tqdm does.

        Yields:
          images float32 [b, H, W, 3] in [-1, 1], rounded to 8 bits, and the
          features.
        """
        for first in progress(range(0, len(captions), BATCH)):
            part = slice(first, first + BATCH)
            text = self.model.encode(tf.constant(list(captions[part])))
            rows = {**text, "seeds": tf.constant(list(seeds[part]), tf.int64)}
            yield per_replica(self.strategy, self._part, rows)
