"""Checkpoints: saved, damaged, resumed."""

import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.errors import UserError
from attngan_tf.runs import checkpoint
from attngan_tf.runs.checkpoints import Checkpoints


@pytest.fixture
def network():
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    network.layers[0].set_weights([np.ones((2, 3)), np.zeros(3)])
    return network


def test_weights_that_are_not_finite_are_not_saved(network, tmp_path):
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
    checkpoints.offer(8, 0.4)  # not better: nothing is written
    restored = Checkpoints(str(tmp_path), {"network": network}, 3)
    assert restored.last_step() == 7
    restored.restore(7)
    np.testing.assert_array_equal(network.layers[0].bias.numpy(), [0] * 3)
    best = tf.train.latest_checkpoint(str(tmp_path / "best"))
    assert best.endswith("-7")


def test_only_the_last_checkpoints_are_retained(network, tmp_path):
    checkpoints = Checkpoints(str(tmp_path), {"network": network}, 2)
    assert checkpoints.last_step() == 0
    for step in (1, 2, 3):
        checkpoints.save(step)
    retained = {path.name for path in tmp_path.glob("ckpt-*.index")}
    assert retained == {"ckpt-2.index", "ckpt-3.index"}


def test_only_step_0_may_lack_optimizers(network, tmp_path):
    """Step 0 is a converted model, which has none."""
    other = keras.optimizers.Adam()
    other.build(network.trainable_variables)
    everything = {"network": network, "optimizer": other}
    kernel, _ = network.layers[0].get_weights()
    Checkpoints(str(tmp_path / "start"), {"network": network}, 3).save(0)
    Checkpoints(str(tmp_path / "later"), {"network": network}, 3).save(1)
    network.layers[0].kernel.assign(kernel * 2)
    start = Checkpoints(str(tmp_path / "start"), everything, 3)
    assert start.last_step() == 0
    start.restore(0)
    np.testing.assert_array_equal(network.layers[0].get_weights()[0], kernel)
    with pytest.raises(AssertionError):
        Checkpoints(str(tmp_path / "later"), everything, 3).restore(1)
    start.save(0)
    Checkpoints(str(tmp_path / "start"), everything, 3).restore(0)


def saved(network, folder, steps=(1, 2, 3)) -> Checkpoints:
    """Checkpoints of some steps; the first weight is the step."""
    checkpoints = Checkpoints(str(folder), {"network": network}, 5)
    for step in steps:
        network.layers[0].kernel.assign(np.full((2, 3), step))
        checkpoints.save(step)
    return checkpoints


def truncate(path):
    path.write_bytes(path.read_bytes()[:-20])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def remove(path):
    path.unlink()


@pytest.mark.parametrize(
    ("harm", "file"),
    [
        (truncate, "index"),
        (flip, "data-00000-of-00001"),
        (remove, "data-00000-of-00001"),
    ],
)
def test_the_checkpoint_before_a_damaged_one_is_used(
    network, tmp_path, capsys, harm, file
):
    saved(network, tmp_path)
    harm(tmp_path / f"ckpt-3.{file}")
    checkpoints = Checkpoints(str(tmp_path), {"network": network}, 5)
    assert checkpoints.last_step() == 2
    warned = [x for x in capsys.readouterr().err.splitlines() if "warn" in x]
    assert len(warned) == 1
    assert f"{tmp_path}/ckpt-3 is damaged" in warned[0]
    checkpoints.restore(2)
    assert network.layers[0].kernel.numpy()[0, 0] == 2
    # Training then replaces the damaged one.
    network.layers[0].kernel.assign(np.full((2, 3), 3))
    checkpoints.save(3)
    again = Checkpoints(str(tmp_path), {"network": network}, 5)
    assert again.last_step() == 3


def test_a_stage_with_damaged_checkpoints_only_does_not_restart(
    network, tmp_path
):
    checkpoints = saved(network, tmp_path, [4])
    flip(tmp_path / "ckpt-4.data-00000-of-00001")
    with pytest.raises(UserError, match=r": steps 4; restore from a copy"):
        checkpoints.last_step()


