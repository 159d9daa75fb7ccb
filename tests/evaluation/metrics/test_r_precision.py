"""R-precision against hand-worked cases, loops and chance."""

import numpy as np
import pytest

from attngan_tf.evaluation.metrics import r_precision as module
from attngan_tf.evaluation.metrics.r_precision import r_precision


def random_features(N, D=16, seed=0):
    return np.random.default_rng(seed).normal(size=(N, D)).astype(np.float32)


def test_four_pictures_by_hand():
    # Three candidates: each picture meets both captions of the other group.
    sentences = np.array([[1, 0], [0, 1], [1, 1], [1, 1]], np.float32)
    images = np.array(
        [
            [3, 0],  # cosine 1 to its own, 0.707 to the others: hit
            [1, 1],  # 0.707 to its own, 1 to the others: miss
            [0, 5],  # 0.707 to its own, 1 to caption 1: miss
            [2, 2],  # 1 to its own, 0.707 to the others: hit
        ],
        np.float32,
    )
    groups = np.array([0, 0, 1, 1])
    score = r_precision(
        images, sentences, groups, candidates=3, folds=1, seed=0
    )
    assert score == (50.0, 0.0, 4)


def test_the_length_of_a_feature_is_of_no_account():
    images, sentences = random_features(400), random_features(400, seed=1)
    sentences += images
    lengths = 10 ** np.random.default_rng(2).uniform(-7, 7, [400, 1])
    options = {"groups": np.arange(400), "candidates": 20, "seed": 3}
    score = r_precision(images, sentences, **options)
    assert 20 < score.mean < 99
    assert r_precision(images * lengths, sentences, **options) == score
    assert r_precision(images, sentences * lengths, **options) == score


def test_all_candidates_equal_a_ranking_in_a_loop():
    # With every caption of the other groups drawn, nothing is left to chance.
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
        images, sentences, groups, candidates=51, folds=10, seed=0
    )
    assert 0 < np.mean(hits) < 1
    assert score.mean == pytest.approx(100 * np.mean(hits))


