"""The kernel inception distance (KID, Binkowski et al. 2018)."""

import numpy as np

from attngan_tf.evaluation.metrics.metric import POOLED, Metric, finite
from attngan_tf.runs.scores import Row, Value


def kernel_distance(
    generated: np.ndarray, real: np.ndarray, block: int = 1000
) -> Value:
    """Unbiased squared MMD with kernel (x . y / D + 1)^3, in float64.

    The N generated features are split in their order into ceil(N / block)
    blocks whose sizes differ by at most 1, so that no block is small. The M
    real features are split in the same way after a fixed shuffle, since data
    sets are sorted by class. Generated block k is compared with real block k
    modulo their number. With N and M of `block` or fewer, the result is the
    estimate over all pairs.

    Generated features must not be sorted by class: each block would lack most
    classes, and the score would be too large.

    Args:
      generated: features [N, D], N of 2 or more.
      real: features [M, D], M of 2 or more.
      block: maximum size of a block, 3 or more.

    Returns:
      The mean over the generated blocks: 0 on average for equal distributions,
      so it can be negative. The standard deviation is that of the blocks'
      distances, divided by their number; that of a single block is None.

    Raises:
      ValueError: a feature is not finite.
    """
    generated, real = finite(generated), finite(real)
    order = np.random.default_rng(0).permutation(len(real))
    real_blocks = np.split(order, _edges(len(real), block))
    distances = []
    for k, x in enumerate(np.split(generated, _edges(len(generated), block))):
        y = real[np.sort(real_blocks[k % len(real_blocks)])]
        x, y = x.astype(np.float64), y.astype(np.float64)
        across = _kernel(x, y).mean()
        distances.append(_mean_of_pairs(x) + _mean_of_pairs(y) - 2 * across)
    std = float(np.std(distances)) if len(distances) > 1 else None
    return Value(float(np.mean(distances)), len(generated), std)


def _edges(count: int, block: int) -> np.ndarray:
    """The inner boundaries of blocks of at most `block` of `count` rows."""
    blocks = -(-count // block)
    return np.arange(1, blocks) * count // blocks


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The kernel of every pair, [n, m]."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def _mean_of_pairs(x: np.ndarray) -> float:
    """Mean kernel of two different rows, for an unbiased estimate."""
    values = _kernel(x, x)
    n = len(x)
    return float((values.sum() - np.trace(values)) / (n * (n - 1)))


class KidMetric(Metric):
    """The KID, and that of the other split's real images."""

    needs = POOLED

    def rows(self, features):
        reference = self.evaluator.real[POOLED]
        sets = self.evaluator.beside_real(features)
        values = [kernel_distance(x, reference) for x in sets]
        return [Row("kid", "kernel inception distance (KID)", *values)]
