"""Pictures of captions and what networks say of them, on every replica."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from attngan_tf.sampling import to_uint8
from attngan_tf.text_to_image import TextToImage

BATCH = 50
Look = Callable[[tf.Tensor], Mapping[str, tf.Tensor]]


def as_stored(images: tf.Tensor) -> tf.Tensor:
    """Pictures float32 in [-1, 1] as a PNG holds them: of 256 values."""
    return tf.cast(to_uint8(images), tf.float32) / 127.5 - 1.0


def per_replica(
    strategy: tf.distribute.Strategy, function: Callable, rows: Mapping
) -> dict[str, np.ndarray]:
    """A function of rows, of which every replica computes its part.

    Args:
      strategy: of the replicas.
      function: a dict of tensors [b, ...] -> a dict of tensors [b, ...].
      rows: the dict for all B rows.

    Returns:
      The results for all B rows, in order.
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


class Drawing:
    """Draws pictures and looks at them.

    Args:
      model: draws.
      look: pictures float32 [b, H, W, 3] in [-1, 1] -> a dict of [b, ...].
      strategy: its replicas share each batch, and the networks were made in
        its scope; None: one device draws.
    """

    def __init__(
        self,
        model: TextToImage,
        look: Look,
        strategy: tf.distribute.Strategy | None = None,
    ):
        self.model = model
        self.look = look
        self.strategy = strategy or tf.distribute.get_strategy()
        self._part = tf.function(
            self._draw, reduce_retracing=True, autograph=False
        )

    def _draw(self, rows):
        outputs = self.model.from_features(rows, rows["seeds"])
        images = as_stored(outputs[self.model.last_images])
        return {"images": images, **self.look(images)}

    def batches(
        self,
        captions: Sequence[str],
        seeds: Sequence[int],
        progress: Callable[[Iterable[int]], Iterable[int]] = iter,
    ) -> Iterator[dict[str, np.ndarray]]:
        """Pictures of captions, and what is said of them, in order.

        Args:
          captions: N captions.
          seeds: N seeds.
          progress: wraps the iteration over batches, such as tqdm does.

        Yields:
          images float32 [b, H, W, 3] in [-1, 1], as they are stored, and the
          look's results.
        """
        for first in progress(range(0, len(captions), BATCH)):
            part = slice(first, first + BATCH)
            text = self.model.encode(tf.constant(list(captions[part])))
            rows = {**text, "seeds": tf.constant(list(seeds[part]), tf.int64)}
            yield per_replica(self.strategy, self._part, rows)