def test_random_features_score_chance():
    images, sentences = random_features(30_000), random_features(30_000, seed=1)
    score = r_precision(images, sentences, np.arange(30_000) // 10, seed=0)
    # Binomial: 1 % of 30,000, standard deviation 0.06; of 3,000, 0.18.
    assert score.mean == pytest.approx(1, abs=0.3)
    assert 0.05 < score.std < 0.4
    assert score.n == 30_000


def test_equal_features_score_100():
    features = random_features(300)
    score = r_precision(features, features, np.arange(300), seed=0)
    assert score == (100.0, 0.0, 300)


def test_captions_of_the_own_group_never_compete():
    # All vectors of a group are equal: one drawn from it would be a tie.
    features = np.repeat(random_features(30), 10, axis=0)
    groups = np.repeat(np.arange(30), 10)
    shuffle = np.random.default_rng(0).permutation(300)
    features, groups = features[shuffle], groups[shuffle]
    assert r_precision(features, features, groups, seed=0).mean == 100
    apart = r_precision(features, features, np.arange(300), seed=0).mean
    assert apart < 20  # the test can fail: 99 of 299 with 9 equals among them


def test_ties_are_misses():
    # One caption for all, encoded in batches that round differently.
    sentences = 1 + 1e-7 * random_features(50, 8, seed=1)
    assert len(np.unique(sentences)) > 1
    score = r_precision(
        random_features(50, 8), sentences, np.arange(50), candidates=10, seed=0
    )
    assert score.mean == 0


def test_a_picture_without_features_misses():
    sentences = random_features(50)
    images = np.zeros_like(sentences)
    score = r_precision(images, sentences, np.arange(50), candidates=10, seed=0)
    assert score.mean == 0


def test_distractors_come_from_the_pool():
    images = random_features(100)
    groups = np.arange(100)
    against = {"candidates": 11, "seed": 0, "pool_groups": np.arange(100, 120)}
    far = np.repeat(-images.mean(0, keepdims=True), 20, axis=0)
    easy = r_precision(images, images, groups, pool_features=far, **against)
    assert easy.mean == 100
    # Pictures equal to the pool's one caption, and not to their own.
    pictures = np.repeat(far[:1], 100, axis=0)
    hard = r_precision(pictures, images, groups, pool_features=far, **against)
    assert hard.mean == 0


@pytest.mark.parametrize("count", [3, 4])
def test_draws_are_uniform_without_repetition(count):
    pool_groups = np.array([7, 1, 7, 3, 1, 9])  # 4 or 5 captions to draw from
    groups = np.repeat([7, 3], 6_000)
    drawn = module._draw(groups, pool_groups, count, np.random.default_rng(0))
    for group in (7, 3):
        rows = drawn[groups == group]
        assert all(len(set(row)) == count for row in rows.tolist())
        free = np.flatnonzero(pool_groups != group)
        places, counts = np.unique(rows, return_counts=True)
        np.testing.assert_array_equal(places, free)
        expected = 6_000 * count / len(free)
        # Five standard deviations of a binomial are below 200.
        np.testing.assert_allclose(counts, expected, atol=200)


def test_pairs_are_as_likely_as_each_other():
    drawn = module._draw(
        np.zeros(12_000, int), np.arange(5), 2, np.random.default_rng(0)
    )
    pairs, counts = np.unique(np.sort(drawn), axis=0, return_counts=True)
    assert pairs.tolist() == [
        [a, b] for a in range(1, 5) for b in range(a + 1, 5)
    ]
    np.testing.assert_allclose(counts, 2_000, atol=200)


def test_a_seed_decides_the_draw():
    images, sentences = random_features(500), random_features(500, seed=1)
    runs = [
        r_precision(images, images + sentences, np.arange(500), seed=seed)
        for seed in (0, 0, 1)
    ]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_std_is_of_folds():
    # Half of the pictures hit.
    images = random_features(20)
    sentences = images.copy()
    sentences[::2] *= -1
    options = {"groups": np.arange(20), "candidates": 20, "seed": 0}
    score = r_precision(images, sentences, folds=20, **options)
    assert score.mean == 50
    assert score.std == 50  # folds of one picture: ten 0, ten 100
    assert r_precision(images, sentences, folds=1, **options).std == 0


def test_folds_are_dealt_at_random():
    # Pictures come in an order, by class say: here all hits, then all misses.
    images = random_features(1000)
    sentences = np.concatenate([images[:500], -images[500:]])
    score = r_precision(images, sentences, np.arange(1000), seed=0)
    assert score.mean == 50
    assert 1 < score.std < 12  # binomial of 100: 5; folds in order: 50


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": np.zeros(20, int)}, "needs? 9 captions of other groups"),
        # One caption short: 20 less the 12 of group 0.
        ({"groups": np.maximum(np.arange(20) - 11, 0)}, "group 0 has 8"),
        ({"groups": np.arange(19)}, r"groups must be int \[N\]"),
        ({"folds": 21}, "folds must be 1 to N = 20. Received: 21"),
        ({"folds": 0}, "Received: 0"),
        ({"candidates": 1}, "candidates must be 2 or more. Received: 1"),
        ({"sentence_features": np.zeros([20, 15])}, r"\(20, 15\)"),
        ({"image_features": np.full([20, 16], np.nan)}, "finite"),
        ({"pool_features": np.zeros([9, 16])}, "go together"),
        (
            {"pool_features": np.zeros([9, 3]), "pool_groups": np.arange(9)},
            r"D of the pictures, 16. Received: \(9, 3\)",
        ),
    ],
)
def test_errors_say_the_rule_and_what_was_received(change, message):
    features = random_features(20)
    arguments = {
        "image_features": features,
        "sentence_features": features,
        "groups": np.arange(20),
        "candidates": 10,
        "seed": 0,
    }
    r_precision(**arguments)
    with pytest.raises(ValueError, match=message):
        r_precision(**(arguments | change))
