"""What discriminators see of a picture."""

import numpy as np
import tensorflow as tf

from attngan_tf.training import augmentation

# No change but for a cut in the corner: shifts of 0 are in the middle of their
# range.
STILL = {
    "down": 0.5,
    "right": 0.5,
    "top": 0.0,
    "left": 0.0,
}


def augment(image: np.ndarray, **draws: float) -> np.ndarray:
    values = list((STILL | draws).values())
    return augmentation.augment(
        tf.constant(image[None], tf.float32), tf.constant([values])
    )[0].numpy()


def picture() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (16, 16, 3))


def test_the_middle_of_each_draw_only_cuts():
    image = picture()
    seen = augment(image)
    # A square of 8 around the corner pixel: 0 to 3 rows and columns.
    expected = image.copy()
    expected[:4, :4] = 0
    np.testing.assert_allclose(seen, expected, atol=1e-6)


def test_shifts_bring_zeros_in():
    image = picture()  # an eighth of 16 pixels: 2
    seen = augment(image, down=0.999, right=0.0, top=0.999, left=0.0)
    expected = np.zeros_like(image)
    expected[2:, :14] = image[:14, 2:]
    expected[12:, :4] = 0  # the cut, in the other corner
    np.testing.assert_allclose(seen, expected, atol=1e-6)


def test_gradients_reach_what_is_seen():
    images = tf.constant(picture()[None], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)
        seen = augmentation.augment(images, tf.constant([[*STILL.values()]]))
        total = tf.reduce_sum(seen)
    gradient = tape.gradient(total, images)[0].numpy()
    np.testing.assert_allclose(gradient[:4, :4], 0, atol=1e-5)
    np.testing.assert_allclose(gradient[4:, 4:], 1, atol=1e-5)


def test_rows_do_not_share_draws():
    images = tf.constant(np.stack([picture()] * 2), tf.float32)
    moved = STILL | {"down": 0.9, "right": 0.9}
    draws = tf.constant([[*STILL.values()], [*moved.values()]])
    both = augmentation.augment(images, draws)
    assert not np.array_equal(both[0], both[1])
    np.testing.assert_allclose(both[0], augment(picture()), atol=1e-6)
