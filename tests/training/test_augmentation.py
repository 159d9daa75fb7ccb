"""The augmentation of discriminators' images."""

import numpy as np
import tensorflow as tf

from attngan_tf.training import augmentation

# No translation (0 is in the middle of the range), and a cut in the corner.
STILL = {"down": 0.5, "right": 0.5, "top": 0.0, "left": 0.0}


def augment(image: np.ndarray, **numbers: float) -> np.ndarray:
    values = list((STILL | numbers).values())
    return augmentation.augment(
        tf.constant(image[None], tf.float32), tf.constant([values])
    )[0].numpy()


def random_image() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (16, 16, 3))


def test_a_translation_of_0_leaves_the_image_but_for_the_cut():
    image = random_image()
    seen = augment(image)
    # A square of 8 around the corner pixel: 0 to 3 rows and columns.
    expected = image.copy()
    expected[:4, :4] = 0
    np.testing.assert_allclose(seen, expected, atol=1e-6)


def test_translations_fill_the_border_with_0():
    image = random_image()  # an eighth of 16 pixels: 2
    seen = augment(image, down=0.999, right=0.0, top=0.999, left=0.0)
    expected = np.zeros_like(image)
    expected[2:, :14] = image[:14, 2:]
    expected[12:, :4] = 0  # the cut, in the other corner
    np.testing.assert_allclose(seen, expected, atol=1e-6)


def test_gradients_reach_visible_pixels():
    images = tf.constant(random_image()[None], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)
        seen = augmentation.augment(images, tf.constant([[*STILL.values()]]))
        total = tf.reduce_sum(seen)
    gradient = tape.gradient(total, images)[0].numpy()
    np.testing.assert_allclose(gradient[:4, :4], 0, atol=1e-5)
    np.testing.assert_allclose(gradient[4:, 4:], 1, atol=1e-5)


def test_rows_have_numbers_of_their_own():
    images = tf.constant(np.stack([random_image()] * 2), tf.float32)
    moved = STILL | {"down": 0.9, "right": 0.9}
    numbers = tf.constant([[*STILL.values()], [*moved.values()]])
    both = augmentation.augment(images, numbers)
    assert not np.array_equal(both[0], both[1])
    np.testing.assert_allclose(both[0], augment(random_image()), atol=1e-6)
