"""What is saved, and what must not be."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.config import UserError
from attngan_tf.training import checkpoint
from attngan_tf.training.checkpoint import Checkpoints


@pytest.fixture
def network():
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    network.layers[0].set_weights([np.ones((2, 3)), np.zeros(3)])
    return network


def test_a_state_that_is_not_finite_is_not_saved(network, tmp_path):
    checkpoints = Checkpoints(str(tmp_path), {"network": network}, 3)
    checkpoints.save(7)
    checkpoints.offer(7, 0.5)
    network.layers[0].bias.assign([0.0, np.inf, 0.0])
    for write in (
        lambda: checkpoints.save(8),
        lambda: checkpoints.offer(8, 0.6),
    ):
        with pytest.raises(UserError, match=r"network .*bias.* step 8"):
            write()
    assert checkpoints.last_step() == 7
    checkpoints.offer(8, 0.4)  # no better: nothing is written
    kernel, bias = network.layers[0].get_weights()
    assert Checkpoints(str(tmp_path), {"network": network}, 3).restore() == 7
    np.testing.assert_array_equal(network.layers[0].get_weights()[1], [0] * 3)
    np.testing.assert_array_equal(network.layers[0].get_weights()[0], kernel)
    assert not np.isfinite(bias).all()
    best = tf.train.latest_checkpoint(str(tmp_path / "best"))
    assert best.endswith("-7")


def test_only_the_last_ones_are_kept(network, tmp_path):
    checkpoints = Checkpoints(str(tmp_path), {"network": network}, 2)
    assert checkpoints.last_step() == 0
    for step in (1, 2, 3):
        checkpoints.save(step)
    kept = {path.name for path in tmp_path.glob("ckpt-*.index")}
    assert kept == {"ckpt-2.index", "ckpt-3.index"}


def test_two_trainings_do_not_share_a_workdir(tmp_path):
    workdir = str(tmp_path)
    with (
        checkpoint.alone(workdir),
        pytest.raises(UserError, match="another process trains"),
        checkpoint.alone(workdir),
    ):
        pass
    with checkpoint.alone(workdir):
        pass


def test_a_start_may_lack_parts_and_a_later_step_may_not(network, tmp_path):
    """Converted models have no optimizers."""
    other = keras.optimizers.Adam()
    other.build(network.trainable_variables)
    everything = {"network": network, "optimizer": other}
    kernel, _ = network.layers[0].get_weights()
    Checkpoints(str(tmp_path / "start"), {"network": network}, 3).save(0)
    Checkpoints(str(tmp_path / "later"), {"network": network}, 3).save(1)
    network.layers[0].kernel.assign(kernel * 2)
    start = Checkpoints(str(tmp_path / "start"), everything, 3)
    assert start.restore() == 0
    np.testing.assert_array_equal(network.layers[0].get_weights()[0], kernel)
    with pytest.raises(AssertionError):
        Checkpoints(str(tmp_path / "later"), everything, 3).restore()
    start.save(0)
    assert Checkpoints(str(tmp_path / "start"), everything, 3).restore() == 0
