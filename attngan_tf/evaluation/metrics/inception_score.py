"""The Inception score (Salimans et al. 2016), computed as published ones."""

from typing import NamedTuple

import numpy as np

from attngan_tf.evaluation.metrics.metric import PROBABILITIES, Metric
from attngan_tf.runs.scores import Row, Value

ROWS = 1024  # probabilities converted to float64 at once: 8 MB at K = 1000
# By which a row's sum may differ from 1: rounding gives 1e-6 in float32, and
# up to 2^-9 in bfloat16.
SUM_TOLERANCE = 0.01


class InceptionScore(NamedTuple):
    """From 1 (all images are alike) to the number of classes."""

    mean: float  # over the splits
    std: float  # of the splits' scores, divided by their number
    n: int


class RunningInceptionScore:
    """exp of the mean KL(p(y|x) || p(y)), of images added in batches.

    The N images are split in their order, as in the published code: split k
    has rows k N // splits to (k + 1) N // splits. Only sums of each split are
    stored, in float64: those of p and of p log p give its score, since the
    mean KL is the mean of sum p log p minus sum q log q of the mean q.

    Args:
      N: the number of images. The score grows with N / splits.
      K: the number of classes.
      splits: parts that are scored separately; 10 in publications.

    Raises:
      ValueError: fewer images than splits.
    """

    def __init__(self, N: int, K: int, splits: int = 10):
        if not 1 <= splits <= N:
            raise ValueError(f"splits must be 1 to N = {N}. Received: {splits}")
        self.edges = np.arange(splits + 1) * N // splits
        self.n = 0
        self.probabilities = np.zeros((splits, K))  # sums of p
        self.negentropies = np.zeros(splits)  # sums of sum p log p

    def update(self, probabilities: np.ndarray) -> None:
        """Adds p(y|x) of the next images, [n, K].

        Raises:
          ValueError: another shape, more than N in total, or rows that are not
            probabilities: negative, with a sum that is not 1, or NaN.
        """
        probabilities = np.asarray(probabilities)
        K, N = self.probabilities.shape[1], self.edges[-1]
        if probabilities.shape[1:] != (K,) or self.n + len(probabilities) > N:
            raise ValueError(
                f"probabilities must be [n, K] with K = {K}, N = {N} in total. "
                f"Received: {probabilities.shape} after {self.n}"
            )
        for split, end in enumerate(np.maximum(self.edges[1:] - self.n, 0)):
            start = max(self.edges[split] - self.n, 0)
            self._add(split, probabilities[start:end])
        self.n += len(probabilities)

    def _add(self, split: int, probabilities: np.ndarray) -> None:
        for start in range(0, len(probabilities), ROWS):
            rows = probabilities[start : start + ROWS].astype(np.float64)
            p = _normalized(rows)
            self.probabilities[split] += p.sum(axis=0)
            self.negentropies[split] += _negentropy(p)

    def score(self) -> InceptionScore:
        """The score of all N.

        Raises:
          ValueError: some are missing.
        """
        N = int(self.edges[-1])
        if self.n != N:
            raise ValueError(
                f"there must be N = {N} rows in total. Received: {self.n}"
            )
        scores = [
            np.exp(negentropy / n - _negentropy(total / n))
            for n, total, negentropy in zip(
                np.diff(self.edges),
                self.probabilities,
                self.negentropies,
                strict=True,
            )
        ]
        return InceptionScore(float(np.mean(scores)), float(np.std(scores)), N)


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
    """The Inception score; beside it, that of the split's real images."""

    needs = frozenset({PROBABILITIES})

    def __init__(self, evaluator):
        super().__init__(evaluator)
        self._score = self._running(self.count)

    @classmethod
    def missing(cls, config, extractor):
        if extractor is not None and extractor.classes is not None:
            return ""
        name = extractor.name if extractor else "the run's own image encoder"
        return (
            "needs a feature extractor that returns class probabilities; "
            f"{name} returns none; choose one by --backend, such as "
            "inception_v3"
        )

    def _running(self, N: int) -> RunningInceptionScore:
        classes = self.evaluator.extractor.classes
        splits = min(self.evaluator.splits, N)  # there may be few real images
        return RunningInceptionScore(N, classes, splits)

    def update(self, batch):
        self._score.update(batch[PROBABILITIES])

    def rows(self):
        probabilities = self.evaluator.real[PROBABILITIES]
        real = self._running(len(probabilities))
        real.update(probabilities)
        scores = self._score.score(), real.score()
        label = f"Inception score, {self.evaluator.splits} splits"
        values = [Value(x.mean, x.n, x.std) for x in scores]
        return [Row("inception_score", label, *values)]
