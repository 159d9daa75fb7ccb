"""What is kept of drawn pictures that come in batches."""

import numpy as np
import pytest

from attngan_tf.evaluation.accumulator import Kept
from attngan_tf.evaluation.metrics.fid import RunningMoments
from attngan_tf.evaluation.metrics.inception_score import RunningInceptionScore
from attngan_tf.evaluation.metrics.kid import RunningKernelDistance

N, D = 7, 2


@pytest.fixture
def drawn():
    """What `Drawing.batches` yields for N pictures, as one batch."""
    rng = np.random.default_rng(0)
    classes = rng.random((N, 3))
    return {
        "images": rng.uniform(-1, 1, (N, 4, 4, 3)).astype(np.float32),
        "image_features": rng.random((N, D)),
        "pooled": rng.random((N, D)),
        "probabilities": classes / classes.sum(axis=1, keepdims=True),
        "part_colours": rng.integers(11, size=(N, 5)),
    }


def fill(kept, drawn):
    for part in (slice(0, 3), slice(3, 6), slice(6, 7)):
        kept.update({name: rows[part] for name, rows in drawn.items()})
    return kept


def test_every_picture_counts_once_and_in_its_place(drawn):
    real = np.random.default_rng(1).random((5, D))
    kept = fill(
        Kept(
            np.arange(N),
            moments=RunningMoments(D),
            kernel=RunningKernelDistance(real, N),
            inception=RunningInceptionScore(N, 3, 2),
        ),
        drawn,
    )
    statistics = kept.moments.statistics()
    np.testing.assert_allclose(statistics.mean, drawn["pooled"].mean(0))
    assert kept.kernel.score().n == N
    p = drawn["probabilities"]
    parts = [
        np.exp((q * np.log(q / q.mean(0))).sum(1).mean())
        for q in (p[:3], p[3:])
    ]
    assert kept.inception.score().mean == pytest.approx(np.mean(parts))
    for name in ("image_features", "part_colours"):
        np.testing.assert_array_equal(getattr(kept, name), drawn[name])


@pytest.mark.parametrize("count", [4, 6, 9])
def test_the_first_pictures_are_kept_as_they_are_stored(drawn, count):
    kept = fill(Kept(np.arange(N), pictures=count), drawn)
    expected = np.rint((drawn["images"][:count] + 1) * 127.5)
    assert kept.images.dtype == np.uint8
    np.testing.assert_array_equal(kept.images, expected)
