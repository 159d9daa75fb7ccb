"""Precision and recall, against their definition written out pair by pair."""

import numpy as np
import pytest

from attngan_tf.evaluation.metrics.precision_recall import precision_recall


def covered(features, centres, k):
    """Of arXiv:1904.06991, Eq. 1 and 2, one pair after another."""
    inside = 0
    for x in features:
        for i, y in enumerate(centres):
            others = [z for j, z in enumerate(centres) if j != i]
            radius = sorted(np.linalg.norm(y - z) for z in others)[k - 1]
            if np.linalg.norm(x - y) <= radius:
                inside += 1
                break
    return inside / len(features)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize(("N", "M"), [(60, 45), (30, 700)])
def test_equals_its_definition(N, M, k):
    rng = np.random.default_rng(N)
    generated = rng.normal(size=(N, 5)) * 0.7 + 0.5
    real = rng.normal(size=(M, 5))
    found = precision_recall(generated, real, k)
    if M < 100:
        assert found.precision == covered(generated, real, k)
        assert found.recall == covered(real, generated, k)
    else:  # several blocks: those of a set in one block are the same
        blocks = precision_recall(real, generated, k)
        assert found == (blocks.recall, blocks.precision)
        assert found.recall == covered(real, generated, k)


def test_a_narrow_generator_is_precise_and_lacks_recall():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(400, 3))
    narrow = precision_recall(0.05 * rng.normal(size=(400, 3)), real)
    assert narrow.precision > 0.95
    assert narrow.recall < 0.1
    wide = precision_recall(20 * rng.normal(size=(400, 3)), real)
    assert wide.precision < 0.1
    assert wide.recall > 0.9


def test_the_same_set_has_both():
    real = np.random.default_rng(1).normal(size=(50, 4))
    assert precision_recall(real, real) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("generated", "real", "rule"),
    [
        (np.zeros((3, 2)), np.zeros((9, 2)), "N above 3"),
        (np.zeros((9, 2)), np.zeros((9, 3)), "of one size"),
        (np.full((9, 2), np.nan), np.zeros((9, 2)), "finite"),
        (np.zeros(9), np.zeros((9, 2)), "N above 3"),
    ],
)
def test_wrong_features_are_refused(generated, real, rule):
    with pytest.raises(ValueError, match=rule):
        precision_recall(generated, real)
