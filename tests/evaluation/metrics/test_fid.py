"""The Frechet distance, against scipy's matrix root and closed forms."""

import types

import numpy as np
import pytest
import scipy.linalg

from attngan_tf.config import Config
from attngan_tf.evaluation.metrics import fid
from attngan_tf.evaluation.metrics.fid import (
    FidMetric,
    Statistics,
    frechet_distance,
    small_sample_warning,
    statistics,
)


def sample(N, D, seed):
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(N, D)) @ rng.normal(size=(D, D))
    return mixed + rng.normal(size=D)


@pytest.mark.parametrize("rows", [1024, 8])  # at once
def test_statistics_are_numpys_mean_and_covariance(monkeypatch, rows):
    monkeypatch.setattr(fid, "ROWS", rows)
    features = sample(101, 7, seed=0) + np.arange(101)[:, None]
    result = statistics(features)
    mean, covariance = features.mean(0), np.cov(features, rowvar=False)
    np.testing.assert_allclose(result.mean, mean, rtol=1e-13)
    np.testing.assert_allclose(result.covariance, covariance, rtol=1e-11)


def test_statistics_are_precise():
    # In float32, or as E[x^2] - E[x]^2, the spread would be lost.
    spread = np.random.default_rng(0).normal(size=[1000, 2])
    result = statistics(1e8 + spread)
    np.testing.assert_allclose(
        result.covariance, np.cov(spread, rowvar=False), rtol=1e-6
    )
    # The sum of 100,000 float32 numbers in float32 would miss the mean.
    ones = statistics(np.full([100_000, 1], 0.1, np.float32))
    assert ones.mean[0] == pytest.approx(float(np.float32(0.1)), rel=1e-12)


@pytest.mark.parametrize("decades", [0, 5])
def test_distance_equals_scipys_matrix_root(decades):
    # Deviations that span up to 5 decades: covariances of condition 1e10.
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
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("N", [5, 500])  # fewer than dimensions, and more
def test_distance_to_itself_and_to_a_translation(N):
    features = sample(N, 40, seed=0)
    result, shift = statistics(features), np.linspace(-1, 1, 40)
    scale = np.trace(result.covariance)
    assert 0 <= frechet_distance(result, result) < 1e-12 * scale
    distance = frechet_distance(result, statistics(features + shift))
    assert distance == pytest.approx(np.sum(shift**2), rel=1e-9)


def test_fewer_features_than_dimensions():
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
    # Square roots of the 196 zero eigenvalues' rounding would add 1e-8.
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-11)


def test_images_that_are_all_equal():
    collapsed = statistics(np.ones([10, 3]))
    real = Statistics(np.array([1, 1, 3.0]), np.diag([1, 2, 3.0]))
    assert frechet_distance(collapsed, real) == pytest.approx(4 + 6)
    assert frechet_distance(collapsed, collapsed) == 0


def test_invalid_features_are_rejected():
    with pytest.raises(ValueError, match="finite"):
        statistics(np.array([[0.0], [np.nan]]))


def test_small_samples_have_a_warning():
    warning = small_sample_warning(500, 2048)
    assert "only 500 images for 2,048 features" in warning
    assert "generate 30,000 to compare" in warning
    assert small_sample_warning(20_479, 2048)
    assert not small_sample_warning(20_480, 2048)


@pytest.mark.parametrize(
    ("discriminator", "own", "network", "flattered"),
    [
        ("paper", True, "inception_v3", False),
        ("projected", True, "inception_v3", True),
        ("projected", False, "inception_v3", True),
        ("projected", False, "another", False),
    ],
)
def test_features_that_a_discriminator_has_read(
    discriminator, own, network, flattered
):
    config = Config(discriminator=discriminator)
    evaluator = types.SimpleNamespace(
        model=types.SimpleNamespace(config=config),
        held_out=types.SimpleNamespace(indices=range(100)),
        extractor=types.SimpleNamespace(
            pooled_size=2, provenance={"network": network}
        ),
        own_extractor=own,
        num_images=100,
    )
    warning = FidMetric(evaluator).warning()
    assert ("too favourable" in warning) == flattered
