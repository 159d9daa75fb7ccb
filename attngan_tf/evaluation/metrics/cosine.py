"""Functions shared by the metrics that compare cosines."""

import numpy as np

from attngan_tf.evaluation.metrics.metric import finite

# A caption encoded in two batches differs by about 1e-7 in cosine: captions
# that are closer than this count as equal.
TIE = 1e-6


def unit(features: np.ndarray) -> np.ndarray:
    """Rows [N, D] scaled to length 1, float32; rows of zeros stay zero.

    Raises:
      ValueError: a feature is not finite.
    """
    features = finite(features).astype(np.float32)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(length, np.finfo(np.float32).tiny)
