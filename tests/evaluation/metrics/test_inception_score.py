"""The Inception score, against scipy's relative entropy and known cases."""

import numpy as np
import pytest
import scipy.special

from attngan_tf.evaluation.metrics.inception_score import inception_score


def probabilities(N, K, seed=0):
    logits = 3 * np.random.default_rng(seed).normal(size=(N, K))
    return scipy.special.softmax(logits, axis=1)


def split_scores(rows, splits):
    """Each split's score, from the definition; splits as published."""
    N = len(rows)
    scores = []
    for k in range(splits):
        part = rows[k * N // splits : (k + 1) * N // splits]
        divergence = scipy.special.rel_entr(part, part.mean(axis=0))
        scores.append(np.exp(divergence.sum(axis=1).mean()))
    return scores


@pytest.mark.parametrize("splits", [1, 10])
def test_equals_scipys_relative_entropy(splits):
    rows = probabilities(103, 20)  # 10 splits of 10 and 11 rows
    expected = split_scores(rows, splits)
    score = inception_score(rows, splits)
    assert score.mean == pytest.approx(np.mean(expected), rel=1e-12)
    assert score.std == pytest.approx(np.std(expected), rel=1e-9)
    assert score.n == 103


def test_extremes():
    # Certain and even over classes; zeros in every row: 0 log 0 counts as 0.
    certain = np.tile(np.eye(5), (20, 1))
    assert inception_score(certain) == pytest.approx((5, 100, 0))
    alike = np.tile(probabilities(1, 30).astype(np.float32), (40, 1))
    assert inception_score(alike).mean == pytest.approx(1, rel=1e-12)
    # One class in each split: each split alone scores 1, the whole 10.
    sorted_rows = np.repeat(np.eye(10), 3, axis=0)
    assert inception_score(sorted_rows) == pytest.approx((1, 30, 0))
    assert inception_score(sorted_rows, 1).mean == pytest.approx(10)


def test_float32_rows_are_summed_in_float64():
    rows = probabilities(20_000, 50).astype(np.float32)
    exact = rows.astype(np.float64)
    expected = split_scores(exact / exact.sum(axis=1, keepdims=True), 1)[0]
    assert inception_score(rows, 1).mean == pytest.approx(expected, rel=1e-12)


def test_rounded_rows_are_normalized():
    # bfloat16 has 8 significant bits: the upper half of float32.
    exact = probabilities(100, 30)
    bits = exact.astype(np.float32).view(np.uint32) & 0xFFFF0000
    rows = bits.view(np.float32)
    sums = rows.sum(axis=1, dtype=float, keepdims=True)
    assert 1e-3 < np.abs(sums - 1).max() < 1e-2
    score = inception_score(rows).mean
    expected = np.mean(split_scores(rows / sums, 10))
    assert score == pytest.approx(expected, rel=1e-12)
