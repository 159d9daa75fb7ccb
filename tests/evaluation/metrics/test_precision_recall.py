"""Precision and recall, against their definition by scipy."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from attngan_tf.evaluation.metrics.precision_recall import precision_recall


def covered(features, centres, k):
    """The fraction of features in the manifold of centres, by Eq. 1 and 2."""
    between = cdist(centres, centres)
    np.fill_diagonal(between, np.inf)  # a feature is not its own neighbour
    radii = np.sort(between, axis=1)[:, k - 1]
    return (cdist(features, centres) <= radii).any(axis=1).mean()


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize(("N", "M"), [(60, 45), (30, 700)])
def test_equals_its_definition(N, M, k):
    rng = np.random.default_rng(N)
    generated = rng.normal(size=(N, 5)) * 0.7 + 0.5
    real = rng.normal(size=(M, 5))
    found = precision_recall(generated, real, k)
    assert found.precision == covered(generated, real, k)
    assert found.recall == covered(real, generated, k)


@pytest.mark.parametrize(
    ("generated", "rule"),
    [
        (np.zeros((3, 2)), "kth.* out of bounds"),
        (np.full((9, 2), np.nan), "finite"),
    ],
)
def test_invalid_features_are_rejected(generated, rule):
    with pytest.raises(ValueError, match=rule):
        precision_recall(generated, np.zeros((9, 2)))


def test_the_edge_of_a_ball_belongs_to_it():
    real = np.arange(5.0)[:, None]
    found = precision_recall(np.full((2, 1), 5.0), real, neighbours=1)
    assert found == (1.0, 0.0)
