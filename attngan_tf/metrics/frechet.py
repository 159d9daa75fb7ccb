"""The Frechet distance between two sets of features (FID when Inception's)."""

from typing import NamedTuple

import numpy as np

ROWS = 1024  # features taken to float64 at once: 17 MB at D = 2048


class Statistics(NamedTuple):
    """A Gaussian fitted to n features."""

    mean: np.ndarray  # float64 [D]
    covariance: np.ndarray  # float64 [D, D], unbiased (divided by n - 1)
    n: int


def statistics(features: np.ndarray) -> Statistics:
    """Fits a Gaussian to features [N, D], in float64.

    Raises:
      ValueError: not [N, D] with N of 2 or more, or a feature is not finite.
    """
    features = np.asarray(features)
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(
            "features must be [N, D] with N of 2 or more. "
            f"Received: {features.shape}"
        )
    N, D = features.shape
    mean = features.mean(axis=0, dtype=np.float64)
    if not np.isfinite(mean).all():
        raise ValueError("features must be finite. Received: NaN or infinity")
    covariance = np.zeros((D, D))
    for start in range(0, N, ROWS):
        centred = features[start : start + ROWS] - mean  # float64
        covariance += centred.T @ centred
    return Statistics(mean, covariance / (N - 1), N)


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """||mean_a - mean_b||^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)).

    With C_a = A A^T and C_b = B B^T, the last trace is the sum of the singular
    values of A^T B. That needs no square root of a matrix that is not
    symmetric, and is exact for covariances of less than full rank (N < D),
    where other programs add a small multiple of the identity.

    The figure depends on N (it falls as N grows), and on the features.

    Raises:
      ValueError: the two have features of different sizes.
    """
    if a.mean.shape != b.mean.shape:
        raise ValueError(
            "both statistics must have the same D. "
            f"Received: {a.mean.shape} and {b.mean.shape}"
        )
    product = _factor(a.covariance).T @ _factor(b.covariance)
    overlap = np.linalg.svd(product, compute_uv=False).sum()
    shift = np.sum((a.mean - b.mean) ** 2)
    spread = np.trace(a.covariance) + np.trace(b.covariance) - 2 * overlap
    return max(float(shift + spread), 0.0)  # rounding can leave -1e-12


def _factor(covariance: np.ndarray) -> np.ndarray:
    """A [D, rank] with A A^T = covariance."""
    values, vectors = np.linalg.eigh(covariance)
    # numpy.linalg.matrix_rank's rule. Zeros come out as rounding of size
    # 1e-16, whose square roots, 1e-8 each, would add up.
    rounding = values.max() * len(values) * np.finfo(np.float64).eps
    kept = values > rounding
    return vectors[:, kept] * np.sqrt(values[kept])
