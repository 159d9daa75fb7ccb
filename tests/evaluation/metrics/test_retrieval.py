"""Retrieval, against a full ranking, a case by hand, and chance."""

import numpy as np
import pytest

from attngan_tf.evaluation.metrics import retrieval as module
from attngan_tf.evaluation.metrics.retrieval import retrieval


def random_features(N, D=8, seed=0):
    return np.random.default_rng(seed).normal(size=(N, D)).astype(np.float32)


def cases(N=60, M=200, noise=1.5):
    """Captions near their images; every image has at least one."""
    images = random_features(N)
    owners = np.random.default_rng(1).permutation(np.arange(M) % N)
    sentences = images[owners] + noise * random_features(M, seed=2)
    return images, sentences, owners


@pytest.mark.parametrize("rows", [256, 7])
def test_equals_a_full_ranking(rows, monkeypatch):
    monkeypatch.setattr(module, "ROWS", rows)
    images, sentences, owners = cases()
    lengths = [np.linalg.norm(x, axis=1) for x in (images, sentences)]
    cosines = images @ sentences.T / np.outer(*lengths)
    score = retrieval(images, sentences, owners)
    for k in (1, 5, 10):
        to_image = [
            owner in np.argsort(-column)[:k]
            for owner, column in zip(owners, cosines.T, strict=True)
        ]
        to_text = [
            image in owners[np.argsort(-row)[:k]]
            for image, row in enumerate(cosines)
        ]
        assert 5 < 100 * np.mean(to_image) < 100
        assert score.text_to_image[k] == pytest.approx(100 * np.mean(to_image))
        assert score.image_to_text[k] == pytest.approx(100 * np.mean(to_text))


def test_three_images_by_hand():
    images = np.array([[1, 0], [0, 1], [-1, 0]])
    sentences = np.array(
        [
            [3, 1],  # of 0, and closest to it
            [1, 2],  # of 0, but closer to 1
            [0, 5],  # of 1, and closest to it
            [1, -1],  # of 2, which ranks last: R@5 of 3 images
        ]
    )
    score = retrieval(images, sentences, np.array([0, 0, 1, 2]))
    assert score.text_to_image == {1: 50, 5: 100, 10: 100}
    # 0 and 1 find their own first; 2 finds captions 2 and 1, of cosines 0 and
    # -0.45, before its own of -0.71.
    assert score.image_to_text[1] == pytest.approx(200 / 3)
    assert score.image_to_text[5] == 100


def test_ties_retrieve_nothing():
    images = 1 + 1e-7 * random_features(30)
    sentences = 1 + 1e-7 * random_features(60, seed=1)
    assert len(np.unique(images)) > 1
    score = retrieval(images, sentences, np.arange(60) % 30)
    assert set(score.text_to_image.values()) == {0}
    assert set(score.image_to_text.values()) == {0}


def test_captions_of_one_image_do_not_compete():
    images = random_features(30)
    score = retrieval(
        images, np.repeat(images, 12, axis=0), np.repeat(np.arange(30), 12)
    )
    assert set(score.text_to_image.values()) == {100}
    assert set(score.image_to_text.values()) == {100}


def test_features_must_be_finite():
    images, sentences, owners = cases()
    sentences[3, 2] = np.inf
    with pytest.raises(ValueError, match="finite"):
        retrieval(images, sentences, owners)
