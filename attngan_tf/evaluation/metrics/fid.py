"""The Frechet inception distance (FID, Heusel et al. 2017)."""

from typing import NamedTuple

import numpy as np

from attngan_tf.evaluation.metrics.metric import POOLED, Metric, finite
from attngan_tf.runs.scores import Row, Value

ROWS = 1024  # features added at once: 17 MB of float64 at D = 2048
PUBLISHED_N = 30_000  # images behind a published FID
ENOUGH = 10  # images for each dimension; see `small_sample_warning`


class Statistics(NamedTuple):
    """A Gaussian fitted to n features."""

    mean: np.ndarray  # float64 [D]
    covariance: np.ndarray  # float64 [D, D], unbiased (divided by n - 1)
    n: int


class RunningMoments:
    """Mean and covariance of features that are added in batches, in float64.

    It accumulates sums of squares about the current mean, and updates them
    when the mean changes (Chan, Golub and LeVeque 1979). E[x^2] - E[x]^2 would
    lose spreads that are small compared to the mean. The size of the batches
    changes rounding only.

    Args:
      D: size of a feature. Memory is about 3 D^2 numbers, 117 MB at D = 2048.
    """

    def __init__(self, D: int):
        self.mean = np.zeros(D)
        self.scatter = np.zeros((D, D))  # sum of (x - mean)(x - mean)^T
        self.added = 0  # features in mean and scatter
        # Small batches are collected: each addition costs D^2 operations.
        self.waiting = np.empty((ROWS, D))
        self.number_waiting = 0

    @property
    def n(self) -> int:
        """The number of features so far."""
        return self.added + self.number_waiting

    def update(self, features: np.ndarray) -> None:
        """Adds features [n, D].

        Raises:
          ValueError: another shape, or a feature is not finite.
        """
        features = finite(features)
        if features.shape[1:] != self.mean.shape:
            raise ValueError(
                f"features must be [n, D] with D = {len(self.mean)}. "
                f"Received: {features.shape}"
            )
        while len(features):
            rows = features[: ROWS - self.number_waiting]
            end = self.number_waiting + len(rows)
            self.waiting[self.number_waiting : end] = rows
            self.number_waiting = end
            if end == ROWS:
                self._add_waiting()
            features = features[len(rows) :]

    def _add_waiting(self) -> None:
        rows, n = self.waiting[: self.number_waiting], self.number_waiting
        if not n:
            return
        mean = rows.mean(axis=0)
        rows -= mean
        total, shift = self.added + n, mean - self.mean
        self.scatter += rows.T @ rows
        self.scatter += np.outer(shift * (self.added * n / total), shift)
        self.mean += shift * (n / total)
        self.added, self.number_waiting = total, 0

    def statistics(self) -> Statistics:
        """The Gaussian of all features so far.

        Raises:
          ValueError: fewer than 2.
        """
        if self.n < 2:
            raise ValueError(
                f"a covariance needs 2 features or more. Received: {self.n}"
            )
        self._add_waiting()
        return Statistics(self.mean.copy(), self.scatter / (self.n - 1), self.n)


def statistics(features: np.ndarray) -> Statistics:
    """Fits a Gaussian to features [N, D]; raises as `RunningMoments` does."""
    moments = RunningMoments(features.shape[-1])
    moments.update(features)
    return moments.statistics()


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


def small_sample_warning(N: int, D: int) -> str | None:
    """A warning that an FID is biased by its small N; None if it is not.

    The FID between N features and many of the same Gaussian is D / 4N of their
    variance (the trace of their covariance). From N = 10 D on, that is below
    2.5 %. Published FIDs have N of 15 D: 30,000 for Inception's 2,048.

    Args:
      N: images of the smaller set.
      D: size of a feature.
    """
    if N >= ENOUGH * D:
        return None
    if N <= D:
        bias = ": with N of D or fewer, the covariance lacks full rank"
    else:
        bias = f" by about {25 * D / N:.0f} % of their variance (D / 4N)"
    return (
        f"the Frechet distance (FID) of N {N:,} images with D {D:,} features "
        f"is biased upwards{bias}; compare it with values of the same N only, "
        f"and generate {PUBLISHED_N:,} images to compare with published ones"
    )


class FidMetric(Metric):
    """The FID; beside it, that of the other split's real images."""

    needs = frozenset({POOLED})

    def __init__(self, evaluator):
        super().__init__(evaluator)
        self._moments = RunningMoments(evaluator.extractor.pooled_size)

    def update(self, batch):
        self._moments.update(batch[POOLED])

    def rows(self):
        reference = self.evaluator.once("fid", self._reference)
        sets = [self._moments.statistics()]
        if self.evaluator.other_real:
            sets.append(statistics(self.evaluator.other_real[POOLED]))
        values = [Value(frechet_distance(x, reference), x.n) for x in sets]
        return [Row("frechet", "Frechet distance (FID)", *values)]

    def _reference(self) -> Statistics:
        return statistics(self.evaluator.real[POOLED])
