"""The kernel inception distance (Binkowski et al. 2018)."""

from typing import NamedTuple

import numpy as np

from attngan_tf.evaluation.metrics.metric import POOLED, Metric
from attngan_tf.runs.scores import Row, Value


class KernelDistance(NamedTuple):
    """Squared MMD: 0 for equal distributions, and by chance a bit below.

    One block has no spread: its std is None.
    """

    mean: float  # over the blocks
    std: float | None  # of the blocks' distances, divided by their number
    n: int


class RunningKernelDistance:
    """Unbiased squared MMD with kernel (x . y / D + 1)^3, in float64.

    The N generated features are cut in their order into ceil(N / block) parts
    whose sizes differ by 1 at most, so that no last part is small. The M real
    ones are cut so, too, but shuffled before (always the same way), since
    files lie sorted by class. Generated part k is compared with real part k
    modulo their number, by the unbiased estimate, and the score is the mean
    over generated parts. With N and M of `block` or fewer it is the estimate
    of all pairs.

    The order of generated features must tell nothing about them: of a stream
    sorted by class, each part lacks most classes, and the mean is too large.
    Replicas' features have to be gathered, in one order.

    Args:
      real: features [M, D], an array or a memory map; a part is read at a time.
      N: generated features there will be.
      block: largest part. Memory is some 4 block D numbers: 65 MB at D = 2048.

    Raises:
      ValueError: N or M below 2, `block` below 3, or `real` not [M, D].
    """

    def __init__(self, real: np.ndarray, N: int, block: int = 1000):
        if real.ndim != 2 or len(real) < 2:
            raise ValueError(
                "real features must be [M, D] with M of 2 or more. "
                f"Received: {real.shape}"
            )
        if N < 2 or block < 3:  # smaller ones leave parts of 1, without a pair
            raise ValueError(
                "N must be 2 or more, block 3 or more. "
                f"Received: {N} and {block}"
            )
        self.real = real
        self.edges = _edges(N, block)
        order = np.random.default_rng(0).permutation(len(real))
        self.real_parts = np.split(order, _edges(len(real), block)[1:-1])
        self.real_pairs: dict[int, float] = {}  # each part's mean, taken once
        self.waiting: list[np.ndarray] = []  # rows of the part not yet whole
        self.n = 0
        self.distances: list[float] = []

    def update(self, features: np.ndarray) -> None:
        """Adds the next generated features, [n, D]; n may be 0.

        Raises:
          ValueError: another shape, more than N in all, or a feature is not
            finite.
        """
        features = np.asarray(features)
        D, N = self.real.shape[1], self.edges[-1]
        if features.ndim != 2 or features.shape[1] != D:
            raise ValueError(
                f"features must be [n, D] with D = {D}. "
                f"Received: {features.shape}"
            )
        if self.n + len(features) > N:
            raise ValueError(
                f"there must be N = {N} features in all. "
                f"Received: {self.n + len(features)}"
            )
        while len(features):
            end = self.edges[len(self.distances) + 1]
            rows = features[: end - self.n]
            self.waiting.append(_finite(rows))
            self.n += len(rows)
            if self.n == end:
                self._compare(np.concatenate(self.waiting))
                self.waiting = []
            features = features[len(rows) :]

    def _compare(self, generated: np.ndarray) -> None:
        part = len(self.distances) % len(self.real_parts)
        real = _finite(self.real[np.sort(self.real_parts[part])])
        if part not in self.real_pairs:
            self.real_pairs[part] = _mean_of_pairs(real)
        across = _kernel(generated, real).mean()
        self.distances.append(
            _mean_of_pairs(generated) + self.real_pairs[part] - 2 * across
        )

    def score(self) -> KernelDistance:
        """The distance of all N.

        Raises:
          ValueError: some are missing.
        """
        if self.n != self.edges[-1]:
            raise ValueError(
                f"there must be N = {self.edges[-1]} features in all. "
                f"Received: {self.n}"
            )
        spread = float(np.std(self.distances))
        return KernelDistance(
            float(np.mean(self.distances)),
            spread if len(self.distances) > 1 else None,
            self.n,
        )


def _edges(count: int, block: int) -> np.ndarray:
    """Where parts of at most `block` of `count` rows begin and end."""
    parts = -(-count // block)
    return np.arange(parts + 1) * count // parts


def _finite(features: np.ndarray) -> np.ndarray:
    """A copy in float64."""
    rows = np.array(features, np.float64)
    if not np.isfinite(rows).all():
        raise ValueError("features must be finite. Received: NaN or infinity")
    return rows


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Of every pair, [n, m]."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def _mean_of_pairs(x: np.ndarray) -> float:
    """Mean kernel of two different rows: what makes the estimate unbiased."""
    values = _kernel(x, x)
    n = len(x)
    return float((values.sum() - np.trace(values)) / (n * (n - 1)))


class KidMetric(Metric):
    """The kernel inception distance; beside it, the other split's images'."""

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
