"""The kernel inception distance, against sums over pairs in a loop."""

import itertools

import numpy as np
import pytest

from attngan_tf.evaluation.metrics.kid import kernel_distance


def features(N, D=5, shift=0.0, seed=0):
    return np.random.default_rng(seed).normal(shift, size=(N, D))


def kernel(x, y):
    return (sum(a * b for a, b in zip(x, y, strict=True)) / len(x) + 1) ** 3


def pairs(rows):
    """Mean kernel of two different rows."""
    return np.mean([kernel(a, b) for a, b in itertools.permutations(rows, 2)])


def squared_mmd(x, y):
    """The unbiased estimate, from its definition."""
    across = np.mean([kernel(a, b) for a in x for b in y])
    return pairs(x) + pairs(y) - 2 * across


@pytest.mark.parametrize(("N", "M", "block"), [(20, 20, 20), (9, 14, 1000)])
def test_one_block_is_the_estimate_of_all_pairs(N, M, block):
    generated, real = features(N, shift=0.3), features(M, seed=1)
    score = kernel_distance(generated, real, block)
    expected = squared_mmd(generated, real)
    assert score.mean == pytest.approx(expected, rel=1e-12)
    assert score[1:] == (N, None)


def test_blocks_have_similar_sizes_and_take_real_blocks_in_turn():
    # 23 in blocks of at most 8: 7, 8, 8. Real ones: 8 and 8, shuffled.
    generated, real = features(23, shift=0.5), features(16, seed=1)
    score = kernel_distance(generated, real, 8)
    halves = np.split(np.random.default_rng(0).permutation(16), 2)
    in_turn = [
        squared_mmd(block, real[halves[k % 2]])
        for k, block in enumerate(np.split(generated, [7, 15]))
    ]
    assert score.mean == pytest.approx(np.mean(in_turn), rel=1e-12)
    assert score.std == pytest.approx(np.std(in_turn), rel=1e-12)


def test_float32_rows_of_a_file_are_summed_in_float64(tmp_path):
    # Equal to about 1e-4: little remains of kernels of about 1,000.
    real = (10 + 1e-2 * features(30, seed=1)).astype(np.float32)
    generated = (10 + 1e-2 * features(30)).astype(np.float32)
    np.save(tmp_path / "real.npy", real)
    mapped = np.load(tmp_path / "real.npy", mmap_mode="r")
    expected = squared_mmd(generated.astype(float), real.astype(float))
    score = kernel_distance(generated, mapped, 30).mean
    assert score == pytest.approx(expected, rel=1e-6)


def test_features_must_be_finite():
    real = features(20)
    real[3, 2] = np.inf
    for sets in ((real, features(4)), (features(4), real)):
        with pytest.raises(ValueError, match="finite"):
            kernel_distance(*sets)
