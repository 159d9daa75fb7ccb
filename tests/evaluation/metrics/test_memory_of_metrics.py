"""Memory of scores that are accumulated in batches."""

import tracemalloc

import numpy as np
import pytest

from attngan_tf.evaluation.metrics.fid import RunningMoments
from attngan_tf.evaluation.metrics.inception_score import RunningInceptionScore
from attngan_tf.evaluation.metrics.kid import RunningKernelDistance

N, BATCH, D = 10_000, 250, 500


@pytest.mark.parametrize(
    ("make", "megabytes"),
    [
        (lambda rows: RunningMoments(D), 15),
        (lambda rows: RunningInceptionScore(N, D), 6),
        (lambda rows: RunningKernelDistance(rows, N, block=BATCH), 8),
    ],
)
def test_memory_does_not_grow_with_the_number_of_images(make, megabytes):
    rows = np.random.default_rng(0).random((BATCH, D), np.float32)
    rows /= rows.sum(axis=1, keepdims=True)
    tracemalloc.start()
    try:
        score = make(rows)
        for _ in range(0, N, BATCH):
            score.update(rows)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert score.n == N
    assert peak < megabytes * 1e6  # all features are 20 MB in float32
