"""Images that are cached in memory: how much of it, and their values."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.data import views
from attngan_tf.data.memory import ScaledImages

SIDE, WIDER = 40, 55


class NoiseRecords:
    """Records of noise: images of two shapes, by their index."""

    def __init__(self, count: int):
        self.count = count

    def __len__(self):
        return self.count

    def pixels(self, index):
        shape = [SIDE, tf.where(index % 2 == 0, SIDE, WIDER), 3]
        noise = tf.random.stateless_uniform(shape, [0, index], 0, 256, tf.int32)
        return tf.cast(noise, tf.uint8)


def test_cached_images_equal_the_scaled_ones():
    """Twice: an operation may write its result over its input."""
    records, size = NoiseRecords(40), 32
    cached = ScaledImages(records, size)
    numbers = tf.data.Dataset.range(40)
    expected = numbers.map(lambda i: -views.scale(records.pixels(i), size))
    found = numbers.map(lambda i: tf.negative(cached.read(i))).repeat(2)
    for i, (image, other) in enumerate(
        tf.data.Dataset.zip(found, expected.repeat(2)).as_numpy_iterator()
    ):
        assert image.shape == (38, 52 if i % 2 else 38, 3)
        np.testing.assert_array_equal(image, other)


PROGRAM = """
import tensorflow as tf
from tests.data.test_memory import NoiseRecords
from attngan_tf.data.memory import ScaledImages
from attngan_tf.benchmarking.memory import peak_rss

ScaledImages(NoiseRecords(4), 256)  # what TensorFlow takes once
before = peak_rss()
cached = ScaledImages(NoiseRecords(300), 256)
sizes = tf.data.Dataset.range(600).map(
    lambda i: tf.size(cached.read(i % 300), tf.int64)
)
total = sum(sizes.as_numpy_iterator()) // 2
print((peak_rss() - before) / (4 * total), total)
"""


@pytest.mark.slow
def test_peak_memory_is_that_of_the_images(pytestconfig):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=pytestconfig.rootpath,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ratio, numbers = done.stdout.split()
    assert int(numbers) == 150 * 304 * (304 + 418) * 3  # 395 MB
    assert float(ratio) < 1.5
