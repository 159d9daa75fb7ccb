"""Precision and recall of generated images (Kynkaanniemi et al. 2019)."""

from typing import NamedTuple

import numpy as np

from attngan_tf.evaluation.metrics.metric import POOLED, Metric, blocks, finite
from attngan_tf.runs.scores import Row, Value

NEIGHBOURS = 3  # k; Kynkaanniemi et al. 2019, arXiv:1904.06991
ROWS = 512  # features whose distances to all others are computed at once


class PrecisionRecall(NamedTuple):
    """Fractions in [0, 1]."""

    precision: float  # of generated images in the manifold of real ones
    recall: float  # of real images in the manifold of generated ones


def precision_recall(
    generated: np.ndarray, real: np.ndarray, neighbours: int = NEIGHBOURS
) -> PrecisionRecall:
    """Improved precision and recall (Eq. 1 and 2 of arXiv:1904.06991).

    The manifold of a set is the union of balls around its features, each with
    the distance to its k-th nearest other feature as radius.

    Time grows with (N + M)^2: twice 10,000 features of Inception-v3 take a
    few minutes on two cores.

    Args:
      generated: features [N, D].
      real: features [M, D].
      neighbours: k.

    Raises:
      ValueError: k or fewer features, or one is not finite.
    """
    generated, real = (finite(x).astype(np.float64) for x in (generated, real))
    return PrecisionRecall(
        _covered(generated, real, _radii(real, neighbours)),
        _covered(real, generated, _radii(generated, neighbours)),
    )


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[n, D], [m, D] -> [n, m]."""
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * (a @ b.T)
    return np.maximum(squares, 0.0)  # rounding may leave -1e-12


def _radii(features: np.ndarray, neighbours: int) -> np.ndarray:
    """Squared distance of each feature to its k-th nearest other one, [N]."""
    radii = np.empty(len(features))
    for rows in blocks(len(features), ROWS):
        squares = _squared_distances(features[rows], features)
        nearest = np.partition(squares, neighbours, axis=1)  # itself is first
        radii[rows] = nearest[:, neighbours]
    return radii


def _covered(features, centres, radii) -> float:
    """The fraction of features that lie in one of the balls."""
    inside = 0
    for rows in blocks(len(features), ROWS):
        squares = _squared_distances(features[rows], centres)
        inside += int((squares <= radii).any(axis=1).sum())
    return inside / len(features)


class PrecisionRecallMetric(Metric):
    """Precision and recall in percent, of pooled features.

    The real scores are those of the other split's real images.
    """

    needs = POOLED

    def rows(self, features):
        reference = self.evaluator.real[POOLED]
        precisions, recalls = [], []
        for x in self.evaluator.beside_real(features):
            precision, recall = precision_recall(x, reference)
            precisions.append(Value(100 * precision, len(x)))
            recalls.append(Value(100 * recall, len(x)))
        return [
            Row("precision", f"precision, k = {NEIGHBOURS}, %", *precisions),
            Row("recall", f"recall, k = {NEIGHBOURS}, %", *recalls),
        ]
