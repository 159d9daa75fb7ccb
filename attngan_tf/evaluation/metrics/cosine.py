"""What scores by cosine have in common."""

import numpy as np

# The same caption encoded in two batches differs by about 1e-7 in cosine:
# closer than this is the same caption.
TIE = 1e-6


def unit(features: np.ndarray) -> np.ndarray:
    """Rows [N, D] scaled to length 1, float32; a zero row stays zero."""
    features = np.asarray(features, np.float32)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(length, np.finfo(np.float32).tiny)
