"""What is held in memory: how much of it, and that it stays as it is."""

import subprocess
import sys

import numpy as np
import tensorflow as tf

from attngan_tf.data import views
from attngan_tf.data.memory import ScaledPictures

SIDE, WIDER = 40, 55


class Drawn:
    """Records of noise: pictures of two shapes, by their number."""

    def __init__(self, count: int):
        self.count = count

    def __len__(self):
        return self.count

    def pixels(self, index):
        shape = [SIDE, tf.where(index % 2 == 0, SIDE, WIDER), 3]
        noise = tf.random.stateless_uniform(shape, [0, index], 0, 256, tf.int32)
        return tf.cast(noise, tf.uint8)


def test_pictures_are_read_as_they_were_scaled():
    """Twice: an operation may write its result over what it reads."""
    records, size = Drawn(60), 32
    held = ScaledPictures(records, size)
    negative = tf.data.Dataset.range(60).map(
        lambda i: tf.negative(held.read(i))
    )
    for _ in range(2):
        for i, found in enumerate(negative.as_numpy_iterator()):
            pixels = records.pixels(tf.constant(i, tf.int64))
            expected = -views.scale(pixels, size).numpy()
            assert expected.shape == (38, 52 if i % 2 else 38, 3)
            np.testing.assert_array_equal(found, expected)


PROGRAM = """
import sys
import tensorflow as tf
sys.path.insert(0, "tests/data")
from test_memory import Drawn
from attngan_tf.data.memory import ScaledPictures
from attngan_tf.benchmarking.memory import peak_rss

ScaledPictures(Drawn(4), 256)  # what TensorFlow takes once
before = peak_rss()
held = ScaledPictures(Drawn(300), 256)
numbers = tf.data.Dataset.range(600).map(
    lambda i: tf.size(held.read(i % 300), tf.int64)
)
total = sum(numbers.as_numpy_iterator()) // 2
print((peak_rss() - before) / (4 * total), total)
"""


def test_pictures_take_hardly_more_than_their_bytes(pytestconfig):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=pytestconfig.rootpath,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    times, numbers = done.stdout.split()
    assert int(numbers) == 150 * 304 * (304 + 418) * 3  # 395 MB
    assert float(times) < 1.5
