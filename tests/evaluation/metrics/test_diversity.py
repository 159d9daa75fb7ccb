"""Distances between images, against loops and known cases."""

import itertools

import numpy as np
import pytest

from attngan_tf.evaluation.metrics.diversity import pairwise_distance


def random_images(N, H=5, W=7):
    return np.random.default_rng(0).integers(0, 256, (N, H, W, 3), np.uint8)


def test_equals_a_loop_over_pairs():
    images = random_images(10)
    distances = [
        np.sqrt(np.mean((a / 255 - b / 255) ** 2))
        for a, b in itertools.combinations(images, 2)
    ]
    result = pairwise_distance(images)
    assert result.mean == pytest.approx(np.mean(distances), rel=1e-12)
    assert result.smallest == pytest.approx(np.min(distances), rel=1e-12)


def test_black_grey_and_white():
    images = np.zeros([3, 4, 4, 3], np.uint8)
    images[1], images[2] = 51, 255  # 0.2 and 1: distances 0.2, 0.8 and 1
    assert pairwise_distance(images) == pytest.approx((2 / 3, 0.2))


def test_only_equal_images_have_distance_0():
    images = random_images(8, 64, 64)
    images[6] = images[1]
    result = pairwise_distance(images)
    assert result.smallest == 0
    assert result.mean > 0.3
    images = np.full([2, 256, 256, 3], 255, np.uint8)
    images[1, 200, 3, 2] = 254
    # float32 sums of 196,608 squares of 255 would lose this 1.
    expected = 1 / 255 / np.sqrt(256 * 256 * 3)
    assert pairwise_distance(images).smallest == pytest.approx(expected)
