"""R-precision, against a loop, cases by hand, and chance."""

import numpy as np
import pytest

from attngan_tf.evaluation.metrics import r_precision as module
from attngan_tf.evaluation.metrics.r_precision import r_precision


def random_features(N, D=16, seed=0):
    return np.random.default_rng(seed).normal(size=(N, D)).astype(np.float32)


def test_equals_a_ranking_in_a_loop():
    # With all captions of other groups as candidates, nothing is random.
    images, noise = random_features(60), random_features(60, seed=1)
    sentences = images + noise
    groups = np.arange(60) % 6  # 10 captions a group
    hits = []
    for image, truth, group in zip(images, sentences, groups, strict=True):
        cosines = [
            image @ other / np.linalg.norm(image) / np.linalg.norm(other)
            for other in [truth, *sentences[groups != group]]
        ]
        hits.append(np.argmax(cosines) == 0)
    score = r_precision(
        images, sentences, np.arange(60), groups, candidates=51, seed=0
    )
    assert 0 < np.mean(hits) < 1
    assert score.mean == pytest.approx(100 * np.mean(hits))
    assert score.n == 60


def test_rows_at_once_have_no_effect(monkeypatch):
    images = random_features(300)
    sentences = images + random_features(300, seed=1)
    arguments = images, sentences, np.arange(300), np.arange(300)
    whole = r_precision(*arguments, seed=0)
    monkeypatch.setattr(module, "ROWS", 7)
    assert r_precision(*arguments, seed=0) == whole


def test_ties_and_zero_features_are_misses():
    options = {"own": np.arange(50), "candidates": 10, "seed": 0}
    options["groups"] = options["own"]
    # One caption for all, encoded in batches that round differently.
    sentences = 1 + 1e-7 * random_features(50, 8, seed=1)
    assert len(np.unique(sentences)) > 1
    assert r_precision(random_features(50, 8), sentences, **options).mean == 0
    sentences = random_features(50)
    assert r_precision(0 * sentences, sentences, **options).mean == 0


def test_captions_of_no_image_are_candidates():
    images = random_features(100)
    far = np.repeat(-images.mean(0, keepdims=True), 20, axis=0)
    captions = np.concatenate([images, far])
    # All captions of images are of one group: only the far ones compete.
    groups = np.concatenate([np.zeros(100, int), np.arange(1, 21)])
    options = {"own": np.arange(100), "candidates": 11, "seed": 0}
    options["groups"] = groups
    assert r_precision(images, captions, **options).mean == 100
    # Images equal to the far captions, not to their own.
    same = np.repeat(far[:1], 100, axis=0)
    assert r_precision(same, captions, **options).mean == 0


@pytest.mark.parametrize("count", [3, 4])
def test_samples_are_uniform_without_repetition(count):
    pool_groups = np.array([7, 1, 7, 3, 1, 9])  # 4 or 5 captions to sample
    groups = np.repeat([7, 3], 6_000)
    sampled = module._sample(
        groups, pool_groups, count, np.random.default_rng(0)
    )
    for group in (7, 3):
        rows = sampled[groups == group]
        assert all(len(set(row)) == count for row in rows.tolist())
        free = np.flatnonzero(pool_groups != group)
        indices, counts = np.unique(rows, return_counts=True)
        np.testing.assert_array_equal(indices, free)
        expected = 6_000 * count / len(free)
        # Five standard deviations of a binomial are below 200.
        np.testing.assert_allclose(counts, expected, atol=200)


def test_all_pairs_are_equally_likely():
    sampled = module._sample(
        np.zeros(12_000, int), np.arange(5), 2, np.random.default_rng(0)
    )
    pairs, counts = np.unique(np.sort(sampled), axis=0, return_counts=True)
    assert pairs.tolist() == [
        [a, b] for a in range(1, 5) for b in range(a + 1, 5)
    ]
    np.testing.assert_allclose(counts, 2_000, atol=200)


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
        ({"groups": np.zeros(20, int)}, "needs? 9 captions of other groups"),
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
