"""Memory of scores of 30,000 images."""

import tracemalloc

import numpy as np
import pytest

from attngan_tf.evaluation.metrics.fid import RunningMoments
from attngan_tf.evaluation.metrics.inception_score import RunningInceptionScore
from attngan_tf.evaluation.metrics.kid import RunningKernelDistance

N, BATCH = 30_000, 250


def batch(D, seed=0):
    return np.random.default_rng(seed).random((BATCH, D), np.float32)


def moments(D):
    stream, rows = RunningMoments(D), batch(D)
    for _ in range(0, N, BATCH):
        stream.update(rows)
    return stream.statistics()


def inception_score(K):
    rows = batch(K)
    rows /= rows.sum(axis=1, keepdims=True)
    stream = RunningInceptionScore(N, K)
    for first in range(0, N, BATCH):
        stream.update(first, rows)
    return stream.score()


def kid(D):
    real = np.concatenate([batch(D, seed) for seed in (1, 2)])
    rows = batch(D)
    stream = RunningKernelDistance(real, N, block=500)
    for _ in range(0, N, BATCH):
        stream.update(rows)
    return stream.score()


@pytest.mark.parametrize(
    ("score", "size", "megabytes"),
    [
        (inception_score, 1008, 20),
        pytest.param(moments, 2048, 150, marks=pytest.mark.slow),
        pytest.param(kid, 2048, 60, marks=pytest.mark.slow),
    ],
)
def test_memory_does_not_hold_all_features(score, size, megabytes):
    # The features alone would be 246 MB, or 492 in float64.
    tracemalloc.start()
    try:
        assert score(size).n == N
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < megabytes * 1e6
