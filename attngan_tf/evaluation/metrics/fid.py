"""The Frechet inception distance (FID, Heusel et al. 2017)."""

from typing import NamedTuple

import numpy as np

from attngan_tf.evaluation.metrics.metric import POOLED, Metric, blocks, finite
from attngan_tf.runs.scores import Row, Value

ROWS = 1024  # features added at once: 17 MB of float64 at D = 2048
PUBLISHED_N = 30_000  # images behind a published FID
ENOUGH = 10  # images per dimension; see `small_sample_warning`


class Statistics(NamedTuple):
    """A Gaussian fitted to features."""

    mean: np.ndarray  # float64 [D]
    covariance: np.ndarray  # float64 [D, D], unbiased (divided by N - 1)


def statistics(features: np.ndarray) -> Statistics:
    """Fits a Gaussian to features [N, D], N of 2 or more, in float64.

    Squares are summed about the mean: E[x^2] - E[x]^2 would be inexact for
    variances that are small compared to the mean.

    Raises:
      ValueError: a feature is not finite.
    """
    features = finite(features)
    N, D = features.shape
    mean = features.mean(axis=0, dtype=np.float64)
    scatter = np.zeros((D, D))  # sum of (x - mean)(x - mean)^T
    for rows in blocks(N, ROWS):
        centred = features[rows] - mean
        scatter += centred.T @ centred
    return Statistics(mean, scatter / (N - 1))


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """||mean_a - mean_b||^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)).

    With C_a = A A^T and C_b = B B^T, the trace of the root is the sum of the
    singular values of A^T B. This avoids the square root of a matrix that is
    not symmetric, and is exact for covariances without full rank (N < D), to
    which other programs add a small multiple of the identity.

    The distance depends on the features, and falls as N grows.
    """
    product = _factor(a.covariance).T @ _factor(b.covariance)
    overlap = np.linalg.svd(product, compute_uv=False).sum()
    shift = np.sum((a.mean - b.mean) ** 2)
    spread = np.trace(a.covariance) + np.trace(b.covariance) - 2 * overlap
    return max(float(shift + spread), 0.0)  # rounding may leave -1e-12


def _factor(covariance: np.ndarray) -> np.ndarray:
    """A [D, rank] with A A^T = covariance."""
    values, vectors = np.linalg.eigh(covariance)
    # numpy.linalg.matrix_rank's rule. Eigenvalues of 0 are computed as 1e-16,
    # and the sum of their square roots, 1e-8 each, would be visible.
    rounding = values.max() * len(values) * np.finfo(np.float64).eps
    positive = values > rounding
    return vectors[:, positive] * np.sqrt(values[positive])


def small_sample_warning(N: int, D: int) -> str:
    """A warning that an FID is biased by its small N; "" if it is not.

    The FID between N features and many of the same Gaussian is D / 4N of their
    variance (the trace of their covariance): 2.5 % for N = 10 D.

    Args:
      N: images of the smaller set.
      D: size of a feature.
    """
    if N >= ENOUGH * D:
        return ""
    return (
        f"the FID is biased upwards, since the smaller set has only {N:,} "
        f"images for {D:,} features; compare it with values of as many images "
        f"only, and generate {PUBLISHED_N:,} to compare with published ones"
    )


class FidMetric(Metric):
    """The FID, and that of the other split's real images."""

    needs = POOLED

    def rows(self, features):
        reference = statistics(self.evaluator.real[POOLED])
        values = [
            Value(frechet_distance(statistics(x), reference), len(x))
            for x in self.evaluator.beside_real(features)
        ]
        return [Row("frechet", "Frechet inception distance (FID)", *values)]

    def warning(self):
        evaluator = self.evaluator
        N = min(self.count, len(evaluator.held_out.indices))
        warnings = [small_sample_warning(N, evaluator.extractor.pooled_size)]
        config = evaluator.model.config
        network = evaluator.extractor.provenance.get("network")
        if config.discriminator == "projected" and (
            evaluator.own_extractor or network == config.image_encoder
        ):
            warnings.append(
                "the FID compares features that the projected discriminator "
                "was trained on, so it is too favourable beside runs with "
                "other discriminators"
            )
        return "; ".join(filter(None, warnings))
