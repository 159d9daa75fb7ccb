"""The kernel inception distance (KID, Binkowski et al. 2018)."""

from typing import NamedTuple

import numpy as np

from attngan_tf.evaluation.metrics.metric import POOLED, Metric, finite
from attngan_tf.runs.scores import Row, Value


class KernelDistance(NamedTuple):
    """Squared MMD: 0 on average for equal distributions, so it can be negative.

    The std of a single block is None.
    """

    mean: float  # over the blocks
    std: float | None  # of the blocks' distances, divided by their number
    n: int


class RunningKernelDistance:
    """Unbiased squared MMD with kernel (x . y / D + 1)^3, in float64.

    The N generated features are split in their order into ceil(N / block)
    blocks whose sizes differ by at most 1, so that no block is small. The M
    real features are split in the same way after a fixed shuffle, since data
    sets are sorted by class. Generated block k is compared with real block k
    modulo their number, and the score is the mean over generated blocks. With
    N and M of `block` or fewer, it is the estimate over all pairs.

    Generated features must not be sorted by class: each block would lack most
    classes, and the score would be too large. Features of several replicas
    have to be gathered in one order.

    Args:
      real: features [M, D], an array or memory map; one block is read at once.
      N: the number of generated features.
      block: maximum size of a block. Memory is about 4 block D numbers: 65 MB
        at D = 2048.

    Raises:
      ValueError: N or M below 2, or `block` below 3.
    """

    def __init__(self, real: np.ndarray, N: int, block: int = 1000):
        if len(real) < 2 or N < 2 or block < 3:  # a block of 1 has no pairs
            raise ValueError(
                "N and M must be 2 or more, block 3 or more. "
                f"Received: {N}, {len(real)} and {block}"
            )
        self.real = real
        self.edges = _edges(N, block)
        order = np.random.default_rng(0).permutation(len(real))
        self.real_blocks = np.split(order, _edges(len(real), block)[1:-1])
        self.real_pairs: dict[int, float] = {}  # mean of each real block
        self.waiting: list[np.ndarray] = []  # rows of the incomplete block
        self.n = 0
        self.distances: list[float] = []

    def update(self, features: np.ndarray) -> None:
        """Adds the next generated features, [n, D].

        Raises:
          ValueError: another shape, more than N in total, or a feature is not
            finite.
        """
        features = finite(features)
        D, N = self.real.shape[1], self.edges[-1]
        if features.shape[1:] != (D,) or self.n + len(features) > N:
            raise ValueError(
                f"features must be [n, D] with D = {D}, N = {N} in total. "
                f"Received: {features.shape} after {self.n}"
            )
        while len(features):
            end = self.edges[len(self.distances) + 1]
            rows = features[: end - self.n]
            self.waiting.append(np.array(rows, np.float64))
            self.n += len(rows)
            if self.n == end:
                self._compare(np.concatenate(self.waiting))
                self.waiting = []
            features = features[len(rows) :]

    def _compare(self, generated: np.ndarray) -> None:
        k = len(self.distances) % len(self.real_blocks)
        real = self.real[np.sort(self.real_blocks[k])]
        real = finite(real).astype(np.float64)
        if k not in self.real_pairs:
            self.real_pairs[k] = _mean_of_pairs(real)
        across = _kernel(generated, real).mean()
        self.distances.append(
            _mean_of_pairs(generated) + self.real_pairs[k] - 2 * across
        )

    def score(self) -> KernelDistance:
        """The distance of all N.

        Raises:
          ValueError: some are missing.
        """
        if self.n != self.edges[-1]:
            raise ValueError(
                f"there must be N = {self.edges[-1]} features in total. "
                f"Received: {self.n}"
            )
        spread = float(np.std(self.distances))
        return KernelDistance(
            float(np.mean(self.distances)),
            spread if len(self.distances) > 1 else None,
            self.n,
        )


def _edges(count: int, block: int) -> np.ndarray:
    """The boundaries of blocks of at most `block` of `count` rows."""
    blocks = -(-count // block)
    return np.arange(blocks + 1) * count // blocks


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The kernel of every pair, [n, m]."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def _mean_of_pairs(x: np.ndarray) -> float:
    """Mean kernel of two different rows, for an unbiased estimate."""
    values = _kernel(x, x)
    n = len(x)
    return float((values.sum() - np.trace(values)) / (n * (n - 1)))


class KidMetric(Metric):
    """The KID; beside it, that of the other split's real images."""

    needs = frozenset({POOLED})

    def __init__(self, evaluator):
        super().__init__(evaluator)
        self._distance = self._running(self.count)

    def _running(self, N: int) -> RunningKernelDistance:
        return RunningKernelDistance(self.evaluator.real[POOLED], N)

    def update(self, batch):
        self._distance.update(batch[POOLED])

    def rows(self):
        distances = [self._distance]
        if self.evaluator.other_real:
            pooled = self.evaluator.other_real[POOLED]
            distances.append(self._running(len(pooled)))
            distances[-1].update(pooled)
        scores = [distance.score() for distance in distances]
        values = [Value(x.mean, x.n, x.std) for x in scores]
        return [Row("kid", "kernel inception distance (KID)", *values)]
