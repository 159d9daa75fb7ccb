"""Features of real images, which generated ones are compared with."""

import numpy as np
import tensorflow as tf

from attngan_tf.evaluation.cache import cached
from attngan_tf.evaluation.features.extractor import FeatureExtractor
from attngan_tf.evaluation.generated import per_replica
from attngan_tf.evaluation.held_out import HeldOut


def real_features(
    extractor: FeatureExtractor,
    held_out: HeldOut,
    size: int,
    folder: str | None,
    strategy: tf.distribute.Strategy,
) -> dict[str, np.ndarray]:
    """Features of held-out images that are reduced to a size.

    Args:
      extractor: extracts the features.
      held_out: the images.
      size: side of the generated images they are compared with.
      folder: folder of the prepared data, in which the features are cached;
        None: they are not cached.
      strategy: its replicas share each batch.

    Returns:
      pooled float32 [N, C], probabilities float32 [N, K], or both, as the
      extractor returns them.
    """

    def compute():
        extract = tf.function(
            lambda rows: extractor.features(rows["images"]),
            reduce_retracing=True,
            autograph=False,
        )
        found = [
            per_replica(strategy, extract, {"images": images})
            for images in held_out.images(size)
        ]
        return {
            name: np.concatenate([x[name] for x in found]) for name in names
        }

    names = extractor.outputs
    if folder is None:
        return compute()
    records = held_out.records.digest(held_out.indices)
    state = extractor.provenance, extractor.size, size, records
    return cached(folder, state, names, compute)
