"""Retrieval against hand-worked cases, a full ranking and chance."""

import numpy as np
import pytest

from attngan_tf.evaluation.metrics import retrieval as module
from attngan_tf.evaluation.metrics.retrieval import retrieval


def random_features(N, D=8, seed=0):
    return np.random.default_rng(seed).normal(size=(N, D)).astype(np.float32)


def cases(N=60, M=200, noise=1.5):
    """Captions near their pictures; every picture has one at least."""
    images = random_features(N)
    owners = np.random.default_rng(1).permutation(np.arange(M) % N)
    sentences = images[owners] + noise * random_features(M, seed=2)
    return images, sentences, owners


def ranked(images, sentences, owners, k):
    """R@k both ways, from full rankings."""
    lengths = [np.linalg.norm(x, axis=1) for x in (images, sentences)]
    cosines = images @ sentences.T / np.outer(*lengths)
    found_images = [
        owner in np.argsort(-column)[:k]
        for owner, column in zip(owners, cosines.T, strict=True)
    ]
    found_captions = [
        picture in owners[np.argsort(-row)[:k]]
        for picture, row in enumerate(cosines)
    ]
    return 100 * np.mean(found_images), 100 * np.mean(found_captions)


def test_three_pictures_by_hand():
    images = np.array([[1, 0], [0, 1], [-1, 0]])
    sentences = np.array(
        [
            [3, 1],  # of 0, and closest to it
            [1, 2],  # of 0, but closer to 1
            [0, 5],  # of 1, and closest to it
            [1, -1],  # of 2, which is the last of all: R@5 of 3 pictures
        ]
    )
    score = retrieval(images, sentences, np.array([0, 0, 1, 2]))
    assert score.text_to_image == {1: 50, 5: 100, 10: 100}
    # 0 and 1 find their own first; 2 finds captions 2 and 1, of cosines 0 and
    # -0.45, before its own of -0.71.
    assert score.image_to_text[1] == pytest.approx(200 / 3)
    assert score.image_to_text[5] == 100
    assert score[2:] == (3, 4)


def test_a_full_ranking():
    images, sentences, owners = cases()
    score = retrieval(images, sentences, owners)
    for k in (1, 5, 10):
        to_image, to_text = ranked(images, sentences, owners, k)
        assert 5 < to_image < 100
        assert 5 < to_text < 100
        assert score.text_to_image[k] == pytest.approx(to_image)
        assert score.image_to_text[k] == pytest.approx(to_text)


def test_chunks_change_nothing(monkeypatch):
    whole = retrieval(*cases())
    monkeypatch.setattr(module, "ROWS", 7)
    assert retrieval(*cases()) == whole


def test_the_length_of_a_feature_is_of_no_account():
    images, sentences, owners = cases()
    rng = np.random.default_rng(3)
    scaled = [
        x * 10 ** rng.uniform(-5, 5, [len(x), 1]) for x in (images, sentences)
    ]
    assert retrieval(*scaled, owners) == retrieval(images, sentences, owners)


def test_the_order_is_of_no_account():
    images, sentences, owners = cases()
    order = np.random.default_rng(3).permutation(200)
    shuffled = retrieval(images, sentences[order], owners[order])
    assert shuffled == retrieval(images, sentences, owners)


def test_random_features_score_chance():
    N = 2_000
    owners = np.repeat(np.arange(N), 2)
    score = retrieval(
        random_features(N), random_features(2 * N, seed=1), owners
    )
    # A caption's picture is at a random place of N; of 2 captions among 2 N,
    # one is at the front twice as often. Standard deviations below 0.16.
    for k in (1, 5, 10):
        assert score.text_to_image[k] == pytest.approx(100 * k / N, abs=0.4)
        assert score.image_to_text[k] == pytest.approx(100 * k / N, abs=0.6)


def test_ties_find_nothing():
    images = 1 + 1e-7 * random_features(30)
    sentences = 1 + 1e-7 * random_features(60, seed=1)
    assert len(np.unique(images)) > 1
    score = retrieval(images, sentences, np.arange(60) % 30)
    assert set(score.text_to_image.values()) == {0}
    assert set(score.image_to_text.values()) == {0}


def test_a_picture_s_own_captions_do_not_compete():
    # Twelve equal captions of each picture: all of them at the front.
    images = random_features(30)
    score = retrieval(
        images, np.repeat(images, 12, axis=0), np.repeat(np.arange(30), 12)
    )
    assert set(score.text_to_image.values()) == {100}
    assert set(score.image_to_text.values()) == {100}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros([4, 7])}, r"one size. .*\(4, 7\) and \(6, 8\)"),
        ({"images": np.zeros([4])}, r"\[N, D\], \[M, D\]. Received: \(4,\)"),
        ({"images": np.full([4, 8], np.nan)}, "finite"),
        ({"sentences": np.full([6, 8], np.inf)}, "finite"),
        ({"owners": np.arange(5)}, r"owners must be int \[M\]"),
        ({"owners": np.arange(6.0)}, r"Received: float64 \(6,\)"),
        ({"owners": np.array([0, 1, 2, 3, 4, 0])}, "0 to 3.*5 different"),
        ({"owners": np.array([0, 1, 2, -1, 3, 0])}, "from -1 to 3"),
        ({"owners": np.array([0, 1, 2, 2, 1, 0])}, "each of them.*: 3 diff"),
    ],
)
def test_errors_say_the_rule_and_what_was_received(change, message):
    arguments = {
        "images": random_features(4),
        "sentences": random_features(6),
        "owners": np.array([0, 1, 2, 3, 0, 1]),
    }
    retrieval(*arguments.values())
    with pytest.raises(ValueError, match=message):
        retrieval(*(arguments | change).values())
