"""The Frechet distance against closed forms and scipy's matrix root."""

import numpy as np
import pytest
import scipy.linalg

from attngan_tf.evaluation.metrics import fid
from attngan_tf.evaluation.metrics.fid import (
    RunningMoments,
    Statistics,
    frechet_distance,
    small_sample_warning,
    statistics,
)


def gaussian(mean, covariance):
    return Statistics(np.array(mean, float), np.array(covariance, float), 1000)


def sample(N, D, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N, D)) @ rng.normal(size=(D, D)) + rng.normal(
        size=D
    )


def test_statistics_are_numpys():
    features = sample(50, 7, seed=0).astype(np.float32)
    result = statistics(features)
    np.testing.assert_allclose(result.mean, features.mean(0), rtol=1e-5)
    np.testing.assert_allclose(
        result.covariance, np.cov(features.astype(float), rowvar=False)
    )
    assert result.n == 50


def test_statistics_of_blocks_equal_those_of_the_whole(monkeypatch):
    features = sample(50, 7, seed=0)
    whole = statistics(features)
    monkeypatch.setattr(fid, "ROWS", 8)  # 50 is no multiple of it
    np.testing.assert_allclose(
        statistics(features).covariance, whole.covariance, rtol=1e-12
    )


def test_statistics_keep_small_spreads_on_large_means():
    # In float32, or as E[x^2] - E[x]^2, nothing of the spread would be left.
    spread = np.random.default_rng(0).normal(size=[1000, 2])
    result = statistics(1e8 + spread)
    np.testing.assert_allclose(
        result.covariance, np.cov(spread, rowvar=False), rtol=1e-6
    )
    # Adding up 100,000 float32 numbers in float32 would miss the mean.
    ones = statistics(np.full([100_000, 1], 0.1, np.float32))
    assert ones.mean[0] == pytest.approx(float(np.float32(0.1)), rel=1e-12)


def moments(*parts):
    result = RunningMoments(parts[0].shape[1])
    for part in parts:
        result.update(part)
    return result


@pytest.mark.parametrize("rows", [1024, 8])  # added at once
def test_parts_equal_the_whole(monkeypatch, rows):
    monkeypatch.setattr(fid, "ROWS", rows)
    # Parts that differ in size and place, one without a picture.
    features = sample(101, 7, seed=0) + np.arange(101)[:, None]
    mean, covariance = features.mean(0), np.cov(features, rowvar=False)
    parts = np.split(features, [0, 1, 3, 64, 65])
    streams = [
        moments(*parts),
        moments(*parts[::-1]),
        moments(*(part.copy(order="F") for part in parts)),
    ]
    for stream in streams:
        result = stream.statistics()
        assert result.n == 101
        np.testing.assert_allclose(result.mean, mean, rtol=1e-13)
        np.testing.assert_allclose(result.covariance, covariance, rtol=1e-11)


def test_statistics_do_not_change_when_more_comes():
    first, second = sample(20, 3, seed=0), sample(20, 3, seed=1)
    stream = moments(first)
    before = stream.statistics()
    stream.update(second)
    assert stream.n == stream.statistics().n == 40
    np.testing.assert_allclose(before.mean, first.mean(0))
    np.testing.assert_allclose(before.covariance, np.cov(first, rowvar=False))


def test_a_stream_keeps_small_spreads_on_large_means():
    spread = np.random.default_rng(0).normal(size=[1000, 2])
    result = moments(*np.split(1e8 + spread, 20)).statistics()
    np.testing.assert_allclose(
        result.covariance, np.cov(spread, rowvar=False), rtol=1e-6
    )


@pytest.mark.parametrize("decades", [0, 3, 5])
def test_matrix_root_of_scipy(decades):
    # Axes whose deviations span up to 5 decades: covariances of condition
    # 1e10 and more.
    scale = np.logspace(0, -decades, 60)
    a = statistics(sample(400, 60, 0) * scale)
    b = statistics(sample(300, 60, 1) * scale)
    assert np.linalg.cond(a.covariance) > 10 ** (2 * decades)
    root = scipy.linalg.sqrtm(a.covariance @ b.covariance)
    expected = (
        np.sum((a.mean - b.mean) ** 2)
        + np.trace(a.covariance + b.covariance)
        - 2 * np.trace(root).real
    )
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_diagonal_covariances():
    # Independent axes: sum of (m - m')^2 + (s - s')^2 over deviations s.
    s, t = np.array([1.0, 2.0, 0.5]), np.array([3.0, 2.0, 0.0])
    m, k = np.array([0.0, 1.0, -2.0]), np.array([1.0, 1.0, 2.0])
    distance = frechet_distance(
        gaussian(m, np.diag(s**2)), gaussian(k, np.diag(t**2))
    )
    expected = np.sum((m - k) ** 2) + np.sum((s - t) ** 2)  # 17 + 4.25
    assert expected == 21.25
    assert distance == pytest.approx(expected, rel=1e-12)


def test_two_by_two_covariances_that_do_not_commute():
    # tr sqrt(M) = sqrt(tr M + 2 sqrt(det M)) for a 2 x 2 matrix M = C C'.
    a, b = (
        np.array([[2.0, 1.0], [1.0, 3.0]]),
        np.array([[5.0, -2.0], [-2.0, 1.0]]),
    )
    assert not np.allclose(a @ b, b @ a)
    root = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a @ b)))
    expected = np.trace(a) + np.trace(b) - 2 * root
    distance = frechet_distance(gaussian([0, 0], a), gaussian([0, 0], b))
    assert distance == pytest.approx(expected, rel=1e-12)


