"""The Inception score (Salimans et al. 2016), as published figures take it."""

from typing import NamedTuple

import numpy as np

from attngan_tf.evaluation.metrics.metric import PROBABILITIES, Metric
from attngan_tf.runs.scores import Row, Value

ROWS = 1024  # probabilities taken to float64 at once: 8 MB at 1,000 classes
# Of a row's sum, by which the row is divided: float32 leaves 1e-6, bfloat16 up
# to 2^-9 of it.
SUM_TOLERANCE = 0.01


class InceptionScore(NamedTuple):
    """1 (all pictures alike) to the number of classes."""

    mean: float  # over the splits
    std: float  # of the splits' scores, divided by their number
    n: int


class RunningInceptionScore:
    """exp of the mean KL(p(y|x) || p(y)), of pictures a few at a time.

    The N pictures are cut in their order, as in the published code: split k
    holds rows k N // splits to (k + 1) N // splits. Of a split only sums are
    kept, in float64: those of p and of p log p give its score, since the mean
    KL is the mean of sum p log p less sum q log q of the mean q.

    Args:
      N: pictures there will be. The score grows with N / splits.
      K: classes.
      splits: parts that are scored apart; 10 in publications.

    Raises:
      ValueError: fewer pictures than splits.
    """

    def __init__(self, N: int, K: int, splits: int = 10):
        if not 1 <= splits <= N:
            raise ValueError(f"splits must be 1 to N = {N}. Received: {splits}")
        self.edges = np.arange(splits + 1) * N // splits
        self.counts = np.zeros(splits, np.int64)
        self.probabilities = np.zeros((splits, K))  # sums of p
        self.negentropies = np.zeros(splits)  # sums of sum p log p

    def update(self, first: int, probabilities: np.ndarray) -> None:
        """Adds p(y|x) of the pictures first, first + 1, ... of the N.

        Args:
          first: place of the first row among all N.
          probabilities: [n, K]; n may be 0.

        Raises:
          ValueError: another shape, places beyond N, or rows that are no
            probabilities: below 0, with a sum that is not 1, or NaN.
        """
        probabilities = np.asarray(probabilities)
        K, N = self.probabilities.shape[1], self.edges[-1]
        if probabilities.ndim != 2 or probabilities.shape[1] != K:
            raise ValueError(
                f"probabilities must be [n, K] with K = {K}. "
                f"Received: {probabilities.shape}"
            )
        if not 0 <= first <= N - len(probabilities):
            raise ValueError(
                f"rows must lie between 0 and N = {N}. Received: "
                f"{first} to {first + len(probabilities)}"
            )
        for split, end in enumerate(np.maximum(self.edges[1:] - first, 0)):
            start = max(self.edges[split] - first, 0)
            self._add(split, probabilities[start:end])

    def _add(self, split: int, probabilities: np.ndarray) -> None:
        for start in range(0, len(probabilities), ROWS):
            p = _whole(probabilities[start : start + ROWS].astype(np.float64))
            self.probabilities[split] += p.sum(axis=0)
            self.negentropies[split] += _negentropy(p)
            self.counts[split] += len(p)

    def score(self) -> InceptionScore:
        """The score of all N.

        Raises:
          ValueError: a row is missing, or was added twice.
        """
        N = int(self.edges[-1])
        wrong = self.counts - np.diff(self.edges)
        if wrong.any():
            split = int(np.flatnonzero(wrong)[0])
            raise ValueError(
                f"all N = {N} rows must be added once. Received: "
                f"{self.counts[split]} for {self.edges[split]} to "
                f"{self.edges[split + 1]}"
            )
        scores = [
            np.exp(negentropy / n - _negentropy(total / n))
            for n, total, negentropy in zip(
                self.counts, self.probabilities, self.negentropies, strict=True
            )
        ]
        return InceptionScore(float(np.mean(scores)), float(np.std(scores)), N)


def _negentropy(p: np.ndarray) -> float:
    """Sum of p log p, with 0 log 0 = 0."""
    return float(np.sum(p * np.log(np.where(p > 0, p, 1))))


def _whole(p: np.ndarray) -> np.ndarray:
    """Rows divided by their sums; ValueError if they are no probabilities."""
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
        self._first = 0

    @classmethod
    def missing(cls, config, extractor):
        if extractor is not None and extractor.classes is not None:
            return ""
        name = extractor.name if extractor else "the run's own image encoder"
        return (
            f"needs a backend that gives probabilities of classes; {name} "
            "gives none; name one by --backend, such as inception_v3"
        )

    def _running(self, N: int) -> RunningInceptionScore:
        classes = self.evaluator.extractor.classes
        splits = min(self.evaluator.splits, N)  # there may be few real images
        return RunningInceptionScore(N, classes, splits)

    def update(self, batch):
        self._score.update(self._first, batch[PROBABILITIES])
        self._first += len(batch[PROBABILITIES])

    def rows(self):
        probabilities = self.evaluator.real[PROBABILITIES]
        real = self._running(len(probabilities))
        real.update(0, probabilities)
        scores = self._score.score(), real.score()
        label = f"Inception score, {self.evaluator.splits} splits"
        values = [Value(x.mean, x.n, x.std) for x in scores]
        return [Row("inception_score", label, *values)]
