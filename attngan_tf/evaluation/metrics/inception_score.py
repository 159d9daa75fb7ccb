"""The Inception score (Salimans et al. 2016), as in the published code."""

import numpy as np

from attngan_tf.evaluation.metrics.metric import PROBABILITIES, Metric
from attngan_tf.runs.scores import Row, Value

# By which a row's sum may differ from 1: rounding gives 1e-6 in float32, and
# up to 2^-9 in bfloat16.
SUM_TOLERANCE = 0.01


def inception_score(probabilities: np.ndarray, splits: int = 10) -> Value:
    """The exponential of the mean KL(p(y|x) || p(y)), in float64.

    It is between 1 (all images are alike) and the number of classes. The N
    images are split in their order, as in the published code: split k has rows
    k N // splits to (k + 1) N // splits. The score grows with N / splits.

    Args:
      probabilities: p(y|x), [N, K].
      splits: parts that are scored separately, 1 to N; 10 in publications.

    Returns:
      The mean over the splits, and their standard deviation (divided by their
      number).

    Raises:
      ValueError: rows are not probabilities: negative, with a sum that is not
        1, or NaN.
    """
    N = len(probabilities)
    scores = []
    for part in np.split(probabilities, np.arange(1, splits) * N // splits):
        p = _normalized(part.astype(np.float64))
        # The mean KL is the mean of sum p log p minus sum q log q of the
        # mean q.
        own, q = _negentropy(p) / len(p), p.mean(axis=0)
        scores.append(np.exp(own - _negentropy(q)))
    return Value(float(np.mean(scores)), N, float(np.std(scores)))


def _negentropy(p: np.ndarray) -> float:
    """Sum of p log p, with 0 log 0 = 0."""
    return float(np.sum(p * np.log(np.where(p > 0, p, 1))))


def _normalized(p: np.ndarray) -> np.ndarray:
    """Rows divided by their sums; ValueError if they are not probabilities."""
    rule = f"rows must be probabilities: 0 or more, of sum 1 +- {SUM_TOLERANCE}"
    if not p.min() >= 0:  # NaN as well
        raise ValueError(f"{rule}. Received: {p.min()}")
    sums = p.sum(axis=1, keepdims=True)
    worst = sums.flat[np.abs(sums - 1).argmax()]
    if not abs(worst - 1) <= SUM_TOLERANCE:
        raise ValueError(f"{rule}. Received: a sum of {worst:.6g}")
    return p / sums


class InceptionScoreMetric(Metric):
    """The Inception score, and that of the split's real images."""

    needs = PROBABILITIES

    @classmethod
    def missing(cls, config, extractor):
        if extractor is not None and extractor.classes is not None:
            return ""
        name = extractor.name if extractor else "the run's own image encoder"
        return (
            "needs a feature extractor that returns class probabilities; "
            f"{name} returns none; choose one with --backend, such as "
            "inception_v3"
        )

    def rows(self, features):
        splits = self.evaluator.splits
        values = [  # there may be fewer real images than splits
            inception_score(x, min(splits, len(x)))
            for x in (features, self.evaluator.real[PROBABILITIES])
        ]
        label = f"Inception score, {splits} splits"
        return [Row("inception_score", label, *values)]
