"""The network that classifies the colours of parts."""

import random

import keras
import numpy as np

from attngan_tf.models import part_classifier

SIZE, PARTS, COLOURS = 16, 3, 7


def network(seed=0):
    return part_classifier.part_classifier(
        SIZE, PARTS, COLOURS, channels=4, seed=seed
    )


def test_initial_weights_depend_on_the_seed_alone():
    one, same, other = (network(seed).get_weights() for seed in (1, 1, 2))
    for a, b, c in zip(one, same, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.std() == 0 or (a != c).all()  # biases and BN are constant


def test_global_random_state_is_unchanged():
    keras.utils.set_random_seed(7)
    before = random.getstate(), str(np.random.get_state())
    network()
    assert (random.getstate(), str(np.random.get_state())) == before
    np.testing.assert_array_equal(after_seed(network), after_seed(list))


def after_seed(make):
    """Keras's random numbers after something was made."""
    keras.utils.set_random_seed(7)
    make()
    return keras.ops.convert_to_numpy(keras.random.uniform([4]))


def test_each_position_of_the_maps_attends_to_its_four_pixels():
    maps = keras.Input((SIZE // 2, SIZE // 2, 1))
    layer = keras.Model(
        maps, part_classifier._attention(maps, SIZE, PARTS, iter(range(9)))
    )
    kernel = np.zeros((1, 1, 1, 4 * PARTS), np.float32)
    for part, phase in enumerate((0, 1, 2)):  # upper left, upper right, lower
        kernel[..., phase * PARTS + part] = 50.0
    layer.set_weights([kernel, np.zeros(4 * PARTS)])
    position = np.zeros((1, SIZE // 2, SIZE // 2, 1), np.float32)
    position[0, 3, 5] = 1.0
    found = layer(position).numpy().reshape(SIZE, SIZE, PARTS)
    for part, pixel in enumerate([(6, 10), (6, 11), (7, 10)]):
        assert found[pixel][part] > 0.999
    np.testing.assert_allclose(found.sum((0, 1)), 1.0, rtol=1e-5)