def test_many_dimensions_against_the_eigenvalues_of_the_product():
    a, b = statistics(sample(200, 20, 0)), statistics(sample(300, 20, 1))
    values = np.linalg.eigvals(a.covariance @ b.covariance)
    expected = (
        np.sum((a.mean - b.mean) ** 2)
        + np.trace(a.covariance + b.covariance)
        - 2 * np.sqrt(values.real).sum()
    )
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("N", [5, 500])
def test_no_distance_to_itself(N):
    result = statistics(sample(N, 40, seed=0))
    scale = np.trace(result.covariance)
    assert 0 <= frechet_distance(result, result) < 1e-12 * scale


@pytest.mark.parametrize("N", [5, 500])
def test_a_translation_is_its_squared_length(N):
    features = sample(N, 40, seed=0)
    shift = np.linspace(-1, 1, 40)
    distance = frechet_distance(
        statistics(features), statistics(features + shift)
    )
    assert distance == pytest.approx(np.sum(shift**2), rel=1e-9)


def test_fewer_features_than_dimensions():
    # In 100 dimensions, five points of each set lie in the same 3: turned
    # back into those 3, where the covariances have full rank.
    low_a, low_b = sample(5, 3, seed=0), sample(5, 3, seed=1)
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(100, 3)))[0].T
    expected = frechet_distance(statistics(low_a), statistics(low_b))
    high = frechet_distance(statistics(low_a @ turn), statistics(low_b @ turn))
    assert high == pytest.approx(expected, rel=1e-10)
    # Two sets in subspaces at right angles share nothing.
    a, b = gaussian([0, 0], np.diag([4, 0])), gaussian([0, 0], np.diag([0, 9]))
    assert frechet_distance(a, b) == pytest.approx(13, rel=1e-12)


def test_five_features_against_many():
    # tr (C_a C_b)^(1/2) from a matrix of 5 x 5: with C_a = X^T X, the nonzero
    # eigenvalues of C_a C_b are those of X C_b X^T.
    few, b = sample(5, 200, seed=0), statistics(sample(600, 200, seed=1))
    a = statistics(few)
    X = (few - few.mean(0)) / 2
    values = np.linalg.eigvalsh(X @ b.covariance @ X.T)[1:]  # rank 4
    expected = (
        np.sum((a.mean - b.mean) ** 2)
        + np.trace(a.covariance + b.covariance)
        - 2 * np.sqrt(values).sum()
    )
    # Square roots of the 196 zero eigenvalues' rounding would cost 1e-8.
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-11)


def test_pictures_that_are_all_equal():
    collapsed = statistics(np.ones([10, 3]))
    real = gaussian([1, 1, 3], np.diag([1, 2, 3]))
    assert frechet_distance(collapsed, real) == pytest.approx(4 + 6)
    assert frechet_distance(collapsed, collapsed) == 0


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros([1, 4]), r"N of 2 or more. Received: \(1, 4\)"),
        (np.zeros([8]), r"Received: \(8,\)"),
        (np.array([[0.0], [np.nan]]), "finite"),
    ],
)
def test_statistics_reject(features, message):
    with pytest.raises(ValueError, match=message):
        statistics(features)


def test_a_stream_rejects():
    stream = moments(np.zeros([1, 4]))
    with pytest.raises(ValueError, match=r"D = 4. Received: \(2, 5\)"):
        stream.update(np.zeros([2, 5]))
    with pytest.raises(ValueError, match="finite"):
        stream.update(np.array([[0, 0, np.inf, 0], [0, 0, -np.inf, 0]]))
    with pytest.raises(ValueError, match="2 features or more"):
        stream.statistics()


def test_the_bias_of_few_pictures_is_what_the_warning_says():
    # Features of one Gaussian against that Gaussian itself, whose distance
    # would be 0; the mean adds 1 / N of the variance D.
    D, N, draws = 60, 1200, 20
    rng = np.random.default_rng(0)
    exact = Statistics(np.zeros(D), np.eye(D), 10**6)
    distances = [
        frechet_distance(statistics(rng.normal(size=(N, D))), exact)
        for _ in range(draws)
    ]
    share = np.mean(distances) / D
    assert share - 1 / N == pytest.approx(D / (4 * N), rel=0.05)


def test_few_pictures_are_warned_of():
    assert small_sample_warning(500, 2048) == (
        "Frechet distance of N 500 pictures with D 2,048 features is biased "
        "upwards: N of D or fewer leave their covariance without full rank; "
        "compare it with figures of the same N only, and draw 30,000 pictures "
        "to stand beside published ones"
    )
    assert "without full rank" in small_sample_warning(2048, 2048)
    assert "by some 10 % of" in small_sample_warning(5120, 2048)
    assert small_sample_warning(20_479, 2048)
    assert small_sample_warning(20_480, 2048) is None
    assert small_sample_warning(30_000, 2048) is None


def test_sizes_must_agree():
    with pytest.raises(
        ValueError, match=r"same D. Received: \(2,\) and \(3,\)"
    ):
        frechet_distance(
            gaussian(np.zeros(2), np.eye(2)), gaussian(np.zeros(3), np.eye(3))
        )
