"""Batches of images that networks process, on all replicas."""

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from attngan_tf.sampling import to_uint8

BATCH = 50  # images processed at a time


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
