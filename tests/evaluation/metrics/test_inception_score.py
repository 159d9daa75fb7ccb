"""The Inception score against scipy's relative entropy and known cases."""

import numpy as np
import pytest
import scipy.special

from attngan_tf.evaluation.metrics import inception_score as module
from attngan_tf.evaluation.metrics.inception_score import RunningInceptionScore


def probabilities(N, K, seed=0):
    logits = 3 * np.random.default_rng(seed).normal(size=(N, K))
    return scipy.special.softmax(logits, axis=1)


def running(rows, splits, batch):
    score = RunningInceptionScore(*rows.shape, splits)
    for first in range(0, len(rows), batch):
        score.update(first, rows[first : first + batch])
    return score


def split_scores(rows, splits):
    """Each split's score, from the definition; splits as published."""
    N = len(rows)
    scores = []
    for k in range(splits):
        part = rows[k * N // splits : (k + 1) * N // splits]
        divergence = scipy.special.rel_entr(part, part.mean(axis=0))
        scores.append(np.exp(divergence.sum(axis=1).mean()))
    return scores


@pytest.mark.parametrize("batch", [1, 7, 50, 103])
@pytest.mark.parametrize("splits", [1, 10])
def test_scipys_relative_entropy(splits, batch):
    rows = probabilities(103, 20)  # 10 splits of 10 and 11 rows
    expected = split_scores(rows, splits)
    score = running(rows, splits, batch).score()
    assert score.mean == pytest.approx(np.mean(expected), rel=1e-12)
    assert score.std == pytest.approx(np.std(expected), rel=1e-9)
    assert score.n == 103


def test_more_rows_than_are_taken_at_once(monkeypatch):
    rows = probabilities(103, 20)
    monkeypatch.setattr(module, "ROWS", 4)
    score = running(rows, 2, batch=103).score()
    assert score.mean == pytest.approx(np.mean(split_scores(rows, 2)))


def test_sure_and_even_is_the_number_of_classes():
    # Zeros in every row: 0 log 0 counts as 0.
    rows = np.tile(np.eye(5), (20, 1))
    score = running(rows, splits=10, batch=30).score()
    assert score.mean == pytest.approx(5, rel=1e-12)
    assert score.std == pytest.approx(0, abs=1e-12)


def test_pictures_all_alike_score_1():
    rows = np.tile(probabilities(1, 30).astype(np.float32), (40, 1))
    assert running(rows, 10, 8).score().mean == pytest.approx(1, rel=1e-12)


def test_parts_follow_the_order_of_rows():
    # Sure of the split's own class: each split alone is 1, the whole is 10.
    rows = np.repeat(np.eye(10), 3, axis=0)
    assert running(rows, 10, 30).score()[:2] == pytest.approx((1, 0))
    assert running(rows, 1, 30).score().mean == pytest.approx(10)


def test_float32_rows_are_summed_in_float64():
    rows = probabilities(20_000, 50).astype(np.float32)
    exact = rows.astype(np.float64)
    expected = split_scores(exact / exact.sum(axis=1, keepdims=True), 1)[0]
    score = running(rows, 1, 1000).score().mean
    assert score == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([0.5, 0.6, -0.1], r"0 or more, .* Received: -0.1"),
        ([0.5, 0.5, 0.02], r"Received: a sum of 1.02"),
        ([0.3, 0.3, 0.3], r"Received: a sum of 0.9"),
        ([0.5, np.nan, 0.5], r"Received: nan"),
        ([0.5, np.inf, 0.5], r"Received: a sum of inf"),
        ([0.0, 0.0, 0.0], r"Received: a sum of 0"),
    ],
)
def test_rows_that_are_no_probabilities(row, message):
    rows = probabilities(20, 3)
    rows[13] = row
    with pytest.raises(ValueError, match=f"must be probabilities.*{message}"):
        RunningInceptionScore(20, 3).update(0, rows)


def test_rounded_rows_count_as_if_their_sum_were_1():
    # bfloat16 keeps 8 bits: what a float32's upper half holds.
    exact = probabilities(100, 30)
    bits = exact.astype(np.float32).view(np.uint32) & 0xFFFF0000
    rows = bits.view(np.float32)
    sums = rows.sum(axis=1, dtype=float, keepdims=True)
    assert 1e-3 < np.abs(sums - 1).max() < 1e-2
    score = running(rows, 10, 100).score().mean
    expected = np.mean(split_scores(rows / sums, 10))
    assert score == pytest.approx(expected, rel=1e-12)
    assert score == pytest.approx(np.mean(split_scores(exact, 10)), rel=1e-3)


def test_errors_say_the_rule_and_what_was_received():
    score = RunningInceptionScore(20, 3)
    with pytest.raises(ValueError, match=r"K = 3. Received: \(5, 4\)"):
        score.update(0, np.zeros([5, 4]))
    for first in (-1, 16):
        with pytest.raises(ValueError, match=f"N = 20. Received: {first} to"):
            score.update(first, probabilities(5, 3))
    with pytest.raises(ValueError, match=r"to N = 9. Received: 10"):
        RunningInceptionScore(9, 3)
    with pytest.raises(ValueError, match="Received: 0"):
        RunningInceptionScore(9, 3, 0)


def test_rows_missing_or_added_twice():
    rows = probabilities(20, 3)
    score = RunningInceptionScore(20, 3)
    score.update(0, rows[:19])
    with pytest.raises(ValueError, match="Received: 1 for 18 to 20"):
        score.score()
    score.update(18, rows[18:])
    with pytest.raises(ValueError, match="Received: 3 for 18 to 20"):
        score.score()
