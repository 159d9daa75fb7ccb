"""R-precision, against a loop, cases by hand, and chance."""

import itertools

import numpy as np
import pytest

from attngan_tf.evaluation.metrics import r_precision as module
from attngan_tf.evaluation.metrics.r_precision import r_precision


def random_features(N, D=16, seed=0):
    return np.random.default_rng(seed).normal(size=(N, D)).astype(np.float32)


@pytest.mark.parametrize("rows", [256, 7])  # at once
def test_equals_a_ranking_in_a_loop(rows, monkeypatch):
    # With all captions of other groups as candidates, nothing is random.
    monkeypatch.setattr(module, "ROWS", rows)
    sentences = random_features(90)  # 30 are captions of no image
    own = np.random.default_rng(1).permutation(90)[:60]
    images = sentences[own] + random_features(60, seed=1)
    groups = np.arange(90) % 6  # 15 captions a group
    hits = []
    for image, truth, group in zip(images, own, groups[own], strict=True):
        cosines = [
            image @ other / np.linalg.norm(image) / np.linalg.norm(other)
            for other in [sentences[truth], *sentences[groups != group]]
        ]
        hits.append(np.argmax(cosines) == 0)
    score = r_precision(images, sentences, own, groups, candidates=76, seed=0)
    assert 0 < np.mean(hits) < 1
    assert score.mean == pytest.approx(100 * np.mean(hits))
    assert score.n == 60


def test_ties_and_zero_features_are_misses():
    options = {"own": np.arange(50), "candidates": 10, "seed": 0}
    options["groups"] = options["own"]
    # One caption for all, encoded in batches that round differently.
    sentences = 1 + 1e-7 * random_features(50, 8, seed=1)
    assert len(np.unique(sentences)) > 1
    assert r_precision(random_features(50, 8), sentences, **options).mean == 0
    sentences = random_features(50)
    assert r_precision(0 * sentences, sentences, **options).mean == 0


def test_all_sets_of_other_groups_captions_are_equally_likely():
    pool_groups = np.array([7, 1, 7, 3, 1, 9])  # 4 or 5 captions to sample
    groups = np.repeat([7, 3], 12_000)
    rng = np.random.default_rng(0)
    sampled = np.sort(module._sample(groups, pool_groups, 3, rng))
    for group in (7, 3):
        sets, counts = np.unique(
            sampled[groups == group], axis=0, return_counts=True
        )
        free = np.flatnonzero(pool_groups != group).tolist()
        expected = list(itertools.combinations(free, 3))
        assert list(map(tuple, sets.tolist())) == expected
        # Five standard deviations of a binomial are below 240.
        mean = 12_000 / len(expected)
        np.testing.assert_allclose(counts, mean, atol=240)


def test_std_is_that_of_random_folds():
    # Sorted, as by class: first all hits, then all misses.
    images = random_features(1000)
    sentences = np.concatenate([images[:500], -images[500:]])
    arguments = images, sentences, np.arange(1000), np.arange(1000)
    score = r_precision(*arguments, seed=0)
    assert score.mean == 50
    assert 1 < score.std < 12  # binomial of 100: 5; folds in order: 50
    assert r_precision(*arguments, folds=1000, seed=0).std == 50


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # One caption too few: 20 minus the 12 of group 0.
        ({"groups": np.maximum(np.arange(20) - 11, 0)}, "group 0 has 8"),
        ({"image_features": np.full([20, 16], np.nan)}, "finite"),
    ],
)
def test_invalid_arguments_are_rejected(change, message):
    features = random_features(20)
    arguments = {
        "image_features": features,
        "sentence_features": features,
        "own": np.arange(20),
        "groups": np.arange(20),
        "candidates": 10,
        "seed": 0,
    }
    r_precision(**arguments)
    with pytest.raises(ValueError, match=message):
        r_precision(**(arguments | change))
