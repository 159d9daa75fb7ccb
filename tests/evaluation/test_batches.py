"""Images as they are stored, and batches that replicas share."""

import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.evaluation.batches import as_stored, per_replica


def test_images_are_rounded_to_256_values():
    images = np.linspace(-1.2, 1.2, 999, dtype=np.float32)
    found = as_stored(tf.constant(images)).numpy()
    steps = (found + 1) * 127.5
    np.testing.assert_allclose(steps, steps.round(), atol=1e-4)
    inside = np.abs(images) <= 1
    assert np.abs(found - images)[inside].max() <= 1 / 255 + 1e-6
    np.testing.assert_array_equal(found[~inside], np.sign(images)[~inside])


class TwoReplicas:
    """A strategy of two replicas that run one after the other."""

    num_replicas_in_sync = 2

    def experimental_distribute_values_from_function(self, part):
        class Context:
            def __init__(self, number):
                self.replica_id_in_sync_group = number

        return [part(Context(number)) for number in range(2)]

    def run(self, function, args):
        found = [function(part) for part in args[0]]
        return {k: [f[k] for f in found] for k in found[0]}

    def experimental_local_results(self, value):
        return value


@pytest.mark.parametrize("count", [1, 4, 5])
def test_replicas_take_equal_parts_and_padding_is_removed(count):
    sizes = []

    def function(rows):
        sizes.append(len(rows["x"]))
        return {"y": 2 * rows["x"]}

    found = per_replica(TwoReplicas(), function, {"x": tf.range(count)})
    np.testing.assert_array_equal(found["y"], 2 * np.arange(count))
    assert sizes == 2 * [-(-count // 2)]
