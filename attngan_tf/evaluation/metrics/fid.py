"""The Frechet distance between two sets of features (FID when Inception's)."""

from typing import NamedTuple

import numpy as np

from attngan_tf.evaluation.metrics.metric import POOLED, Metric
from attngan_tf.runs.scores import Row, Value

ROWS = 1024  # features added at once: 17 MB of float64 at D = 2048
PUBLISHED_N = 30_000  # pictures behind a published distance
ENOUGH = 10  # pictures for each dimension; see `small_sample_warning`


class Statistics(NamedTuple):
    """A Gaussian fitted to n features."""

    mean: np.ndarray  # float64 [D]
    covariance: np.ndarray  # float64 [D, D], unbiased (divided by n - 1)
    n: int


class RunningMoments:
    """Mean and covariance of features that come a few at a time, in float64.

    Sums of squares about the mean so far are kept, and moved when the mean
    moves (Chan, Golub and LeVeque 1979): spreads that are small beside the
    mean survive, which E[x^2] - E[x]^2 would lose. In which parts features
    come changes rounding only.

    Args:
      D: size of a feature. Memory is about 3 D^2 numbers, 117 MB at D = 2048.
    """

    def __init__(self, D: int):
        self.mean = np.zeros(D)
        self.scatter = np.zeros((D, D))  # sum of (x - mean)(x - mean)^T
        self.added = 0  # features in mean and scatter
        # Small batches wait: each addition passes over D^2 numbers.
        self.waiting = np.empty((ROWS, D))
        self.number_waiting = 0

    @property
    def n(self) -> int:
        """Features so far."""
        return self.added + self.number_waiting

    def update(self, features: np.ndarray) -> None:
        """Adds features [n, D]; n may be 0.

        Raises:
          ValueError: another shape, or a feature is not finite.
        """
        features = np.asarray(features)
        D = len(self.mean)
        if features.ndim != 2 or features.shape[1] != D:
            raise ValueError(
                f"features must be [n, D] with D = {D}. "
                f"Received: {features.shape}"
            )
        while len(features):
            rows = features[: ROWS - self.number_waiting]
            if not np.isfinite(rows).all():
                raise ValueError(
                    "features must be finite. Received: NaN or infinity"
                )
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
    moments = RunningMoments(features.shape[1])
    moments.update(features)
    return moments.statistics()


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


def small_sample_warning(N: int, D: int) -> str | None:
    """One line where a Frechet distance says more of N than of the pictures.

    Features of one Gaussian, N of them against many, lie apart by D / 4N of
    their variance (the trace of their covariance). From 10 D on that is below
    2.5 %; published figures have N of 15 D: 30,000 for Inception's 2,048.

    Args:
      N: pictures of the smaller set.
      D: size of a feature.

    Returns:
      None where N is 10 D or more.
    """
    if N >= ENOUGH * D:
        return None
    if N <= D:
        much = ": N of D or fewer leave their covariance without full rank"
    else:
        much = f" by some {25 * D / N:.0f} % of their variance (D / 4N)"
    return (
        f"Frechet distance of N {N:,} pictures with D {D:,} features is biased "
        f"upwards{much}; compare it with figures of the same N only, and "
        f"draw {PUBLISHED_N:,} pictures to stand beside published ones"
    )


def _factor(covariance: np.ndarray) -> np.ndarray:
    """A [D, rank] with A A^T = covariance."""
    values, vectors = np.linalg.eigh(covariance)
    # numpy.linalg.matrix_rank's rule. Zeros come out as rounding of size
    # 1e-16, whose square roots, 1e-8 each, would add up.
    rounding = values.max() * len(values) * np.finfo(np.float64).eps
    kept = values > rounding
    return vectors[:, kept] * np.sqrt(values[kept])


class FidMetric(Metric):
    """The Frechet distance; beside it, that of the other split's images."""

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
