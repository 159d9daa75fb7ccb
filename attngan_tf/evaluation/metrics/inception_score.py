"""The Inception score (Salimans et al. 2016), as in the published code."""

import numpy as np

from attngan_tf.evaluation.metrics.metric import PROBABILITIES, Metric
from attngan_tf.runs.scores import Row, Value


def inception_score(probabilities: np.ndarray, splits: int = 10) -> Value:
    """The exponential of the mean KL(p(y|x) || p(y)), in float64.

    It is between 1 (all images are alike) and the number of classes. The N
    images are split in their order, as in the published code: split k has rows
    k N // splits to (k + 1) N // splits. The score grows with N / splits.

    Args:
      probabilities: p(y|x), [N, K]; rounded rows are divided by their sums.
      splits: parts that are scored separately, 1 to N; 10 in publications.

    Returns:
      The mean over the splits, and their standard deviation (divided by their
      number).
    """
    N = len(probabilities)
    scores = []
    for part in np.split(probabilities, np.arange(1, splits) * N // splits):
        p = part.astype(np.float64)
        p /= p.sum(axis=1, keepdims=True)
        # The mean KL is the mean of sum p log p minus sum q log q of the
        # mean q.
        own, q = _negentropy(p) / len(p), p.mean(axis=0)
        scores.append(np.exp(own - _negentropy(q)))
    return Value(float(np.mean(scores)), N, float(np.std(scores)))


def _negentropy(p: np.ndarray) -> float:
    """Sum of p log p, with 0 log 0 = 0."""
    return float(np.sum(p * np.log(np.where(p > 0, p, 1))))


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

    def conditions(self):
        return {"splits": self.evaluator.splits}