def first_lines(count):
    """Truncates a list at a line, after which it is valid."""

    def harm(path):
        lines = path.read_text().splitlines(keepends=True)
        assert len(lines) > count
        path.write_text("".join(lines[:count]))

    return harm


@pytest.mark.parametrize(
    "harm", [truncate, remove, first_lines(1), first_lines(3)]
)
def test_a_damaged_list_is_rewritten_from_the_files(network, tmp_path, harm):
    saved(network, tmp_path)
    harm(tmp_path / "checkpoint")
    again = Checkpoints(str(tmp_path), {"network": network}, 2)
    assert checkpoint.steps(str(tmp_path.parent), tmp_path.name) == [1, 2, 3]
    assert again.last_step() == 3
    again.save(4)
    retained = {path.name for path in tmp_path.glob("ckpt-*.index")}
    assert retained == {"ckpt-3.index", "ckpt-4.index"}


def test_a_missing_checkpoint_can_be_copied_from_another_worker(
    network, tmp_path
):
    """As the error about the missing one advises."""
    saved(network, tmp_path / "other", [2])
    checkpoints = saved(network, tmp_path / "own", [3])
    with pytest.raises(UserError, match=r"copy ckpt-2\.\* from another"):
        checkpoints.restore(2)
    for path in (tmp_path / "other").glob("ckpt-2.*"):
        shutil.copy(path, tmp_path / "own")
    again = Checkpoints(str(tmp_path / "own"), {"network": network}, 5)
    again.restore(2)
    assert network.layers[0].kernel.numpy()[0, 0] == 2


def test_partial_checkpoints_are_removed(network, tmp_path):
    saved(network, tmp_path, [1])
    (tmp_path / "ckpt-2_temp").mkdir()
    (tmp_path / "ckpt-2_temp" / "part").write_text("x")
    (tmp_path / "ckpt-2.data-00000-of-00001").write_text("x")
    (tmp_path / "ckpt-3.data-00000-of-00001").write_text("x")
    (tmp_path / "ckpt-3.index").write_text("x")
    (tmp_path / "notes.txt").write_text("mine")
    Checkpoints(str(tmp_path), {"network": network}, 5)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint",
        "ckpt-1.data-00000-of-00001",
        "ckpt-1.index",
        "notes.txt",
    ]


def test_the_last_checkpoint_is_retained_on_a_full_disk(
    network, small_disk, fill
):
    disk = small_disk(96)
    checkpoints = saved(network, disk, [1])
    rest = fill(disk)
    with pytest.raises(
        UserError, match=r"step 2 .*; .*ckpt-1 is retained; free"
    ):
        checkpoints.save(2)
    names = {p.name for p in disk.iterdir()} - {"rest", "best"}
    assert names == {
        "checkpoint",
        "ckpt-1.index",
        "ckpt-1.data-00000-of-00001",
    }
    assert checkpoints.last_step() == 1
    rest.unlink()
    checkpoints.save(2)
    assert checkpoints.last_step() == 2


def test_the_best_checkpoint_before_a_damaged_one_is_used(
    network, tmp_path, capsys
):
    folder = tmp_path / "gan"
    checkpoints = saved(network, folder, [3])

    def best():
        where = str(tmp_path), "gan", "best"
        step = checkpoint.restore(*where, network=network)
        assert checkpoint.find(*where).endswith(f"best/ckpt-{step}")
        return step

    for step, score in ((1, 0.4), (2, 0.5), (3, 0.6), (4, 0.1)):
        checkpoints.offer(step, score)
    assert best() == 3
    flip(folder / "best" / "ckpt-3.data-00000-of-00001")
    assert best() == 2
    assert "best/ckpt-3 is damaged" in capsys.readouterr().err
    flip(folder / "best" / "ckpt-2.data-00000-of-00001")
    with pytest.raises(UserError, match=r"best: steps 2, 3; restore"):
        best()
    with pytest.raises(UserError, match="has no checkpoint '9'"):
        checkpoint.find(str(tmp_path), "gan", "9")
